"""A run of the node on a machine, from its start to its stop or kill: what ``node/node.py`` does, without
sockets, signals and the control API.
"""

import logging
from typing import TYPE_CHECKING

import trio

from p2pdrive.engine.drive import Drive
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Unreachable
from p2pdrive.history.log import Frontier
from p2pdrive.lab.disk import Killed
from p2pdrive.lab.network import SimulatedStream
from p2pdrive.limits import CONNECTIONS_SECONDS
from p2pdrive.net.discovery import NoDiscovery
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.node.connections import Connections
from p2pdrive.node.dialler import Dialler
from p2pdrive.node.joining import Joining
from p2pdrive.node.keeper import Keeper
from p2pdrive.secure.handshake import Handshake
from p2pdrive.wire.messages import VERSION, Hello

if TYPE_CHECKING:
    from p2pdrive.lab.machine import Machine

log = logging.getLogger(__name__)


class Process:
    """The node's process on ``machine``; ``dead`` once it was killed, ``over`` when nothing of it is left."""

    def __init__(self, machine: "Machine") -> None:
        self.machine = machine
        self.dead = False
        self.over = trio.Event()
        self.scope = trio.CancelScope()
        self.book = AddressBook(machine.home.book)
        self.connections = Connections(
            machine.services, self.book, self._hello, self._open_drives, self._moved
        )
        self.dialler = Dialler(machine.services, self.connections, self.book, NoDiscovery(), machine.dial)
        self.keeper: Keeper | None = None
        self.joining: Joining | None = None
        self.replicas: list[Replica] = []  # that were opened
        self.changed = trio.Event()  # the folder has: what a watcher waits for
        self._news = trio.Event()
        self._nursery: trio.Nursery | None = None

    @property
    def drive(self) -> Drive | None:
        """While it is open."""
        return self.keeper.drive if self.keeper is not None else None

    async def run(self) -> None:
        """Until stopped or killed. What fails in an unforeseen way is the world's to judge."""
        machine = self.machine
        network = machine.world.network
        try:
            with self.scope:
                async with trio.open_nursery() as nursery:
                    self._nursery = nursery
                    await nursery.start(self.dialler.run, ())
                    nursery.start_soon(self._attend)
                    network.listen(machine.name, machine.address, self.accept)
                    self._begin(nursery)
                    await trio.sleep_forever()
        except* Killed:
            assert self.dead
        except* Exception as group:
            log.exception("the node on %s crashed", machine.name, exc_info=group)
        finally:
            network.stop_listening(machine.address, self.accept)
            if self.dead:  # the kernel closes what was open
                for replica in self.replicas:
                    replica.database.close()
            else:
                machine.home.book = self.book.to_json()
            self.over.set()

    def stop(self) -> None:
        """Begin to end, as at SIGTERM."""
        self.connections.close_all()
        self.scope.cancel()

    def kill(self) -> None:
        """End without another word. Inside an operation of the folder, raise ``Killed`` after it."""
        self.dead = True
        self.scope.cancel()

    def accept(self, stream: SimulatedStream) -> None:
        """A peer opened a connection."""
        assert self._nursery is not None
        if not self.scope.cancel_called:
            self._nursery.start_soon(self.connections.accept, stream)

    def reach(self, other: "Machine") -> None:
        """Dial ``other``, whatever connections there are; not yet while this starts."""
        if self._nursery is not None:
            self._nursery.start_soon(self._reach, other)

    async def _reach(self, other: "Machine") -> None:
        identity, random = self.machine.identity, self.machine.services.random
        try:
            stream = await self.machine.dial([other.address])
        except Unreachable:
            return
        handshake = Handshake.initiate(identity, random, expect=other.identity.device)
        await self.connections.serve(stream, handshake, initiated=True)

    # --- as in node.py

    def _begin(self, nursery: trio.Nursery) -> None:
        home, machine = self.machine.home, self.machine
        if home.invite is not None:
            self.joining = Joining(
                home.invite,
                machine.root,
                machine.services,
                self.connections,
                NoDiscovery(),
                machine.dial,
                self._joined,
            )
            nursery.start_soon(self.joining.run, nursery)
        elif home.drive is not None:
            self.keeper = Keeper(
                machine.root, home.drive, machine.services, home.marks, self._save_marks, self._moved
            )
            nursery.start_soon(self.keeper.run)

    async def _joined(self, joining: Joining) -> None:
        assert self._nursery is not None
        if joining.refusal is not None:
            self.machine.world.note("refused", self.machine.name, why=joining.refusal)
        self.machine.home.book = self.book.to_json()
        self.machine.home.drive = None if joining.refusal is not None else joining.invite.drive
        self.machine.home.invite = None
        self._begin(self._nursery)

    async def _attend(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            self.connections.refresh()
            if self.drive is not None:
                members = self.drive.exchange.standing.members
                self.machine.home.is_member |= self.machine.identity.device in members
            self.dialler.want(self.connections.wanted())
            self.connections.pass_on_addresses()
            if self.book.changed:
                self.machine.home.book = self.book.to_json()
            if self.book.news:
                self.book.news = False
                self.dialler.hurry()
            await trio.sleep(CONNECTIONS_SECONDS)

    def _save_marks(self, marks: Frontier) -> None:
        if not self.dead:
            self.machine.home.marks = dict(marks)

    def _hello(self) -> Hello:
        return Hello(VERSION, self.machine.name, "lab", 4100, (self.machine.address,))

    def _open_drives(self) -> dict[bytes, Drive]:
        drive = self.drive
        return {drive.replica.drive: drive} if drive is not None else {}

    def _moved(self) -> None:
        self._news.set()
