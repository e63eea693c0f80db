"""The log between this node and its peers: say what we hold, pull what they hold more of.

Batches are pulled from one peer at a time and are checked by their authors' signatures, so it does not
matter who passes them on. Only members are told our frontier, and only members are served.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import trio

from p2pdrive.engine.replica import Replica
from p2pdrive.engine.room import make_room_for_index
from p2pdrive.engine.serve import serve
from p2pdrive.errors import DiskFull, LinkClosed, RecordRefused
from p2pdrive.history.log import Frontier, Ingested
from p2pdrive.history.membership import Member
from p2pdrive.limits import BATCH_RECORDS_MAX, FRONTIER_ACTORS_MAX, ROOM_SECONDS
from p2pdrive.model.batch import Batch
from p2pdrive.net.link import Link
from p2pdrive.wire.messages import Announce, Batches, Message, Pull

logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Peer:
    """A link on which this drive is open. ``frontier`` is what the peer announced, None before it did."""

    link: Link
    frontier: Frontier | None = None
    settled: bool = False
    shown: bool = False
    told: Announce | None = None
    fruitless: Frontier | None = None  # a frontier that gave us nothing that we may take


@dataclass(slots=True)
class Standing:
    """What this node would announce; ``frozen`` actors are no longer followed."""

    frontier: Frontier = field(default_factory=dict)
    unshown: int = 0
    members: dict[bytes, Member] = field(default_factory=dict)
    frozen: frozenset[bytes] = frozenset()


class Exchange:
    """The log exchange of one drive.

    ``ingested`` is awaited after each run of batches; ``pulled`` is called when no more are on their way;
    ``changed`` is called when a peer's or our standing moved. ``remember`` is told how far our own actors
    have written, before any peer is: by that the home knows an older folder, and no seq is used twice.
    """

    def __init__(
        self,
        replica: Replica,
        ingested: Callable[[Ingested], Awaitable[None]],
        pulled: Callable[[], None],
        changed: Callable[[], None],
        remember: Callable[[Frontier], None],
    ) -> None:
        self._replica = replica
        self._remember = remember
        self._looking = trio.Lock()
        self._ingested = ingested
        self._pulled = pulled
        self._changed = changed
        self.pulling = False
        self._pulled_to = 0  # the last mark in ``unshown`` when pulling ended
        self.peers: dict[Link, Peer] = {}
        self.standing = Standing()
        self.settled = False
        self.caught_up = trio.Event()  # once all that some member held has been pulled
        self._to_announce = trio.Event()
        self._to_pull = trio.Event()

    async def run(self) -> None:
        """Announce and pull until cancelled. Raises WorldError where the drive cannot go on."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._announce_changes)
            nursery.start_soon(self._pull_what_is_new)

    def attach(self, link: Link) -> None:
        """``link`` leads to a device that names this drive too."""
        if link not in self.peers:
            self.peers[link] = Peer(link)
            self.announce()

    def detach(self, link: Link) -> None:
        """``link`` has ended, or its device holds the drive no more."""
        if self.peers.pop(link, None) is not None:
            self._changed()

    def announce(self) -> None:
        """Our standing may have moved: look, and tell the members."""
        self._to_announce.set()

    async def handle(self, link: Link, message: Message) -> None:
        """A peer's message about this drive."""
        self.attach(link)
        peer = self.peers[link]
        if isinstance(message, Announce):
            peer.frontier = {actor: (seq, digest) for actor, seq, digest in message.frontier}
            peer.settled, peer.shown = message.settled, message.shown
            self._to_pull.set()
            self._changed()
        elif link.device not in self.standing.members:
            link.close("this device is not a member of the drive that it asks about")
        else:
            serve(self._replica, link, message, self.standing.frontier)

    def fall_behind(self) -> None:
        """Our own log was dropped, and what members hold of it must be pulled first."""
        self.caught_up.set()  # who waits looks again
        self.caught_up = trio.Event()

    @property
    def removable(self) -> int | None:
        """The last mark in ``unshown`` beyond which nothing is removed, as what is still being pulled may say
        that the file got another name; None while nothing is."""
        return self._pulled_to if self.pulling else None

    def members(self) -> list[Peer]:
        """The peers that are members and have announced themselves."""
        known = self.standing.members
        told = (peer for peer in self.peers.values() if peer.frontier is not None)
        return [peer for peer in told if peer.link.device in known]

    def sources(self) -> Sequence[Link]:
        """The links that content can be asked for on."""
        return [peer.link for peer in self.members()]

    def holds_all(self, peer: Peer) -> bool:
        """Whether the peer has acknowledged all that we have."""
        return peer.shown and peer.frontier is not None and _within(self.standing.frontier, peer.frontier)

    def held_all(self, peer: Peer) -> bool:
        """Whether we have all that the peer says it has."""
        followed = {a: at for a, at in (peer.frontier or {}).items() if a not in self.standing.frozen}
        return _within(followed, self.standing.frontier)

    # --- saying

    async def _announce_changes(self) -> None:
        while True:
            await self._to_announce.wait()
            self._to_announce = trio.Event()
            await self.look()
            for peer in list(self.peers.values()):
                if peer.link.device in self.standing.members:
                    self._tell(peer)
            self._changed()

    async def look(self) -> None:
        """Read our standing from the index."""
        async with self._looking:
            standing, marks = await self._replica.services.offload(self._read_standing)
            self._remember(marks)
            self.standing = standing

    def _read_standing(self) -> tuple[Standing, Frontier]:
        with self._replica.reading() as log:
            frontier = log.frontier()  # before what is unshown: never say that more is shown than is
            unshown, _ = log.entries.count_unshown()
            members = {member.device: member for member in log.membership.all()}
            standing = Standing(frontier, unshown, members, frozenset(log.frozen()))
            return standing, self._replica.marks(log)

    def _tell(self, peer: Peer) -> None:
        standing = self.standing
        frontier = tuple((actor, seq, digest) for actor, (seq, digest) in sorted(standing.frontier.items()))
        tag = peer.link.tag(self._replica.drive)
        message = Announce(tag, frontier[:FRONTIER_ACTORS_MAX], self.settled, standing.unshown == 0)
        if message != peer.told:
            peer.told = message
            peer.link.send(message)

    # --- pulling

    async def _pull_what_is_new(self) -> None:
        while True:
            await self._to_pull.wait()
            self._to_pull = trio.Event()
            self.pulling = True
            for peer in list(self.peers.values()):
                if peer.frontier is None:
                    continue
                try:
                    await self._pull_from(peer)
                except LinkClosed:
                    continue
                except RecordRefused as refusal:
                    peer.link.close(str(refusal))
                except DiskFull:  # the log of others waits for room, and the drive goes on
                    await self._replica.services.offload(make_room_for_index, self._replica)
                    await trio.sleep(ROOM_SECONDS)
                    self._to_pull.set()
                except (
                    AssertionError
                ) as bug:  # met by what one peer said: the drive goes on without that peer
                    logger.exception("pulling from %s failed", peer.link.device.hex()[:8], exc_info=bug)
                    peer.link.close("this node failed over what it was told")
            self._pulled_to = await self._replica.services.offload(self._last_mark)
            self.pulling = False
            self._pulled()
            self._changed()

    async def _pull_from(self, peer: Peer) -> None:
        """Pull until nothing more that may be taken comes from this peer."""
        offload = self._replica.services.offload
        passed: dict[bytes, int] = {}  # what must wait is passed over: perhaps what it needs comes after it
        progress = False
        while peer.link in self.peers and peer.frontier not in (None, peer.fruitless):
            assert peer.frontier is not None
            announced = peer.frontier
            after = await offload(self._what_to_ask, announced, passed)
            if after is None and passed and progress:
                passed, progress = {}, False
                continue
            if after is None:
                break
            answer = await peer.link.ask(Pull(peer.link.tag(self._replica.drive), 0, after))
            result, refusal = await offload(self._ingest, answer)
            if result.records or result.forked or result.own_forks:
                progress = True
                self._forget_fruitless()
                await self._ingested(result)
            elif not answer.more or result.waiting.items() <= passed.items():
                peer.fruitless = announced
            passed = {} if result.membership else passed | result.waiting
            if len(passed) > FRONTIER_ACTORS_MAX:
                peer.fruitless = announced
            if refusal is not None:
                raise refusal
        if not self.caught_up.is_set():
            await self.look()
            if peer.frontier is not None and peer.link.device in self.standing.members:
                self.caught_up.set()

    def _last_mark(self) -> int:
        with self._replica.reading() as log:
            return log.entries.last_mark()

    def _forget_fruitless(self) -> None:
        for peer in self.peers.values():
            if peer.fruitless is not None:
                peer.fruitless = None  # what it has may be what waited for this
                self._to_pull.set()

    def _what_to_ask(
        self, announced: Frontier, passed: Mapping[bytes, int]
    ) -> tuple[tuple[bytes, int], ...] | None:
        """What to pull after, as (actor, seq), ``passed`` left out; None where the peer has nothing more.

        Where the peer names another batch than ours at the end of an actor's log, someone wrote two logs:
        ask for that batch, whose signature proves it.
        """
        with self._replica.reading() as log:
            ours = log.frontier()
            frozen = set(log.frozen())
            after = {actor: seq for actor, (seq, _) in ours.items()}
            wanted = False
            for actor, (seq, digest) in announced.items():
                if actor in frozen:
                    continue
                if seq > after.get(actor, 0):
                    wanted = True
                elif actor in after and log.hash_at(actor, seq) != digest:
                    after[actor] = max(0, seq - BATCH_RECORDS_MAX)
                    wanted = True
        # What does not fit is asked for whole, and passed over.
        return tuple(sorted({**after, **passed}.items()))[:FRONTIER_ACTORS_MAX] if wanted else None

    def _ingest(self, answer: Batches) -> tuple[Ingested, RecordRefused | None]:
        """Take in batches up to the first that is refused; what came before it stays."""
        payload = memoryview(answer.payload)
        result = Ingested()
        refusal: RecordRefused | None = None
        with self._replica.writing() as log:
            offset = 0
            directories: set[str] = set()
            for size in answer.sizes:
                try:
                    log.ingest(Batch.decode(payload[offset : offset + size]), result, directories)
                except RecordRefused as error:
                    refusal = error
                    break
                offset += size
            if result.own_forks:
                self._replica.start_afresh()
            self._replica.author.clock.follow(result.clock, self._replica.services.now_ms())
        return result, refusal


def _within(part: Frontier, whole: Frontier) -> bool:
    """Whether ``whole`` has all of ``part``; at equal ends it must be the very same batch."""
    return all(
        actor in whole and (whole[actor][0] > at[0] or whole[actor] == at) for actor, at in part.items()
    )
