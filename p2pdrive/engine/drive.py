"""One drive at work on this node.

A local edit: the watcher (or the scanner) names a path → it is settled: observed, compared with what the
index last showed, chunked and hashed, appended to our log → the new frontier is announced.
A remote edit: a peer's frontier is ahead → its batches are pulled, verified, appended → the heads change →
the paths are settled → missing manifests and blocks are fetched → the folder is made to show them.
"""

from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import aclosing

import trio

from p2pdrive.engine.deleting import Deleting
from p2pdrive.engine.exchange import Exchange
from p2pdrive.engine.materialise import Materialiser
from p2pdrive.engine.named import sort
from p2pdrive.engine.problems import Kind, Problems
from p2pdrive.engine.read_ahead import ReadAhead
from p2pdrive.engine.recover import recover
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.room import keep_room
from p2pdrive.engine.scan import Scan
from p2pdrive.engine.secrets import leaked
from p2pdrive.engine.unfit import forget_unfit
from p2pdrive.engine.waiting import Waiting
from p2pdrive.errors import LinkClosed
from p2pdrive.folder.outlook import Outlook
from p2pdrive.history.log import Frontier, Ingested
from p2pdrive.limits import (
    PLAN_PATHS_MAX,
    QUIET_SECONDS,
    RESCAN_SECONDS,
    RULES_PATIENCE_SECONDS,
    STATE_LOOK_SECONDS,
)
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.model.problem import Problem
from p2pdrive.net.link import Link
from p2pdrive.planning.reconcile import Choice
from p2pdrive.wire.messages import Join, Message

_FORK = (
    "wrote two different logs: its drive was copied with its key, or an older state was put over it. Nothing "
    "more of that actor is taken in. Once p2pdrive has noticed there, it goes on under a new one: if nothing "
    "comes from that device, restart p2pdrive there. This is told until p2pdrive is restarted here."
)


class Drive:
    """A drive that is open and running.

    ``changed`` is called whenever its status may have moved; ``remember`` as ``Exchange`` says.
    """

    def __init__(
        self, replica: Replica, changed: Callable[[], None], remember: Callable[[Frontier], None]
    ) -> None:
        self.replica = replica
        self.problems = Problems(replica.services.now_ns, trio.current_time)
        self.since_ns = replica.services.now_ns()
        self.scanned = False
        self.outlook = Outlook(lambda path: replica.ignore.ignored(path, True))
        self._changed = changed
        self._offload = replica.services.offload
        self.waiting = Waiting(replica, self._look_at_now, self._progressed)
        self.exchange = Exchange(replica, self._ingested, self._pulled, self._moved, remember)
        self.ahead = ReadAhead(replica, self._settle_read, self._moved, self._not_renamed)
        self.deleting = Deleting(replica, self._settle, self._look_at, self._moved, self.ahead.may_be_renamed)
        self.materialiser = Materialiser(
            replica,
            self.exchange.sources,
            self.problems,
            self.waiting,
            self._look_again_soon,
            self._progressed,
            self._may_publish,
            lambda: self.exchange.removable,
            self.deleting,
            self.ahead,
        )
        self._changed_paths: dict[str, None] = {}  # in the order in which they were named
        self._to_look_again: set[str] = set()
        self._observing = False
        self._chosen = trio.Event()  # what was brought along is to be gone through
        self._to_look = trio.Event()
        self._knowing_rules: trio.Event | None = None  # what others hide was known then: ``caught_up``

    async def run(self) -> None:
        """Work until cancelled. Raises WorldError where the drive as a whole cannot go on."""
        await self._offload(recover, self.replica)
        if (problem := await self._offload(leaked, self.replica)) is not None:
            self.problems.report(problem, Kind.LASTING)
        await self._offload(forget_unfit, self.replica)
        await self.exchange.look()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.exchange.run)
            nursery.start_soon(self.materialiser.run)
            nursery.start_soon(self.ahead.run)
            nursery.start_soon(self._watch)
            nursery.start_soon(self._observe)
            nursery.start_soon(self.deleting.run)
            nursery.start_soon(self._look_again)
            nursery.start_soon(self.waiting.run)
            nursery.start_soon(self._bring_back)
            nursery.start_soon(self._try_again)
            nursery.start_soon(keep_room, self.replica, self.problems, self.materialiser.wake)
            self.materialiser.wake()

    # --- what the node tells us

    def attach(self, link: Link) -> None:
        """``link`` leads to a device that names this drive too."""
        self.exchange.attach(link)

    def detach(self, link: Link) -> None:
        """``link`` has ended."""
        self.exchange.detach(link)

    async def handle(self, link: Link, message: Message) -> None:
        """A peer's message about this drive."""
        known = link in self.exchange.peers and self.exchange.peers[link].frontier is not None
        await self.exchange.handle(link, message)
        if not known and link in self.exchange.peers and self.exchange.peers[link].frontier is not None:
            self.problems.hurry()  # what nobody had may be had now
            self.materialiser.wake()

    async def admit(self, device: bytes, request: Join) -> None:
        """Make the device that shows an invite a member; durable on return.

        Raises InviteError with what to tell the person who joins, and LinkClosed where this node cannot admit
        the device: another member can, or this one later.
        """
        await self._offload(self._admit, device, request)
        await self.exchange.look()
        self._progressed()

    def _admit(self, device: bytes, request: Join) -> None:
        services = self.replica.services
        with self.replica.writing() as log, self.replica.author.writing(log) as pen:
            if not log.membership.may_write(services.identity.device):
                raise LinkClosed("this device is a viewer, and cannot let anyone in: try another member")
            now = services.now_ms() // 1000
            grant = log.membership.admit(device, request.name, request.invite, request.proof, now)
            if grant is not None:
                pen.admit(grant)

    async def choose(self, choice: Choice) -> None:
        """What becomes of what the folder brought along and others had deleted. Durable on return."""
        await self._offload(self.replica.choose, choice)
        self.carry_out_choice()

    def carry_out_choice(self) -> None:
        """The replica was told what to do with what was brought along."""
        self._chosen.set()
        self.materialiser.wake()
        self._moved()

    @property
    def settled(self) -> bool:
        """Whether all local changes that we know of are recorded, but for files that do not come to rest."""
        waiting = self._changed_paths or self._to_look_again or self.deleting.count or self.ahead.pending
        if not self.scanned or waiting or self._observing:
            return False
        return not self.waiting.patience.is_brief(trio.current_time())

    @property
    def informed(self) -> bool:
        """Whether what is found here may be published: for a folder being adopted, what others know comes
        first."""
        if not self.replica.adopting or self.exchange.caught_up.is_set():
            return True
        return not self._others()

    def _others(self) -> AbstractSet[bytes]:
        """The devices of the other members."""
        return self.exchange.standing.members.keys() - {self.replica.services.identity.device}

    def _may_publish(self, path: str) -> bool:
        """Whether what is found at ``path`` may be published: while a folder is being adopted, nothing before
        it is known what the others' rules hide here."""
        knowing = not self.replica.adopting or self._knowing_rules is self.exchange.caught_up
        return self.informed and (knowing or path == IGNORE_FILE)

    # --- a local edit

    async def _watch(self) -> None:
        async with aclosing(self.replica.services.watch(self.replica.root, self.outlook)) as changes:
            async for paths in changes:
                self._look_at(paths)

    def _look_at(self, paths: Iterable[str]) -> None:
        self._look_at_now(self.waiting.sift(paths))

    def _look_at_now(self, paths: Iterable[str]) -> None:
        if named := dict.fromkeys(paths):
            self._changed_paths.update(named)
            self._to_look.set()
            self._moved()

    def _look_again_soon(self, paths: Iterable[str]) -> None:
        """These have just changed, or are under our own hands: a little later."""
        self._to_look_again.update(paths)

    async def _observe(self) -> None:
        while True:
            await self._to_look.wait()
            while not self.informed:
                await self.exchange.caught_up.wait()
            self._to_look = trio.Event()
            self._observing = True
            adopting, knowledge = self.replica.adopting, self.exchange.caught_up
            named, self._changed_paths = self._changed_paths, {}
            if adopting:
                named = {"": None}
                while not await self._rules_are_here():  # noqa: ASYNC110 - it may be many things that tell
                    await trio.sleep(QUIET_SECONDS)
            ruled = IGNORE_FILE in named or "" in named
            if ruled and await self._reload_ignore():
                named = {"": None}
            if adopting:
                self._knowing_rules = knowledge
            if "" in named:
                await self._look_into("")
                self.scanned = True
                if adopting and self.exchange.caught_up is knowledge:
                    await self._offload(self.replica.adopted, self._undecided(), self.problems.scanned())
            else:
                await self._look_at_named(list(named))
            if await self._offload(self.replica.note_homes):
                self.materialiser.wake()
            if ruled and await self._reload_ignore():  # the file was decided about, or written meanwhile
                self._look_at([""])
            self._observing = False
            self._progressed()

    async def _rules_are_here(self) -> bool:
        """Whether the ignore file is as the others have it, or could not be had though they are here; and can
        be read."""
        if not self._others():
            return True
        if await self._offload(self.replica.is_unshown, IGNORE_FILE):
            if not self.problems.waits(IGNORE_FILE):
                await self._settle([IGNORE_FILE])
            if not self.exchange.sources() or not self.problems.lasts(IGNORE_FILE, RULES_PATIENCE_SECONDS):
                return False
        await self._reload_ignore()
        return not self.replica.ignore.stale

    def _undecided(self) -> set[str]:
        """What was not looked at to the end."""
        waiting = self.waiting.patience.all()
        return {
            *self._to_look_again,
            *self._changed_paths,
            *self.problems.paths(),
            *self.ahead.pending,
            *waiting,
        }

    async def _look_at_named(self, named: list[str]) -> None:
        free = self.materialiser.leave_alone(named, above=True)
        troubled = self.problems.among(free) | self.waiting.patience.among(free)
        found = await self._offload(sort, self.replica, free, self.materialiser.shown, troubled)
        self.materialiser.forget_shown((*found.nothing, *found.gone))
        self.replica.decided(found.nothing)
        for path in found.nothing:
            self.problems.resolve(path)
        if self.problems.note_gone((*found.nothing, *found.gone)):
            self.materialiser.wake()
        await self._settle(found.files, live=True)
        for path in found.directories:
            await self._look_into(path)
        await self._settle(self.deleting.unknown(found.gone), live=True)
        for path in found.gone_directories:
            await self._look_into(path)

    async def _look_into(self, start: str) -> None:
        """Compare ``start`` and all that is in it with the index, and settle what differs: in a directory
        that the watcher named it changed just now, in the whole folder at any time since the last scan."""
        scan, live = Scan(self.replica, start), start != ""
        while (paths := await self._offload(scan.step)) is not None:
            if not start and await self._reload_ignore():  # a whole scan may take hours
                self._look_at([""])
            await self._settle(paths, live)
            await self._settle(self.deleting.unknown(scan.take_missing(ended=False)), live)
            if not start:
                await self._look_at_news()
        await self._settle(self.deleting.unknown(scan.take_missing(ended=True)), live)
        if not start:  # nobody else may ever ask for a copy that is gone
            await self._settle(await self._offload(self.replica.arriving))
        rules = self.replica.ignore.problems if not start else ()
        self._report_scanned(start, [*scan.problems, *rules])
        if self.replica.left_to_look_into:
            self.replica.looked_into(start, self._undecided(), self.problems.scanned())

    async def _look_at_news(self) -> None:
        """What the watcher names does not wait for the end of a whole scan, unless that is an adoption."""
        named = self._changed_paths
        if named and not self.replica.adopting and named.keys().isdisjoint(("", IGNORE_FILE)):
            self._changed_paths = {}
            await self._look_at_named(list(named))

    def _report_scanned(self, start: str, found: Iterable[Problem]) -> None:
        if self.problems.report_scanned(start, found):
            self.materialiser.wake()

    async def _settle(self, paths: list[str], live: bool = False) -> None:
        for at in range(0, len(paths), PLAN_PATHS_MAX):
            if await self.materialiser.settle(paths[at : at + PLAN_PATHS_MAX], live):
                self.exchange.announce()

    async def _settle_read(self, path: str) -> None:
        await self._settle([path])

    def _not_renamed(self, paths: Iterable[str]) -> None:
        self.deleting.free(paths)

    async def _reload_ignore(self) -> bool:
        """Whether the rules changed: what they hid may have to be shown, and what they show may be hidden."""
        changed = await self._offload(self.replica.reload_ignore)
        self._report_scanned(IGNORE_FILE, self.replica.ignore.problems)
        if changed:
            self.outlook.rules_changed()
            self.materialiser.wake()
        return changed

    async def _look_again(self) -> None:
        while True:
            await trio.sleep(QUIET_SECONDS)
            if self._to_look_again:
                paths, self._to_look_again = self._to_look_again, set()
                self._look_at_now(paths)

    async def _try_again(self) -> None:
        rescan_at = trio.current_time() + RESCAN_SECONDS
        check_at = trio.current_time()
        while True:
            await trio.sleep(1)
            if trio.current_time() >= check_at:
                check_at = trio.current_time() + STATE_LOOK_SECONDS
                await self._offload(self.replica.check_whole)
            to_settle, to_look_at = self.problems.due()
            self._look_at([*to_settle, *to_look_at])
            if to_settle:
                self.materialiser.wake()
            if trio.current_time() >= rescan_at:
                rescan_at = trio.current_time() + RESCAN_SECONDS
                self._look_at([""])

    async def _bring_back(self) -> None:
        """What was brought along comes back everywhere, once a person has chosen that."""
        while True:
            after = ""
            while self.replica.choice is Choice.RESTORE and (
                page := await self._offload(self.replica.brought, after)
            ):
                after = page[-1]
                await self._settle(page)
            await self._offload(self.replica.forget_choice)
            await self._chosen.wait()
            self._chosen = trio.Event()

    # --- a remote edit

    async def _ingested(self, result: Ingested) -> None:
        for actor in result.forked:
            problem = Problem("", f"actor {actor.hex()[:8]} {_FORK}")
            self.problems.report(problem, Kind.LASTING)
        if result.own_forks:
            self.exchange.fall_behind()
            self._look_at([""])
        self.problems.hurry(None if result.membership else result.changed)  # our own role, perhaps
        self.exchange.announce()
        self.materialiser.wake()

    def _pulled(self) -> None:
        """Nothing more of the log is on its way: what is to be removed may be removed."""
        self.materialiser.wake()

    # --- standing

    def _progressed(self) -> None:
        """Something was recorded or shown: our standing may have moved."""
        self._moved()
        self.exchange.announce()

    def _moved(self) -> None:
        self.exchange.settled = self.settled
        self._changed()
