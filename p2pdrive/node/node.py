"""The node: everything that runs on one home, and who is whose child.

run
├── control API             on the home's Unix socket
├── listener                accepts peers
├── discovery               announces and finds nodes
├── dialler                 one task for each device to stay connected to
├── attend                  says who our drives and their members are, when that changes
├── keeper                  one for each registered drive, restarts what failed
│   └── drive               watch, observe, exchange, materialise
├── joining                 one for each invite not yet answered
└── signals                 SIGTERM and SIGINT end it all
"""

import functools
import gc
import logging
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from os import urandom
from pathlib import Path

import trio

from p2pdrive import __version__
from p2pdrive.api.control import Joined, Member, Shared, Version
from p2pdrive.api.server import serve as serve_api
from p2pdrive.engine.drive import Drive
from p2pdrive.engine.replica import drive_of, is_drive, take_up
from p2pdrive.engine.services import Services
from p2pdrive.engine.status import NodeInfo, NodeStatus
from p2pdrive.errors import DriveError, InviteError, PortInUse
from p2pdrive.folder.exact import ExactFiles
from p2pdrive.folder.watch import watch
from p2pdrive.history.log import Frontier
from p2pdrive.limits import (
    ADDRESSES_MAX,
    COLLECT_AFTER_OBJECTS,
    CONNECTIONS_SECONDS,
    JOIN_WAIT_SECONDS,
    OFFLOAD_THREADS,
)
from p2pdrive.net.addresses import local_addresses, parse_address
from p2pdrive.net.dial import dial
from p2pdrive.net.discovery import Discovery, NoDiscovery
from p2pdrive.net.listen import bound, listen, serve
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.node.choosing import check_place
from p2pdrive.node.connections import Connections
from p2pdrive.node.dialler import Dialler
from p2pdrive.node.home import Home, Registration
from p2pdrive.node.joining import Joining
from p2pdrive.node.keeper import Keeper
from p2pdrive.node.reporting import drive_status, joining_status, members, versions
from p2pdrive.node.sharing import (
    check_folder,
    forget_state,
    make_drive,
    make_invite,
    make_invite_while_closed,
)
from p2pdrive.planning.reconcile import Choice
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.invite import Invite
from p2pdrive.wire.messages import VERSION, Hello

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class NodeOptions:
    """``listen`` and ``peers`` are ``host:port``; ``discovery`` is whether to use mDNS."""

    listen: str | None = None
    peers: tuple[str, ...] = ()
    discovery: bool = True


class Node:
    """A node on ``home``. ``share``, ``join`` and ``leave`` also work while it does not run."""

    def __init__(self, home: Home, options: NodeOptions) -> None:
        self._home = home
        self._options = options
        self._config = home.config()
        self._services = Services(
            Identity(home.seed(urandom)),
            self._config.name,
            functools.partial(trio.to_thread.run_sync, limiter=trio.CapacityLimiter(OFFLOAD_THREADS)),
            time.time_ns,
            urandom,
            lambda root: ExactFiles(Path(root)),
            lambda root, outlook: watch(Path(root), trio.to_thread.run_sync, outlook),
            own_key=home.key_inode(),
        )
        self._book = AddressBook(home.peers())
        self._registrations = {entry.path: entry for entry in home.registrations()}
        self._keepers: dict[str, tuple[Keeper, trio.CancelScope]] = {}
        self._joinings: dict[str, tuple[Joining, trio.CancelScope]] = {}
        self._bound: tuple[str, int] | None = None
        self._nursery: trio.Nursery | None = None
        self._stop = trio.Event()
        self._news = trio.Event()
        self._discovery: Discovery = NoDiscovery()
        self._connections = Connections(
            self._services, self._book, self._hello, self._open_drives, self._moved
        )

    # --- running

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Run until SIGTERM, SIGINT or ``stop``. Raises HomeInUse, PortInUse and other CallerErrors."""
        gc.set_threshold(COLLECT_AFTER_OBJECTS)
        for address in self._options.peers:
            parse_address(address)
        with self._home.lock():
            listeners = await self._listen()
            self._bound = bound(listeners)
            self._home.save_port(self._bound[1])
            self._discovery = self._make_discovery()
            async with self._discovery, trio.open_nursery() as nursery:
                self._nursery = nursery
                nursery.start_soon(self._await_signals)
                nursery.start_soon(serve, listeners, self._connections.accept)
                dialler = Dialler(self._services, self._connections, self._book, self._discovery, dial)
                await nursery.start(dialler.run, self._options.peers)
                nursery.start_soon(self._attend, dialler)
                for registration in self._registrations.values():
                    self._begin(registration)
                await nursery.start(serve_api, self, self._home.socket(make=True))
                log.info("listening on %s", ", ".join(self._addresses()))
                task_status.started()
                await self._stop.wait()
                self._connections.close_all()
                nursery.cancel_scope.cancel()
        self._home.save_peers(self._book.to_json())

    async def stop(self) -> None:
        """Begin to end."""
        self._stop.set()

    async def until_stopping(self) -> None:
        """Return once it begins to end: its drives are open until then."""
        await self._stop.wait()

    async def _listen(self) -> list[trio.SocketListener]:
        chosen = self._options.listen or self._config.listen
        if chosen is not None:
            return await listen(*parse_address(chosen, listening=True))
        try:
            return await listen("", self._home.port())  # the one of last time: invites name it
        except PortInUse:
            return await listen("", 0)

    def _make_discovery(self) -> Discovery:
        if not self._options.discovery:
            return NoDiscovery()
        from p2pdrive.net.mdns import MdnsDiscovery

        assert self._bound is not None
        host, port = self._bound
        return MdnsDiscovery(self._drive_ids, port, self._services.random, host=host)

    async def _await_signals(self) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                self._stop.set()
                return

    async def _attend(self, dialler: Dialler) -> None:
        """Follow what our drives are and who their members are."""
        known: set[bytes] = set()
        while True:
            await self._news.wait()
            self._news = trio.Event()
            self._connections.refresh()
            dialler.want(self._connections.wanted())
            self._connections.pass_on_addresses()
            if self._book.changed:
                self._home.save_peers(self._book.to_json())
            if self._book.news:
                self._book.news = False
                dialler.hurry()
            if set(self._drive_ids()) != known:
                known = set(self._drive_ids())
                self._discovery.update()
            await trio.sleep(CONNECTIONS_SECONDS)

    def _begin(self, registration: Registration) -> None:
        """Start what a registration stands for, if the node runs."""
        if self._nursery is None:
            return
        if registration.invite is not None:
            self._begin_joining(registration, Invite.parse(registration.invite))
            return
        marks = _unhexed(registration.marks)
        path, drive = registration.path, bytes.fromhex(registration.drive)
        keeper = Keeper(
            path,
            drive,
            self._services,
            marks,
            lambda marks: self._save_marks(path, marks),
            self._moved,
            Choice(registration.choice),
            lambda: self._save_choice(path, Choice.ASK),
        )
        scope = trio.CancelScope()
        self._keepers[path] = (keeper, scope)
        self._nursery.start_soon(_within, scope, keeper.run)
        self._moved()

    def _begin_joining(self, registration: Registration, invite: Invite) -> None:
        assert self._nursery is not None
        scope = trio.CancelScope()
        path, services = registration.path, self._services
        named = self._options.peers
        joining = Joining(
            invite, path, services, self._connections, self._discovery, dial, self._end_joining, named
        )
        self._joinings[path] = (joining, scope)
        self._nursery.start_soon(_within, scope, joining.run, self._nursery)
        self._moved()

    async def _end_joining(self, joining: Joining) -> None:
        self._joinings.pop(joining.path, None)
        if joining.refusal is not None:
            log.warning("%s was not joined: %s", joining.path, joining.refusal)
            self._unregister(joining.path)
        else:
            self._home.save_peers(self._book.to_json())  # without the invite we know no other address
            registration = replace(self._registrations[joining.path], invite=None)
            self._register(registration)
            self._begin(registration)

    # --- Control

    async def status(self) -> NodeStatus:
        """The node and its drives as they are now."""
        device = self._services.identity.device
        node = NodeInfo(device.hex(), self._services.name, __version__, tuple(self._addresses()))
        traffic = self._connections.traffic
        drives = [await drive_status(keeper, device, traffic) for keeper, _ in list(self._keepers.values())]
        drives += [joining_status(joining) for joining, _ in self._joinings.values()]
        return NodeStatus(node, tuple(sorted(drives, key=lambda drive: drive.path)))

    async def share(
        self, path: str, name: str | None, role: str, uses: int, expires: int, yes: bool = False
    ) -> Shared:
        """Make the folder a drive if it is none, and an invite to it. Raises DriveError, AskFirst where there
        is no ``yes``, InviteError."""
        offload = self._services.offload
        path = await offload(self._place, path)
        registration = self._registrations.get(path)
        if registration is not None and registration.invite is not None:
            raise InviteError(f"{path} is still being joined; it can be shared when it is a member.")
        created = False
        if registration is None:
            await offload(check_place, path, self._home.path, yes)
            await offload(check_folder, path, await offload(self._places), False)
            created = await offload(make_drive, path, name, self._services)
            registration = Registration(path, (await offload(drive_of, path)).hex())
            self._check_not_here(registration.drive, path)
            if not created:
                await offload(take_up, path, self._services)
        invite = await self._make_invite(path, role, uses, expires)
        if path not in self._registrations:
            self._register(registration)
            self._begin(registration)
        return Shared(registration.drive, path, created, invite.link())

    async def join(self, link: str, path: str, yes: bool = False) -> Joined:
        """Register the folder as the invite's drive, and wait a while for the answer. Raises InviteError, and
        as ``share`` does."""
        invite = Invite.parse(link)
        if invite.expires and invite.expires < self._services.now_ms() // 1000:
            raise InviteError("This invite has expired. Ask for another.")
        path = await self._services.offload(self._place, path)
        if path in self._registrations:
            raise DriveError(f"{path} is a drive of this node already. Choose another folder.")
        self._check_not_here(invite.drive.hex(), path)
        await self._services.offload(check_place, path, self._home.path, yes)
        places = await self._services.offload(self._places)
        await self._services.offload(check_folder, path, places, True)
        if is_drive(path) and await self._services.offload(drive_of, path) != invite.drive:
            raise DriveError(f"{path} is another drive already. Choose another folder for this one.")
        registration = Registration(path, invite.drive.hex(), invite=link)
        self._register(registration)
        self._begin(registration)
        if path in self._joinings:
            joining, _ = self._joinings[path]
            with trio.move_on_after(JOIN_WAIT_SECONDS):
                await joining.outcome.wait()
            if joining.refusal is not None:
                raise joining.refusal
        return Joined(invite.drive.hex(), invite.drive_name, path)

    async def leave(self, path: str, forget: bool) -> None:
        """Stop syncing the drive at ``path``; its files stay. Raises DriveError."""
        path = await self._services.offload(self._place, path)
        if path not in self._registrations:
            raise DriveError(f"{path} is no drive of this node. `p2pdrive status` lists them.")
        joining = self._joinings.pop(path, None)
        if joining is not None:
            joining[1].cancel()
        kept = self._keepers.pop(path, None)
        if kept is not None:
            kept[1].cancel()
            await kept[0].ended.wait()
        self._unregister(path)
        self._moved()
        if forget:
            await self._services.offload(forget_state, path)

    async def choose(self, path: str, choice: str) -> None:
        """What becomes of files that the folder brought along, and others had deleted. Raises DriveError."""
        if path not in self._registrations:
            raise DriveError(f"{path} is no drive of this node. `p2pdrive status` lists them.")
        chosen, drive = Choice(choice), self._drive_at(path)
        if drive is not None:
            await drive.choose(chosen)
        else:
            self._save_choice(path, chosen)  # for when it opens
            if path in self._keepers:
                self._keepers[path][0].choice = chosen

    async def log(self, path: str) -> list[Version]:
        """The versions of one path, newest first. Raises DriveError where no open drive holds it."""
        if await self._services.offload(self._place, path) in self._keepers:
            raise DriveError(f"{path} is the drive itself. Name a file or folder in it.")
        directory, _, name = path.rpartition("/")
        real = f"{await self._services.offload(os.path.realpath, directory)}/{name}"
        for root in self._keepers:
            drive = self._drive_at(root)
            for each in (path, real):
                if drive is not None and each.startswith(root + "/"):
                    return await self._services.offload(versions, drive.replica, each[len(root) + 1 :])
        raise DriveError(f"{path} is in no drive that is open on this node.")

    async def devices(self, path: str | None) -> list[Member]:
        """The members of the drive at ``path``, or of all drives. Raises DriveError."""
        path = await self._services.offload(self._place, path) if path is not None else None
        if path is not None and path not in self._keepers:
            raise DriveError(f"{path} is no drive of this node. `p2pdrive status` lists them.")
        device = self._services.identity.device
        chosen = [keeper for root, (keeper, _) in self._keepers.items() if path in (None, root)]
        return [member for keeper in chosen for member in members(keeper, device, self._book)]

    # --- helpers

    def _place(self, path: str) -> str:
        """The path by which a folder is registered; else where it really is, as a symlink may be changed."""
        if path in self._registrations:
            return path
        place = os.path.realpath(path)
        return next((known for known in self._registrations if os.path.realpath(known) == place), place)

    def _places(self) -> set[str]:
        """Where the folders of this node's drives really are."""
        return {os.path.realpath(path) for path in self._registrations}

    async def _make_invite(self, path: str, role: str, uses: int, expires: int) -> Invite:
        """By the drive that runs, or by opening it for the moment."""
        addresses = await self._invite_addresses()
        drive = self._drive_at(path)
        if drive is not None:
            invite = await self._services.offload(make_invite, drive.replica, role, uses, expires, addresses)
            drive.exchange.announce()
            return invite
        if path in self._keepers:
            raise DriveError(f"{path} is not open: {self._keepers[path][0].trouble or 'it is being opened'}")
        entry = self._registrations.get(path)
        marks = _unhexed(entry.marks) if entry is not None else {}
        invite, marks = await self._services.offload(
            make_invite_while_closed, path, self._services, marks, role, uses, expires, addresses
        )
        self._save_marks(path, marks)
        return invite

    def _hello(self) -> Hello:
        port = self._bound[1] if self._bound else 0
        return Hello(
            VERSION, self._services.name, __version__, port, tuple(self._addresses())[:ADDRESSES_MAX]
        )

    def _addresses(self) -> list[str]:
        return local_addresses(self._bound[1], self._bound[0]) if self._bound else []

    async def _invite_addresses(self) -> list[str]:
        if self._bound is not None:
            return self._addresses()
        if self._config.listen is not None:
            host, port = parse_address(self._config.listen, listening=True)
            return local_addresses(port, host) if port else []
        if not self._home.port():  # choose the one that the node will listen on when it runs
            listeners = await listen("", 0)
            self._home.save_port(bound(listeners)[1])
            for listener in listeners:
                await listener.aclose()
        return local_addresses(self._home.port())

    def _open_drives(self) -> dict[bytes, Drive]:
        return {keeper.id: keeper.drive for keeper, _ in self._keepers.values() if keeper.drive is not None}

    def _drive_ids(self) -> list[bytes]:
        return [bytes.fromhex(entry.drive) for entry in self._registrations.values()]

    def _drive_at(self, path: str) -> Drive | None:
        kept = self._keepers.get(path)
        return kept[0].drive if kept else None

    def _moved(self) -> None:
        self._news.set()

    def _check_not_here(self, drive: str, path: str) -> None:
        for entry in self._registrations.values():
            if entry.drive == drive and entry.path != path:
                raise DriveError(f"This drive is here already, in {entry.path}.")

    def _register(self, registration: Registration) -> None:
        self._registrations[registration.path] = registration
        self._home.save_registrations(tuple(self._registrations.values()))

    def _unregister(self, path: str) -> None:
        self._registrations.pop(path, None)
        self._home.save_registrations(tuple(self._registrations.values()))

    def _save_choice(self, path: str, choice: Choice) -> None:
        entry = self._registrations.get(path)
        if entry is not None and entry.choice != choice:
            self._register(replace(entry, choice=choice.value))

    def _save_marks(self, path: str, marks: Frontier) -> None:
        entry = self._registrations.get(path)
        as_hex: Mapping[str, tuple[int, str]] = {a.hex(): (seq, h.hex()) for a, (seq, h) in marks.items()}
        if entry is not None and entry.marks != as_hex:
            self._register(replace(entry, marks=as_hex))


def _unhexed(marks: Mapping[str, tuple[int, str]]) -> Frontier:
    return {bytes.fromhex(actor): (seq, bytes.fromhex(digest)) for actor, (seq, digest) in marks.items()}


async def _within(scope: trio.CancelScope, task: Callable[..., Awaitable[None]], *arguments: object) -> None:
    """A task that can be ended by itself."""
    with scope:
        await task(*arguments)
