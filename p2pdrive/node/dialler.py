"""Staying connected: to members of our drives, to what discovery finds, to addresses a person named."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field

import trio

from p2pdrive.engine.services import Services
from p2pdrive.errors import P2PDriveError
from p2pdrive.net.backoff import Backoff
from p2pdrive.net.discovery import Discovery
from p2pdrive.net.stream import ByteStream
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.node.connections import Connections
from p2pdrive.secure.handshake import Handshake

Dial = Callable[[Sequence[str]], Awaitable[ByteStream]]


@dataclass(slots=True)
class _Target:
    """Someone to stay connected to; ``device`` once it is known.

    ``wrong``: where somebody else answered, of those tried since it was last reached; they are tried last.
    """

    addresses: Callable[[], Sequence[str]]
    device: bytes | None = None
    news: trio.Event = field(default_factory=trio.Event)
    wrong: set[str] = field(default_factory=set)


class Dialler:
    """Keeps one task for each target that dials whenever it is not connected."""

    def __init__(
        self,
        services: Services,
        connections: Connections,
        book: AddressBook,
        discovery: Discovery,
        dial: Dial,
    ) -> None:
        self._services = services
        self._connections = connections
        self._book = book
        self._discovery = discovery
        self._dial = dial
        self._targets: dict[bytes | str, _Target] = {}
        self._fleeting: set[bytes | str] = set()  # found by discovery, gone when it says so
        self._dialling: set[str] = set()

    async def run(
        self, named: Iterable[str], *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        """Dial until cancelled; ``named`` are addresses that the person gave."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            for address in named:
                self._add(address, lambda address=address: (address,))  # type: ignore[misc]
            async for found in self._discovery:
                self._fleeting.add(found.instance)
                self._add(found.instance, lambda name=found.instance: self._found(name))  # type: ignore[misc]
                self.hurry()
            await trio.sleep_forever()

    def want(self, devices: Iterable[bytes]) -> None:
        """Stay connected to these devices from now on."""
        for device in devices:
            if device != self._services.identity.device:
                self._add(device, lambda device=device: self._book.addresses(device), device)  # type: ignore[misc]

    def hurry(self) -> None:
        """There is news of addresses: do not sit out the pauses."""
        for target in self._targets.values():
            target.news.set()

    def _add(
        self, key: bytes | str, addresses: Callable[[], Sequence[str]], device: bytes | None = None
    ) -> None:
        if key not in self._targets:
            target = self._targets[key] = _Target(addresses, device)
            self._nursery.start_soon(self._keep, key, target)

    def _found(self, instance: str) -> Sequence[str]:
        known = (found.addresses for found in self._discovery.known() if found.instance == instance)
        return next(known, ())

    async def _keep(self, key: bytes | str, target: _Target) -> None:
        backoff = Backoff(self._uniform)
        while key not in self._fleeting or target.addresses():
            addresses = [each for each in target.addresses() if each not in self._dialling]
            addresses.sort(key=lambda each: each in target.wrong)
            if self._is_reached(target, addresses):
                await self._connections.change.wait()
                continue
            if addresses:
                backoff.lasted(await self._try(target, addresses))
            target.news = trio.Event()
            with trio.move_on_after(backoff.pause()):
                await target.news.wait()
                backoff.reset()
        self._fleeting.discard(key)
        del self._targets[key]

    async def _try(self, target: _Target, addresses: Sequence[str]) -> float:
        """One attempt; when the connection that came of it has ended, the seconds that it lasted.

        Those are counted from the end of the handshake: to wait long for nothing is no success.
        """
        identity, random = self._services.identity, self._services.random
        self._dialling.update(addresses)
        try:
            stream = await self._dial(addresses)
        except P2PDriveError:
            return 0.0
        finally:
            self._dialling.difference_update(addresses)
        handshake = Handshake.initiate(identity, random, expect=target.device)
        began: list[float] = []
        device = await self._connections.serve(
            stream, handshake, initiated=True, began=lambda _: began.append(trio.current_time())
        )
        if device is None:
            target.wrong.add(stream.peer_address)
        else:
            target.wrong.clear()
        target.device = target.device or device
        return trio.current_time() - began[0] if began else 0.0

    def _is_reached(self, target: _Target, addresses: Sequence[str]) -> bool:
        """Whether there is a link to the target already, maybe by another of its names."""
        links = self._connections.links
        if target.device is not None:
            return target.device in links
        return any(set(self._book.addresses(device)) & set(addresses) for device in links)

    def _uniform(self) -> float:
        return int.from_bytes(self._services.random(4), "big") / (1 << 32)
