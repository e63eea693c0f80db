"""Discovery on the local network by multicast DNS (RFC 6762) and DNS-SD (RFC 6763), by ``zeroconf``.

zeroconf lives on asyncio, so it gets a thread with a loop of its own. Two sides, each in one thread:
``MdnsDiscovery`` on trio, ``_Responder`` on asyncio. They talk by callbacks put into the other's loop.

An announcement never changes: for other drives, or other interfaces, there is a new one under a new nonce,
and a goodbye to the old one. A record that changes under one name may be lost in the caches of others.
Interfaces come and go: the responder looks at them every few seconds, and starts afresh when they changed.
"""

import asyncio
import logging
import re
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import suppress
from types import TracebackType
from typing import Self

import trio
from zeroconf import DNSQuestionType, Error, ServiceInfo, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from p2pdrive.limits import (
    DISCOVERY_INSTANCES_MAX,
    DISCOVERY_LOOKUP_MS,
    DISCOVERY_LOOKUPS_MAX,
    DISCOVERY_POLL_SECONDS,
    DISCOVERY_STOP_SECONDS,
)
from p2pdrive.net.addresses import Interface, announceable, local_addresses, local_interfaces
from p2pdrive.net.discovery import NONCE_BYTES, Found, announcement, dialable, shared_drives

SERVICE = "_p2pdrive._tcp.local."
_NAME = re.compile(r"[0-9a-f]{16}\." + re.escape(SERVICE))

#: At most one new announcement a second (RFC 6762, section 6).
_ANNOUNCE_GAP_SECONDS = 1.0

log = logging.getLogger(__name__)

Interfaces = Callable[[], list[Interface]]


class MdnsDiscovery:
    """Discovery on the networks that this machine is in.

    ``drives`` gives the ids of our drives and is asked at the start and at each ``update``; ``port`` and
    ``host`` are what the node listens on (``host`` a literal IP address, or a wildcard); ``random`` gives
    nonces; ``interfaces`` are asked every ``poll_seconds``. The last two are called in another thread.
    Never raises for what is wrong with the network: see ``problem``.
    """

    def __init__(
        self,
        drives: Callable[[], Iterable[bytes]],
        port: int,
        random: Callable[[int], bytes],
        *,
        host: str = "",
        interfaces: Interfaces = local_interfaces,
        poll_seconds: float = DISCOVERY_POLL_SECONDS,
    ) -> None:
        self.problem: str | None = None
        self._drives = drives
        self._known: dict[str, Found] = {}
        self._send, self._receive = trio.open_memory_channel[Found](DISCOVERY_INSTANCES_MAX)
        self._ended = trio.Event()
        self._responder = _Responder(self, random, host, port, interfaces, poll_seconds)

    async def __aenter__(self) -> Self:
        self._responder.drives = frozenset(self._drives())
        self._responder.start(trio.lowlevel.current_trio_token())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._responder.stop()
        with trio.CancelScope(shield=True, deadline=trio.current_time() + DISCOVERY_STOP_SECONDS):
            await self._ended.wait()
        self._send.close()

    def __aiter__(self) -> AsyncIterator[Found]:
        """Nodes as they appear or change; what nobody takes is left out, and still in ``known``."""
        return self._receive

    def known(self) -> tuple[Found, ...]:
        """All nodes that are announced now."""
        return tuple(self._known.values())

    def update(self) -> None:
        """Announce the drives that ``drives`` gives now, and match what was heard with them."""
        self._responder.change_drives(frozenset(self._drives()))

    def heard(self, instance: str, found: Found | None) -> None:
        """From the responder: ``instance`` is there with this to offer, or has nothing (any more)."""
        if found is None:
            self._known.pop(instance, None)
        elif self._known.get(instance) != found:
            self._known[instance] = found
            with suppress(trio.WouldBlock, trio.ClosedResourceError, trio.BrokenResourceError):
                self._send.send_nowait(found)

    def works(self, problem: str | None) -> None:
        """From the responder: it works, or what keeps it from working."""
        self.problem = problem

    def ended(self) -> None:
        """From the responder: its thread has said goodbye."""
        self._ended.set()


class _Responder:
    """The asyncio side. ``start``, ``stop`` and ``change_drives`` are called by the trio thread."""

    def __init__(
        self,
        owner: MdnsDiscovery,
        random: Callable[[int], bytes],
        host: str,
        port: int,
        interfaces: Interfaces,
        poll_seconds: float,
    ) -> None:
        self.drives: frozenset[bytes] = frozenset()
        self._owner = owner
        self._random = random
        self._host = host
        self._port = port
        self._interfaces = interfaces
        self._poll_seconds = poll_seconds
        self._here: list[Interface] = []
        self._problem: str | None = None
        self._own_names: deque[str] = deque(maxlen=16)
        self._heard: dict[str, ServiceInfo] = {}
        self._lookups: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._news = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._token: trio.lowlevel.TrioToken | None = None

    def start(self, token: trio.lowlevel.TrioToken) -> None:
        """Start the thread, which posts to the trio of ``token``."""
        self._token = token
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._thread, args=(self._loop,), name="mdns", daemon=True).start()

    def stop(self) -> None:
        """Say goodbye and end the thread."""
        self._call(self._stop.set)

    def change_drives(self, drives: frozenset[bytes]) -> None:
        """Announce these from now on."""

        def change() -> None:
            self.drives = drives
            for name in list(self._heard):
                self._match(name)
            self._news.set()

        self._call(change)

    def _call(self, function: Callable[[], None]) -> None:
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended: too late for any news
                self._loop.call_soon_threadsafe(function)

    def _post(self, function: Callable[..., None], *arguments: object) -> None:
        assert self._token is not None
        with suppress(trio.RunFinishedError):
            self._token.run_sync_soon(function, *arguments)

    def _thread(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                runner.run(self._until_stopped())
        finally:
            self._post(self._owner.ended)

    async def _until_stopped(self) -> None:
        sessions = asyncio.create_task(self._sessions())
        await self._stop.wait()
        sessions.cancel()
        await asyncio.wait({sessions})

    async def _sessions(self) -> None:
        """One session after another, each for one set of interfaces."""
        while True:
            try:
                self._here = announceable(self._interfaces(), self._host)
                if self._here:
                    await self._session()
                    continue
                self._report("this machine has no network interface on which to look for other nodes")
            except Exception as error:  # noqa: BLE001 (whatever zeroconf trips over, the node goes on)
                self._report(f"cannot look for other nodes on the local network ({error}); trying again")
            await asyncio.sleep(self._poll_seconds)

    async def _session(self) -> None:
        """Announce and listen on ``self._here`` until that has changed."""
        responder = AsyncZeroconf(interfaces=_multicast_choice(self._here))
        try:
            # Answers to all: an answer to one may end up with another program on port 5353 of this machine.
            browser = AsyncServiceBrowser(
                responder.zeroconf, SERVICE, handlers=[self._changed], question_type=DNSQuestionType.QM
            )
            self._report(None)
            try:
                async with asyncio.TaskGroup() as tasks:
                    announcing = tasks.create_task(self._announce_always(responder))
                    await self._until_interfaces_change(responder)
                    announcing.cancel()
            finally:
                await browser.async_cancel()
        finally:
            self._forget_all()
            # In a task that was never cancelled: zeroconf gives up closing in one that was.
            await asyncio.create_task(responder.async_close())

    async def _until_interfaces_change(self, responder: AsyncZeroconf) -> None:
        while announceable(self._interfaces(), self._host) == self._here:
            # Brings up what could not be used at first, such as an IPv6 address still being checked.
            await responder.async_update_interfaces(_multicast_choice(self._here))
            await asyncio.sleep(self._poll_seconds)

    async def _announce_always(self, responder: AsyncZeroconf) -> None:
        while True:
            await self._announce(responder)

    async def _announce(self, responder: AsyncZeroconf) -> None:
        """Announce until the drives change."""
        self._news.clear()
        service = self._service()
        # The name is random: no need to probe for others who have it (RFC 6762, section 8.1).
        repeats = asyncio.ensure_future(
            await responder.async_register_service(service, cooperating_responders=True)
        )
        try:
            await asyncio.sleep(_ANNOUNCE_GAP_SECONDS)
            await self._news.wait()
        finally:
            repeats.cancel()
        await responder.async_unregister_service(service)

    def _service(self) -> ServiceInfo:
        nonce = self._random(NONCE_BYTES).hex()
        name = f"{nonce}.{SERVICE}"
        self._own_names.append(name)
        return ServiceInfo(
            SERVICE,
            name,
            port=self._port,
            properties=announcement(self.drives, bytes.fromhex(nonce)),
            server=f"{nonce}.local.",
            parsed_addresses=[str(each.address.ip) for each in self._here],
        )

    def _changed(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if name in self._own_names or not _NAME.fullmatch(name):
            return
        if state_change is ServiceStateChange.Removed:
            self._forget(name)
        elif len(self._lookups) < DISCOVERY_LOOKUPS_MAX:
            lookup = asyncio.create_task(self._look_up(zeroconf, service_type, name))
            self._lookups.add(lookup)
            lookup.add_done_callback(self._lookups.discard)

    async def _look_up(self, zeroconf: Zeroconf, service_type: str, name: str) -> None:
        try:
            info = AsyncServiceInfo(service_type, name)
            complete = await info.async_request(zeroconf, DISCOVERY_LOOKUP_MS, DNSQuestionType.QM)
        except Error as error:
            log.debug("an announcement cannot be read: %s", error)
            return
        if complete:
            self._heard.pop(name, None)
            while len(self._heard) >= DISCOVERY_INSTANCES_MAX:
                self._forget(next(iter(self._heard)))
            self._heard[name] = info
            self._match(name)

    def _match(self, name: str) -> None:
        info = self._heard[name]
        drives = shared_drives(info.properties, self.drives)
        own = local_addresses(self._port, "", self._here)
        networks = [each.address.network for each in self._here]
        addresses = dialable(info.parsed_addresses(), info.port or 0, own, networks)
        instance = name.removesuffix("." + SERVICE)
        found = Found(instance, addresses, drives) if drives and addresses else None
        self._post(self._owner.heard, instance, found)

    def _forget(self, name: str) -> None:
        if self._heard.pop(name, None) is not None:
            self._post(self._owner.heard, name.removesuffix("." + SERVICE), None)

    def _forget_all(self) -> None:
        for lookup in self._lookups:
            lookup.cancel()
        for name in list(self._heard):
            self._forget(name)

    def _report(self, problem: str | None) -> None:
        if problem is not None and problem != self._problem:
            log.warning("%s", problem)
        self._problem = problem
        self._post(self._owner.works, problem)


def _multicast_choice(interfaces: Iterable[Interface]) -> list[str | int]:
    """How zeroconf wants them named: IPv4 by address, IPv6 by the interface's index."""
    v4 = [str(each.address.ip) for each in interfaces if each.address.version == 4]
    v6 = sorted({each.index for each in interfaces if each.address.version == 6})
    return [*v4, *v6]
