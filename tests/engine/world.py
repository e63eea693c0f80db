"""Several machines in one process: real folders, drives, links and sessions.

Streams are in memory, time is trio's clock (its mock, mostly), randomness is seeded, ``offload`` runs inline
or in threads, and watching is a ``look`` that the test asks for. Inline, all of a test happens at once.
"""

import logging
import os
import random
import stat
from collections.abc import AsyncGenerator, Callable, Iterable
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any, TypeVar

import trio
import trio.testing

from p2pdrive.engine.drive import Drive
from p2pdrive.engine.replica import Replica, drive_of
from p2pdrive.engine.services import Services
from p2pdrive.folder.exact import ExactFiles
from p2pdrive.folder.files import Files
from p2pdrive.folder.outlook import Outlook
from p2pdrive.history.log import Frontier
from p2pdrive.model.paths import STATE_DIRECTORY
from p2pdrive.net.discovery import NoDiscovery
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.node.connections import Connections
from p2pdrive.node.joining import Joining
from p2pdrive.node.keeper import Keeper
from p2pdrive.node.sharing import make_drive, make_invite
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.invite import Invite
from p2pdrive.wire.messages import VERSION, Hello
from tests.engine.pipes import MemoryStream, stream_pair

T = TypeVar("T")

#: The wall clock when a test begins: 2030, so that files of today are old.
EPOCH_NS = 1_893_456_000 * 10**9
#: Virtual seconds within which everything must come to rest.
PATIENCE_SECONDS = 120.0

#: What is at a path: ("file", bytes, executable), ("link", target) or ("directory",).
Shown = tuple[Any, ...]
Tree = dict[str, Shown]


class World:
    """All machines of a test, and who is joined to whom."""

    def __init__(self, directory: Path, nursery: trio.Nursery, *, threads: bool = False) -> None:
        self.threads = threads
        self._clock = trio.lowlevel.current_clock()
        self.working = 0  # threads that run
        self.directory = directory
        self.nursery = nursery
        self.machines: list[Machine] = []
        self.failures = Failures()
        self._cables: dict[frozenset[str], MemoryStream] = {}
        self._dots: dict[tuple[bytes, int], bytes] = {}

    def machine(self, name: str, drive: str = "drive") -> "Machine":
        """A machine with an empty folder called ``drive``, not shared yet."""
        made = Machine(self, name, len(self.machines))
        made.root = self.directory / name / drive
        made.root.mkdir(parents=True)
        self.machines.append(made)
        return made

    async def sharing(self, *names: str, files: dict[str, str] | None = None) -> "list[Machine]":
        """Machines that share one drive, made by the first of them, all joined to each other."""
        found = [self.machine(name) for name in names]
        for path, text in (files or {}).items():
            found[0].write(path, text)
        await found[0].share()
        for joiner in found[1:]:
            await joiner.join(found[0])
        self.join_up()
        await self.converge(*found)
        return found

    async def in_conflict(self, path: str = "report.txt") -> "tuple[Machine, Machine, str]":
        """Anna and berta, who have both edited ``path``, and the name of the copy of anna's version."""
        anna, berta = await self.sharing("anna", "berta", files={path: "first"})
        self.part()
        for machine in (anna, berta):
            await trio.sleep(1)
            machine.write(path, f"by {machine.name}")
            machine.look()
            await self.quiet()
        self.join_up()
        await self.converge()
        (copy,) = anna.copies()
        return anna, berta, copy

    def now_ns(self) -> int:
        """The wall clock of all machines."""
        return EPOCH_NS + int(self._clock.current_time() * 1e9)

    # --- cables

    def connect(self, one: "Machine", other: "Machine") -> None:
        """``one`` dials ``other``."""
        pair = frozenset((one.name, other.name))
        near, far = stream_pair(one.address, other.address)
        self._cables[pair] = near
        handshake = Handshake.initiate(one.identity, one.services.random, expect=other.identity.device)
        self.nursery.start_soon(one.serve, near, handshake)
        self.nursery.start_soon(other.connections.accept, far)

    def cut(self, one: "Machine", other: "Machine") -> None:
        """Pull the cable between them, if there is one."""
        cable = self._cables.pop(frozenset((one.name, other.name)), None)
        if cable is not None:
            cable.cut()

    def stall(self, one: "Machine", other: "Machine") -> None:
        """Nothing passes between them any more, and neither is told."""
        self._cables[frozenset((one.name, other.name))].stall()

    def cut_off(self, machine: "Machine") -> None:
        """Pull all cables of ``machine``."""
        for other in self.machines:
            self.cut(machine, other)

    def part(self) -> None:
        """Pull all cables."""
        for machine in self.machines:
            self.cut_off(machine)

    def join_up(self, *machines: "Machine") -> None:
        """Cables between all of ``machines`` (all there are) that have none."""
        for one, other in combinations(machines or self.machines, 2):
            cable = self._cables.get(frozenset((one.name, other.name)))
            if cable is None or cable.ended:
                self.connect(one, other)

    # --- waiting

    async def quiet(self) -> None:
        """Until nobody has anything to do that can be done now."""
        deadline = trio.current_time() + PATIENCE_SECONDS
        while True:
            await trio.testing.wait_all_tasks_blocked()
            if not self.working and not any(machine.busy for machine in self.machines):
                return
            assert trio.current_time() < deadline, "it does not come to rest"
            await trio.sleep(0.1)

    async def converge(self, *machines: "Machine") -> Tree:
        """Look everywhere, and wait until ``machines`` (all) show the same, know the same, and say so."""
        those = machines or tuple(self.machines)
        for machine in those:
            machine.look()
        deadline = trio.current_time() + PATIENCE_SECONDS
        while True:
            await self.quiet()
            if (why := _differing(those)) is None:
                return those[0].tree()
            assert trio.current_time() < deadline, why
            await trio.sleep(0.5)

    def check_dots(self) -> None:
        """No (actor, seq) has ever named two contents, in any log, at any time this was asked."""
        for machine in self.machines:
            for dot, data in machine.dots().items():
                assert self._dots.setdefault(dot, data) == data, f"{machine.name} has {dot} anew"

    async def until(self, condition: Callable[[], object], what: str) -> None:
        """Wait for ``condition``."""
        with trio.move_on_after(PATIENCE_SECONDS):
            while not condition():
                await trio.testing.wait_all_tasks_blocked()
                if not condition():
                    await trio.sleep(0.1)
            return
        raise AssertionError(f"in vain: {what}")

    async def offload(self, work: Callable[..., T], /, *arguments: Any) -> T:
        """Off the loop, if there are threads."""
        self.working += 1
        try:
            if self.threads:
                return await trio.to_thread.run_sync(work, *arguments)
            await trio.lowlevel.checkpoint()
            return work(*arguments)
        finally:
            self.working -= 1

    async def close(self) -> None:
        """Stop all machines; nothing may have failed in a way that nobody expected."""
        for machine in self.machines:
            await machine.stop()
        self.failures.check()


class Machine:
    """A device with one drive, in ``root``; more of them by ``open_drive``."""

    root: Path

    def __init__(self, world: World, name: str, number: int) -> None:
        self.world = world
        self.name = name
        self.address = f"192.0.2.{number + 1}:4100"
        self.random = random.Random(f"{name} {number}")
        self.identity = Identity(self.random.randbytes(32))
        self.before: dict[tuple[str, str], Callable[[], None]] = {}
        self.after: dict[tuple[str, str], Callable[[], None]] = {}
        self.onlooker: Callable[[], None] = _nothing  # looks after each change to the folder
        self.marks: dict[Path, Frontier] = {}
        self.services = Services(
            self.identity,
            name,
            world.offload,
            world.now_ns,
            self.random.randbytes,
            self._open_files,
            self._watch,
        )
        self.book = AddressBook()
        self.connections = Connections(self.services, self.book, self._hello, self._open_drives, self._moved)
        self._kept: dict[Path, _Kept] = {}
        self._news = trio.Event()
        world.nursery.start_soon(self._attend)

    # --- the drive

    @property
    def drive(self) -> Drive:
        drive = self._kept[self.root].keeper.drive
        assert drive is not None, self.trouble
        return drive

    @property
    def replica(self) -> Replica:
        return self.drive.replica

    @property
    def trouble(self) -> str:
        """Why the drive is not open."""
        return self._kept[self.root].keeper.trouble

    @property
    def problems(self) -> dict[str, str]:
        """Path → what is wrong with it."""
        return {path: what for path, what, _ in self.drive.problems.all()}

    @property
    def busy(self) -> bool:
        drives = [kept.keeper.drive for kept in self._kept.values()]
        return any(drive and _is_busy(drive) for drive in drives)

    async def share(self) -> None:
        """Make the folder a drive and start it."""
        make_drive(str(self.root), "drive", self.services)
        await self.start()

    async def join(self, member: "Machine", role: str = "editor") -> None:
        """Become a member of ``member``'s drive, through it, and start."""
        await self.enter(member.invite(role))

    async def enter(self, invite: Invite) -> None:
        """The same, with an invite that was made."""
        joining = Joining(
            invite, str(self.root), self.services, self.connections, NoDiscovery(), self._dial, self._joined
        )
        await joining.run(self.world.nursery)
        if joining.refusal is not None:
            raise joining.refusal
        await self.start()

    def invite(self, role: str = "editor", uses: int = 1) -> Invite:
        """An invite to the drive that leads here."""
        made = make_invite(self.replica, role, uses, 0, [self.address])
        self.drive.exchange.announce()
        return made

    async def start(self) -> None:
        """Run the drive that is in ``root``; returns when it is open."""
        root = self.root
        kept = _Kept(
            Keeper(
                str(root),
                drive_of(str(root)),
                self.services,
                self.marks.get(root, {}),
                lambda marks: self.marks.update({root: marks}),
                self._moved,
            )
        )
        self._kept[root] = kept
        self.world.nursery.start_soon(kept.run)
        await self.world.until(lambda: kept.keeper.drive or kept.keeper.trouble, "opening the drive")
        self.connections.refresh()

    async def stop(self) -> None:
        """Close all drives; their state is on disk."""
        for kept in self._kept.values():
            kept.scope.cancel()
            await kept.over.wait()
        self._kept.clear()
        self.connections.refresh()

    async def restart(self) -> None:
        await self.stop()
        await self.start()

    def look(self, *paths: str) -> None:
        """What a watcher would have said: these paths (all) may have changed."""
        for kept in self._kept.values():
            kept.to_look.send_nowait(set(paths or [""]))

    # --- the folder, as a person uses it

    def write(self, path: str, content: str | bytes) -> None:
        data = content.encode() if isinstance(content, str) else content
        place = self.root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        now = self.world.now_ns()
        os.utime(place, ns=(now, now))

    def read(self, path: str) -> str:
        return (self.root / path).read_text()

    def delete(self, path: str) -> None:
        (self.root / path).unlink()

    def rename(self, path: str, to: str) -> None:
        target = self.root / to
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).rename(target)

    def tree(self) -> Tree:
        """What a person sees, the drive's own folder left out."""
        found: Tree = {}
        for place in sorted(self.root.rglob("*")):
            path = str(place.relative_to(self.root))
            if path.split("/", 1)[0] != STATE_DIRECTORY:
                found[path] = _shown(place)
        return found

    def files(self) -> dict[str, str]:
        """Path → text of all files."""
        return {path: shown[1].decode() for path, shown in self.tree().items() if shown[0] == "file"}

    def copies(self) -> list[str]:
        """The names of files that look like conflict copies."""
        return [path for path in self.tree() if "(conflict " in path]

    # --- the database

    def query(self, sql: str, *values: object) -> list[tuple[Any, ...]]:
        with self.replica.database.read() as connection:
            return connection.execute(sql, values).fetchall()

    def dots(self) -> dict[tuple[bytes, int], bytes]:
        """(actor, seq) → the record, of all that is held."""
        sql = "SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor"
        return {(actor, seq): data for actor, seq, data in self.query(sql)}

    def own_actors(self) -> list[bytes]:
        sql = "SELECT id FROM actors WHERE own = 1 AND device = ? ORDER BY number"
        return [row[0] for row in self.query(sql, self.identity.device)]

    def heads(self, path: str) -> int:
        """How many heads the path has."""
        with self.replica.reading() as log:
            return len(log.registers.heads(path))

    @property
    def sent_bytes(self) -> int:
        """On the links that are up."""
        return sum(link.sent_bytes for link in self.connections.links.values())

    # --- how

    async def serve(self, stream: MemoryStream, handshake: Handshake) -> None:
        await self.connections.serve(stream, handshake, initiated=True)

    async def _dial(self, addresses: Iterable[str]) -> MemoryStream:
        for other in self.world.machines:
            if other.address in addresses:
                near, far = stream_pair(self.address, other.address)
                self.world._cables[frozenset((self.name, other.name))] = near
                self.world.nursery.start_soon(other.connections.accept, far)
                return near
        raise AssertionError(f"nobody is at {addresses}")

    async def _joined(self, joining: Joining) -> None:
        pass

    def _open_files(self, root: str) -> Files:
        return Meddled(self, Path(root))

    async def _watch(self, root: str, _outlook: Outlook) -> AsyncGenerator[set[str], None]:
        yield {""}
        async for paths in self._kept[Path(root)].looks:
            yield paths

    def _hello(self) -> Hello:
        return Hello(VERSION, self.name, "test", 4100, (self.address,))

    def _open_drives(self) -> dict[bytes, Drive]:
        keepers = [kept.keeper for kept in self._kept.values()]
        return {keeper.id: keeper.drive for keeper in keepers if keeper.drive is not None}

    def _moved(self) -> None:
        self._news.set()

    async def _attend(self) -> None:
        while True:
            await self._news.wait()
            self._news = trio.Event()
            self.connections.refresh()
            self.connections.pass_on_addresses()


class Meddled(ExactFiles):
    """The folder of a machine whose person may do something just before, or after, a change of ours.

    What is in ``before`` and ``after`` by (operation, path) is done once.
    """

    def __init__(self, machine: Machine, root: Path) -> None:
        super().__init__(root)
        self._machine = machine

    def list(self, path: str) -> Any:
        return self._meddle("list", path, super().list, path)

    def publish(self, name: str, path: str, expected: Any) -> Any:
        return self._meddle("publish", path, super().publish, name, path, expected)

    def remove(self, path: str, expected: Any) -> Any:
        return self._meddle("remove", path, super().remove, path, expected)

    def move(self, source: str, path: str, expected: Any) -> Any:
        return self._meddle("move", source, super().move, source, path, expected)

    def set_metadata(
        self, path: str, mtime_ns: int, executable: bool, expected: Any, private: bool | None = None
    ) -> Any:
        work = super().set_metadata
        return self._meddle("set_metadata", path, work, path, mtime_ns, executable, expected, private)

    def make_directory(self, path: str, private: bool | None = None) -> None:
        self._meddle("make_directory", path, super().make_directory, path, private)

    def remove_directory(self, path: str) -> Any:
        return self._meddle("remove_directory", path, super().remove_directory, path)

    def _meddle(self, operation: str, path: str, work: Callable[..., Any], *arguments: Any) -> Any:
        self._machine.before.pop((operation, path), _nothing)()
        result = work(*arguments)
        self._machine.after.pop((operation, path), _nothing)()
        self._machine.onlooker()
        return result


def _nothing() -> None:
    pass


@dataclass
class _Kept:
    """A drive that is open on a machine."""

    keeper: Keeper
    scope: trio.CancelScope = field(default_factory=trio.CancelScope)
    over: trio.Event = field(default_factory=trio.Event)

    def __post_init__(self) -> None:
        self.to_look, self.looks = trio.open_memory_channel[set[str]](float("inf"))

    async def run(self) -> None:
        try:
            with self.scope:
                await self.keeper.run()
        finally:
            self.over.set()


class Failures(logging.Handler):
    """What p2pdrive logged as a bug of its own."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[str] = []
        logging.getLogger("p2pdrive").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(logging.Formatter().format(record))

    def check(self) -> None:
        logging.getLogger("p2pdrive").removeHandler(self)
        assert not self.found, "\n".join(self.found)


def _is_busy(drive: Drive) -> bool:
    """Whether it is at work; one that first has to hear from others is not."""
    return drive.materialiser.busy or (drive.informed and not drive.settled)


def _differing(machines: Iterable[Machine]) -> str | None:
    """In what way these are not in sync; None if they are."""
    first, *rest = machines
    for machine in (first, *rest):
        missing = machine.query("SELECT key FROM unshown")
        if missing:
            return f"{machine.name} does not show {missing}; problems: {machine.problems}"
        exchange = machine.drive.exchange
        for other in (first, *rest):
            peer = next((p for p in exchange.peers.values() if p.link.device == other.identity.device), None)
            if peer is not None and not (exchange.holds_all(peer) and exchange.held_all(peer)):
                return f"{machine.name} is not in sync with {other.name}"
    for other in rest:
        if other.drive.exchange.standing.frontier != first.drive.exchange.standing.frontier:
            return f"{first.name} and {other.name} hold different logs"
        if other.tree() != first.tree():
            return f"{first.name} shows {first.tree()}\n{other.name} shows {other.tree()}"
    return None


def _shown(place: Path) -> Shown:
    if place.is_symlink():
        return ("link", str(place.readlink()))
    if place.is_dir():
        return ("directory",)
    found = place.stat()
    return ("file", place.read_bytes(), bool(found.st_mode & stat.S_IXUSR), found.st_mtime_ns)
