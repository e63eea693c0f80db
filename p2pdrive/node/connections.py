"""The links of this node: at most one a device, shared by all drives that both hold."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import trio

from p2pdrive.engine.drive import Drive
from p2pdrive.engine.services import Services
from p2pdrive.errors import InviteError, P2PDriveError
from p2pdrive.limits import DEVICES_MAX, HANDSHAKES_MAX, LINKS_MAX, STRANGER_SECONDS
from p2pdrive.net.addresses import format_address, parse_address
from p2pdrive.net.greet import greet
from p2pdrive.net.link import Link
from p2pdrive.net.stream import ByteStream
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.invite import Invite
from p2pdrive.wire.messages import Addresses, Drives, Hello, Join, Joined, Message, Refused

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Standing:
    """What we know of one link: our drives by their tags on it, and the tags that the peer named."""

    ours: dict[bytes, Drive] = field(default_factory=dict)
    theirs: frozenset[bytes] = frozenset()
    addresses: tuple[str, ...] = ()  # where the peer says that it can be reached
    told: dict[bytes, Addresses] = field(default_factory=dict)
    asked: set[bytes] = field(default_factory=set)  # tags of drives that we asked to join on it
    heard: dict[bytes, Addresses] = field(default_factory=dict)  # who is a member may become known later


class Connections:
    """All links. ``drives`` gives those open now, by id; ``moved`` hears when a link came or went."""

    def __init__(
        self,
        services: Services,
        book: AddressBook,
        hello: Callable[[], Hello],
        drives: Callable[[], Mapping[bytes, Drive]],
        moved: Callable[[], None],
    ) -> None:
        self._services = services
        self._book = book
        self._hello = hello
        self._drives = drives
        self._moved = moved
        self._standings: dict[Link, _Standing] = {}
        self._greeting = 0
        self._past: dict[bytes, tuple[int, int]] = {}  # bytes sent and received on links that have ended
        self.links: dict[bytes, Link] = {}
        self.change = trio.Event()  # set, and replaced, when a link comes or goes

    # --- links come and go

    async def accept(self, stream: ByteStream) -> None:
        """Serve a connection that a peer opened, until it ends."""
        if self._greeting >= HANDSHAKES_MAX or len(self.links) >= LINKS_MAX:
            return
        identity, random = self._services.identity, self._services.random
        await self.serve(stream, Handshake.respond(identity, random, self._psk), initiated=False)

    async def serve(
        self,
        stream: ByteStream,
        handshake: Handshake,
        *,
        initiated: bool,
        began: Callable[[Link], None] = lambda _: None,
    ) -> bytes | None:
        """Greet, then run the link until it ends; returns the peer's device. A peer's faults are logged.

        ``began`` is called with the link when it is one of ours.
        """
        link = None
        try:
            self._greeting += 1
            try:
                session = await greet(stream, handshake)
            finally:
                self._greeting -= 1
            link = Link(
                stream,
                session,
                self._hello(),
                self._services.offload,
                initiated=initiated,
                trailing=handshake.trailing_data,
            )
            if not self._is_wanted(link):
                return link.device
            with self._registered(link):
                began(link)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._dismiss_stranger, link)
                    await link.run(self._handle)
                    nursery.cancel_scope.cancel()
            log.info("connection to %s ended: %s", _name(link), link.close_reason or "closed here")
        except* P2PDriveError as group:
            log.info("connection to %s ended: %s", stream.peer_address, _reason(group))
        except* Exception as group:
            log.exception("connection to %s: unexpected failure", stream.peer_address, exc_info=group)
        finally:
            with trio.CancelScope(shield=True):
                await stream.aclose()
        return link.device if link is not None else None

    def _is_wanted(self, link: Link) -> bool:
        """Of two links to a device one stays: that opened by the smaller id; of one opener, the newer."""
        present = self.links.get(link.device)
        if present is None:
            return True
        preferred = link.initiated == (self._services.identity.device < link.device)
        if present.initiated != link.initiated and not preferred:
            present.probe()  # the peer may know nothing of it any more, after a sleep or a power cut
            return False
        present.close("another connection took the place of this one")
        return True

    @contextmanager
    def _registered(self, link: Link) -> Iterator[None]:
        self.links[link.device] = link
        self._standings[link] = _Standing()
        self._changed()
        self.refresh()
        try:
            yield
        finally:
            for drive in self._standings.pop(link).ours.values():
                drive.detach(link)
            if self.links.get(link.device) is link:
                del self.links[link.device]
            self._remember_traffic(link)
            self._changed()

    def _remember_traffic(self, link: Link) -> None:
        if link.device in self._past or len(self._past) < DEVICES_MAX:
            sent, received = self._past.get(link.device, (0, 0))
            self._past[link.device] = sent + link.sent_bytes, received + link.received_bytes

    def holders(self, drive: bytes) -> list[Link]:
        """The links to devices that say that they hold ``drive``."""
        return [link for link, standing in self._standings.items() if link.tag(drive) in standing.theirs]

    def wanted(self) -> list[bytes]:
        """The devices to stay connected to: the members of our drives.

        While a drive waits for its log, who let us in may be no member that is known here: so whoever is in
        the book is wanted too.
        """
        drives = self._drives().values()
        members = [device for drive in drives for device in drive.exchange.standing.members]
        return members if all(drive.informed for drive in drives) else [*members, *self._book.devices()]

    def traffic(self, device: bytes) -> tuple[int, int]:
        """Bytes sent to ``device`` and received from it since the start."""
        sent, received = self._past.get(device, (0, 0))
        now = [link for link in self._standings if link.device == device]
        return sent + sum(link.sent_bytes for link in now), received + sum(
            link.received_bytes for link in now
        )

    async def _dismiss_stranger(self, link: Link) -> None:
        await trio.sleep(STRANGER_SECONDS)
        while True:
            standing = self._standings[link]
            if not standing.theirs & standing.ours.keys():
                link.close("we share no drive")
            await trio.sleep(STRANGER_SECONDS)

    def _changed(self) -> None:
        self.change.set()
        self.change = trio.Event()
        self._moved()

    # --- what our drives are

    def refresh(self) -> None:
        """Drives were opened or closed, or a link came: say which we hold, and open those that both do."""
        for link, standing in self._standings.items():
            ours = {link.tag(identifier): drive for identifier, drive in self._drives().items()}
            if ours.keys() != standing.ours.keys() or not standing.ours:
                link.send(Drives(tuple(ours)))
            for tag, drive in standing.ours.items():
                if ours.get(tag) is not drive:
                    drive.detach(link)
            standing.ours = ours
            self._attach(link, standing)

    def pass_on_addresses(self) -> None:
        """Tell members where the other members are, where that is news. Strangers' addresses are not kept."""
        for link, standing in self._standings.items():
            drives = standing.ours.values()
            if any(link.device in drive.exchange.standing.members for drive in drives):
                self._book.learn(link.device, standing.addresses, first=True)
                self._book.seen(link.device, self._services.now_ns())
            for message in standing.heard.values():
                self._note_addresses(link, standing, message)
        for link, standing in self._standings.items():
            for tag in standing.theirs & standing.ours.keys():
                members = standing.ours[tag].exchange.standing.members
                if link.device not in members:
                    continue
                known = [
                    (device, self._book.addresses(device)) for device in members if device != link.device
                ]
                message = Addresses(tag, tuple(each for each in known if each[1])[:DEVICES_MAX])
                if message.devices and standing.told.get(tag) != message:
                    standing.told[tag] = message
                    link.send(message)

    def _attach(self, link: Link, standing: _Standing) -> None:
        for tag in standing.theirs & standing.ours.keys():
            standing.ours[tag].attach(link)

    def _psk(self, invite: bytes) -> bytes | None:
        for drive in self._drives().values():
            with drive.replica.reading() as history:
                found = history.membership.psk(invite)
            if found is not None:
                return found
        return None

    # --- what peers say

    async def _handle(self, link: Link, message: Message) -> None:
        standing = self._standings[link]
        match message:
            case Hello():
                self._learn(link, message)
            case Drives():
                gone = standing.theirs - set(message.tags)
                standing.theirs = frozenset(message.tags)
                for tag in gone & standing.ours.keys():
                    standing.ours[tag].detach(link)
                standing.heard = {
                    tag: heard for tag, heard in standing.heard.items() if tag in standing.theirs
                }
                self._attach(link, standing)
            case Join():
                await self._answer_join(link, standing, message)
            case Addresses():
                if message.tag in standing.theirs & (standing.ours.keys() | standing.asked):
                    standing.heard[message.tag] = message
                    self._moved()
            case _:
                drive = standing.ours.get(getattr(message, "tag", b""))
                if drive is not None:
                    await drive.handle(link, message)
                elif type(message).__name__ != "Announce":
                    link.close("this drive is not open here any more")

    def _learn(self, link: Link, hello: Hello) -> None:
        log.info("connected to %s at %s", _name(link), link.address)
        host, _ = parse_address(link.address)
        reached = [link.address] if link.initiated else []
        if not link.initiated and hello.port:
            reached = [format_address(host, hello.port)]
        self._standings[link].addresses = (*reached, *hello.addresses)
        self._moved()

    def _note_addresses(self, link: Link, standing: _Standing, message: Addresses) -> None:
        """Of members only."""
        drive = standing.ours.get(message.tag)
        members = drive.exchange.standing.members if drive is not None else {}
        if link.device in members:
            for device, addresses in message.devices:
                if device in members:
                    self._book.learn(device, addresses)

    async def _answer_join(self, link: Link, standing: _Standing, message: Join) -> None:
        drive = standing.ours.get(message.tag)
        if drive is None:
            link.close("the drive is not open here just now")  # no refusal, which would end the join for good
            return
        try:
            await drive.admit(link.device, message)
        except InviteError as error:
            log.info("refused %s: %s", _name(link), error)
            link.send(Refused(message.tag, str(error)))
        else:
            link.send(Joined(message.tag, drive.replica.genesis.encode()))

    # --- joining

    async def ask_to_join(self, link: Link, invite: Invite) -> bytes:
        """The genesis of the drive that we are a member of now. Raises InviteError, LinkClosed."""
        proof = invite.prove(self._services.identity.device, self._services.name)
        tag = link.tag(invite.drive)
        standing = self._standings.get(link, _Standing())
        standing.asked.add(tag)
        request = Join(tag, self._services.name, proof, invite.public)
        answer = await link.ask(request)
        if isinstance(answer, Refused):
            raise InviteError(f"The invite was refused: {answer.reason}.")
        # Or else, were this link cut now, nobody would know where to find the other.
        reached = [link.address] if link.initiated else []
        self._book.learn(link.device, [*reached, *standing.addresses])
        return answer.genesis

    def close_all(self) -> None:
        """Say goodbye to everyone."""
        for link in list(self.links.values()):
            link.close("the node stops")


def _name(link: Link) -> str:
    return f"{link.peer_name or 'a device'} ({link.device.hex()[:8]})"


def _reason(group: BaseExceptionGroup[P2PDriveError]) -> str:
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error)
