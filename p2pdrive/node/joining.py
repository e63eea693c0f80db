"""Becoming a member: finding someone who lets us in, and making the folder a replica of the drive."""

import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import NamedTuple

import trio

from p2pdrive.engine.replica import create, is_drive, take_up
from p2pdrive.engine.services import Services
from p2pdrive.errors import InviteError, P2PDriveError
from p2pdrive.limits import JOIN_RETRY_SECONDS, JOIN_RETRY_SECONDS_MAX
from p2pdrive.model.genesis import Genesis
from p2pdrive.net.discovery import Discovery
from p2pdrive.net.link import Link
from p2pdrive.net.stream import ByteStream
from p2pdrive.node.connections import Connections
from p2pdrive.node.dialler import Dial
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.invite import Invite

log = logging.getLogger(__name__)


class _Pause(NamedTuple):
    """A member is not asked again ``until`` then (seconds of the event loop's clock), ``seconds`` in all."""

    until: float
    seconds: float


_NO_PAUSE = _Pause(0, JOIN_RETRY_SECONDS / 2)


class Joining:
    """One join under way. ``outcome`` is set when it ended; ``refusal`` is why, None where it worked.

    ``trouble`` says why it has not ended yet. ``named`` are addresses that the person gave: whoever is there
    may let us in too.
    """

    def __init__(
        self,
        invite: Invite,
        path: str,
        services: Services,
        connections: Connections,
        discovery: Discovery,
        dial: Dial,
        joined: Callable[["Joining"], Awaitable[None]],
        named: Sequence[str] = (),
    ) -> None:
        self.invite = invite
        self.path = path
        self.since_ns = services.now_ns()
        self.outcome = trio.Event()
        self.refusal: InviteError | None = None
        self.trouble = "looking for a member of the drive."
        self._services = services
        self._connections = connections
        self._discovery = discovery
        self._dial = dial
        self._joined = joined
        self._named = named
        self._pauses: dict[bytes, _Pause] = {}  # by member
        self._wrong: set[str] = set()  # where somebody else answered: those are tried last

    async def run(self, nursery: trio.Nursery) -> None:
        """Try until it worked or was refused; links that it opened go on in ``nursery``."""
        while not self.outcome.is_set():
            for attempt in self._attempts(nursery):
                try:
                    await attempt()
                except InviteError as refusal:
                    self.refusal = refusal
                    self.outcome.set()
                except (P2PDriveError, trio.BrokenResourceError) as error:
                    self.trouble = f"no member has let this device in yet: {error}"
                    log.info("joining %s: %s", self.path, error)
                if self.outcome.is_set():
                    break
            else:
                await trio.sleep(JOIN_RETRY_SECONDS)
        await self._joined(self)

    def _attempts(self, nursery: trio.Nursery) -> list[Callable[[], Awaitable[None]]]:
        """Who is connected already and has the drive, then whoever may be reached."""
        now = trio.current_time()
        connected = [
            partial(self._ask_holder, link)
            for link in self._connections.holders(self.invite.drive)
            if self._pauses.get(link.device, _NO_PAUSE).until <= now
        ]
        return [*connected, *(partial(self._try, addresses, nursery) for addresses in self._candidates())]

    def _candidates(self) -> list[Sequence[str]]:
        found = [each.addresses for each in self._discovery.known() if self.invite.drive in each.drives]
        named = [(address,) for address in self._named]
        return [addresses for addresses in (self.invite.addresses, *found, *named) if addresses]

    async def _try(self, addresses: Sequence[str], nursery: trio.Nursery) -> None:
        stream = await self._dial(sorted(addresses, key=lambda each: each in self._wrong))
        handshake = Handshake.initiate(self._services.identity, self._services.random, self.invite)
        link = await nursery.start(self._serve, stream, handshake)
        if link is None:
            self._wrong.add(stream.peer_address)
            raise P2PDriveError("whoever answered does not know the invite")
        await self._ask(link)

    async def _ask_holder(self, link: Link) -> None:
        """Over a link that other drives use, and which ends where we cannot be let in: ever more seldom."""
        seconds = min(2 * self._pauses.get(link.device, _NO_PAUSE).seconds, JOIN_RETRY_SECONDS_MAX)
        self._pauses[link.device] = _Pause(trio.current_time() + seconds, seconds)
        await self._ask(link)

    async def _ask(self, link: Link) -> None:
        raw = await self._connections.ask_to_join(link, self.invite)
        genesis = Genesis.decode(raw)
        if genesis.drive != self.invite.drive:
            raise P2PDriveError("whoever answered sent another drive")
        if not is_drive(self.path):
            await self._services.offload(create, self.path, genesis, self._services, True)
        else:
            await self._services.offload(take_up, self.path, self._services)
        self.outcome.set()

    async def _serve(
        self, stream: ByteStream, handshake: Handshake, *, task_status: trio.TaskStatus[Link | None]
    ) -> None:
        """Run the link, which lives on after the join; ``started`` with None where none came to be."""
        opened: list[Link] = []

        def begin(link: Link) -> None:
            opened.append(link)
            task_status.started(link)

        await self._connections.serve(stream, handshake, initiated=True, began=begin)
        if not opened:
            task_status.started(None)
