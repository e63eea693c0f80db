"""A machine of the simulated world: a disk, a home, and a node that runs on it, or not."""

import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import trio

from p2pdrive.engine.drive import Drive
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.services import Services
from p2pdrive.errors import RootMissing, WorldError
from p2pdrive.folder.files import Files
from p2pdrive.folder.outlook import Outlook
from p2pdrive.lab.disk import Disk, Killed
from p2pdrive.lab.evidence import unrecorded_files
from p2pdrive.lab.files import SimulatedFiles
from p2pdrive.lab.network import SimulatedStream
from p2pdrive.lab.oddities import Oddity, mount_again
from p2pdrive.lab.packs import PackDurability
from p2pdrive.lab.process import Process
from p2pdrive.lab.writing import tell_unfinished
from p2pdrive.limits import WATCH_GATHER_SECONDS, WATCH_ROOT_SECONDS
from p2pdrive.model.paths import STATE_DIRECTORY
from p2pdrive.secure.identity import Identity
from p2pdrive.secure.invite import Invite

if TYPE_CHECKING:
    from p2pdrive.lab.world import World

T = TypeVar("T")

#: Of a machine's pieces of blocking work, the share that takes time, and how long at most, in seconds.
_SLOW_WORK = 0.1
_WORK_SECONDS_MAX = 0.02

#: Operations of the node that the trace names: those that change what a person sees.
_TRACED = frozenset(
    ("publish", "move", "remove", "make_symlink", "set_metadata", "make_directory", "remove_directory")
)
#: Pages of an index on a disk with room: SQLite's own bound.
_PAGES_MAX = (1 << 32) - 2


@dataclass
class Home:
    """What the node keeps outside the drive's folder; durable."""

    drive: bytes | None = None
    invite: Invite | None = None
    marks: dict[bytes, tuple[int, bytes]] = field(default_factory=dict)
    book: dict[str, Any] = field(default_factory=dict)
    is_member: bool = False  # its own log says so


@dataclass
class Ambush:
    """Something to do inside of a coming operation of the node on its folder.

    ``count`` operations named ``operation`` (empty: any) are let pass first; ``act`` is given the path.
    """

    when: str
    operation: str
    count: int
    act: Callable[[str], None]


@dataclass(frozen=True)
class Backup:
    """A folder and its ``.p2pdrive``, as they once were.

    ``gone`` are the paths that persons had taken away there, ``put_away`` is what a viewer had replaced.
    """

    disk: object
    state: Path
    gone: frozenset[str]
    put_away: Mapping[bytes, int]


class Machine:
    """A device with one folder. ``state`` is the real directory that holds the drive's ``.p2pdrive``."""

    def __init__(
        self,
        world: "World",
        name: str,
        number: int,
        role: str,
        *,
        grain_ns: int,
        folds_case: bool,
        oddity: Oddity,
    ) -> None:
        self.world = world
        self.name = name
        self.role = role
        self.clock_offset_ns = 0
        self.address = f"192.0.2.{number + 1}:4100"
        self.random = world.random_for(f"machine {name}")
        self.identity = Identity(self.random.randbytes(32))
        self.oddity = oddity
        if oddity.capacity < Oddity().capacity:
            world.oracle.seen.cramped.add(name)
        self.disk = Disk(
            world.random_for(f"disk {name}"),
            self.now_ns,
            capacity=oddity.capacity,
            grain_ns=max(grain_ns, oddity.grain_ns),
            folds_case=folds_case,
            stored_ns=oddity.stored_ns,
        )
        self.disk.volume.modeless = not oddity.modes
        self.disk.hook = self._hook
        self.disk.on_change = self._notice
        self.disk.on_undone_move = self._undone
        self.state = world.directory / name
        self.state.mkdir()
        self.packs = PackDurability(self.state / STATE_DIRECTORY / "packs", world.random_for(f"packs {name}"))
        self.home = Home()
        self.process: Process | None = None
        self.ambushes: list[Ambush] = []
        self.slow = 1.0
        self.events_lost = 0.0
        self._events_at_move = 0
        self.mounted = True
        self._forbidden: set[str] = set()
        self.backup: Backup | None = None
        self._is_put_back = trio.Event()
        self._is_put_back.set()
        self.services = Services(
            self.identity,
            name,
            self._offload,
            self.now_ns,
            self.random.randbytes,
            self._open_files,
            self._watch,
            self.packs.sync,
        )

    @property
    def root(self) -> str:
        """The drive's folder, as the node names it."""
        return str(self.state)

    @property
    def alive(self) -> bool:
        """Whether the node runs."""
        return self.process is not None and not self.process.scope.cancel_called

    @property
    def drive(self) -> Drive | None:
        """The drive, while the node runs and it is open."""
        return self.process.drive if self.process is not None and self.alive else None

    @property
    def connections(self) -> Any:
        """The node's, while it runs."""
        return self.process.connections if self.process is not None else None

    def now_ns(self) -> int:
        """What this machine takes for the time."""
        return self.world.now_ns() + self.clock_offset_ns

    # --- its life

    async def start(self) -> None:
        """Run the node, if it does not run; what is being put back is put back before."""
        while self.process is not None and not self.alive and not self.process.over.is_set():
            await self.process.over.wait()
        await self._is_put_back.wait()
        if not self.alive:
            self.process = Process(self)
            self.world.nursery.start_soon(self.process.run)

    async def opened(self) -> None:
        """Wait until the drive is open."""
        while self.drive is None:  # noqa: ASYNC110 - nothing tells; the clock is a virtual one
            await trio.sleep(0.05)

    async def stop(self) -> None:
        """As at SIGTERM, and return when the node has ended."""
        self.begin_to_stop()
        if self.process is not None:
            await self.process.over.wait()

    def begin_to_stop(self) -> None:
        """As at SIGTERM."""
        self.ambushes.clear()
        if self.process is not None:
            self.process.stop()

    def kill(self, silent: bool = False) -> None:
        """As by SIGKILL: nothing more is done, and the kernel closes its streams (unless ``silent``). A node
        that is about to end by itself is killed too."""
        if self.process is not None and not (self.process.dead or self.process.over.is_set()):
            self.process.kill()
            self.disk.kill()
            self.world.oracle.killed(self.name)
            self.world.network.drop(self.name, silent)
            self.ambushes.clear()

    def power_loss(self) -> None:
        """Kill the node, and lose what was not made durable."""
        self.kill(silent=True)
        self.mount()
        tell_unfinished(self)
        before = self.disk.tree()
        stats = {path: inode.stat() for path, inode in self.disk.volume.walk()}
        contents = self.disk.contents()
        self.disk.crash()
        self.packs.crash()
        lost = contents - self.disk.contents()
        self.world.oracle.power_lost(self.name, before, self.disk.tree(), stats, lost)

    # --- for the node

    async def dial(self, addresses: Sequence[str]) -> SimulatedStream:
        """Raises Unreachable."""
        return await self.world.network.dial(self.name, self.address, addresses)

    def dial_again(self, other: "Machine") -> None:
        """Open a connection to ``other``, whatever connections there are."""
        if self.process is not None and self.alive:
            self.process.reach(other)

    async def _offload(self, work: Callable[..., T], /, *arguments: Any) -> T:
        """Inline, as if in a thread: others go on before and after, and nobody can end it half-way."""
        process = self.process
        await trio.lowlevel.checkpoint()
        await self._take_time()
        process = self._running(process)
        result = work(*arguments)
        if isinstance(result, Replica):
            process.replicas.append(result)
            self._limit_index()
        await self._take_time()
        return result

    async def _take_time(self) -> None:
        """Work that has begun cannot be cancelled."""
        if self.random.random() < _SLOW_WORK * self.slow:
            with trio.CancelScope(shield=True):
                await trio.sleep(self.random.random() * _WORK_SECONDS_MAX * self.slow)

    def _running(self, process: Process | None) -> Process:
        if process is None or process.dead:
            raise Killed
        return process

    def _open_files(self, root: str) -> Files:  # noqa: ARG002 - there is one
        if not (self.oddity.numbers_last or self.disk.held) and self.random.random() < 0.5:
            mount_again(self.disk.volume, self.random)
        return SimulatedFiles(self.disk)

    async def _watch(self, root: str, _outlook: Outlook) -> AsyncGenerator[set[str], None]:
        """As inotify tells it, a little later; now and then events are lost, which it says."""
        process = self.process
        assert process is not None
        self.disk.changes.clear()
        yield {""}
        while True:
            with trio.move_on_after(WATCH_ROOT_SECONDS):
                await process.changed.wait()
            process.changed = trio.Event()
            if not (self.state / STATE_DIRECTORY).exists():
                raise RootMissing(f"{root} is not there any more.")
            if self.disk.changes:
                await trio.sleep(self.random.random() * WATCH_GATHER_SECONDS)
                changed = set(self.disk.changes)
                self.disk.changes.clear()
                yield {""} if self.random.random() < self.events_lost else changed

    def _hook(self, when: str, operation: str, path: str) -> None:
        self._running(self.process)
        self.world.secrets.at(self.name, self.disk.volume, when, operation)
        if when == "after" and operation in _TRACED:
            self.world.note(f"node: {operation}", self.name, path=path)
        if self.ambushes:
            self._spring(when, operation, path)
            self._running(self.process)
        if operation == "move:rename":
            self._events_at_move = self.world.oracle.count

    def _undone(self, old: str, new: str) -> None:
        if self.world.oracle.count > self._events_at_move:
            self.world.oracle.undone(self.name, old, new)

    def _spring(self, when: str, operation: str, path: str) -> None:
        for ambush in list(self.ambushes):
            if ambush.when == when and operation.startswith(ambush.operation):
                ambush.count -= 1
                if ambush.count < 0 and ambush in self.ambushes:
                    self.ambushes.remove(ambush)
                    self.world.note("ambush", self.name, when=when, operation=operation, path=path)
                    ambush.act(path)

    def _notice(self) -> None:
        if self.process is not None:
            self.process.changed.set()

    # --- its log

    def dots(self) -> dict[tuple[bytes, int], bytes]:
        """(actor, seq) → the record, of all that is held; nothing while the drive is not open."""
        drive = self.drive
        if drive is None:
            return {}
        sql = "SELECT a.id, r.seq, r.data FROM records r JOIN actors a ON a.number = r.actor"
        with drive.replica.database.read() as connection:
            return {(actor, seq): data for actor, seq, data in connection.execute(sql)}

    # --- its disk

    def back_up(self) -> "Backup":
        """Copy the folder and its state as they are."""
        kept = self.world.directory / "backups" / f"{self.name} {self.world.oracle.count}"
        if not kept.exists():
            state = self.state / STATE_DIRECTORY
            shutil.copytree(state, kept, ignore=shutil.ignore_patterns("*-shm"))
        oracle = self.world.oracle
        gone = frozenset(oracle.touched.gone.get(self.name, ()))
        put_away = dict(oracle.touched.put_away.get(self.name, {}))
        self.backup = Backup(self.disk.snapshot(), kept, gone, put_away)
        return self.backup

    def put_back(self, backup: "Backup") -> None:
        """Kill the node, and put a backup in place of the folder before it can start again."""
        self.kill()
        self._is_put_back = trio.Event()
        self.world.nursery.start_soon(self._put_back, backup, self._is_put_back)

    @property
    def is_being_put_back(self) -> bool:
        """Whether it is about to hold what a backup has."""
        return not self._is_put_back.is_set()

    async def _put_back(self, backup: "Backup", done: trio.Event) -> None:
        if self.process is not None:
            await self.process.over.wait()
        self.mount()
        before, unrecorded = self.disk.tree(), unrecorded_files(self)
        with self.world.secrets.person_at(self.name, self.disk.volume):
            self.disk.restore(backup.disk, image=self.random.random() < 0.5)
        shutil.rmtree(self.state / STATE_DIRECTORY)
        shutil.copytree(backup.state, self.state / STATE_DIRECTORY)
        self.packs.all_durable()
        after = self.disk.tree()
        self.world.oracle.restored(self.name, before, after, backup.gone, backup.put_away, unrecorded)
        done.set()

    def unmount(self) -> None:
        """The disk is gone: an empty mount point is left."""
        self.mounted = False
        self.disk.vanish()
        os.rename(self.state / STATE_DIRECTORY, self._elsewhere)
        self.world.oracle.hampered(self.name, "")

    def mount(self) -> None:
        """It is back."""
        if not self.mounted:
            os.rename(self._elsewhere, self.state / STATE_DIRECTORY)
            self.disk.reappear()
            self.mounted = True
            self.world.oracle.relieved(self.name, "")

    @property
    def _elsewhere(self) -> Path:
        return self.world.directory / f"{self.name} unmounted"

    def fill(self, left: int) -> None:
        """Leave so many bytes on the disk, and none for the index and the packs."""
        self.disk.capacity = self.disk.volume.used + left
        self.packs.full = True
        self._limit_index()
        self.world.oracle.hampered(self.name, "")
        self.world.oracle.seen.cramped.add(self.name)

    def make_room(self) -> None:
        """There is room again."""
        self.disk.capacity = self.oddity.capacity
        self.packs.full = False
        self._limit_index()
        self.world.oracle.relieved(self.name, "")

    def _limit_index(self) -> None:
        """The index may not grow while the disk is full: SQLite's own limit is like one."""
        for replica in self.process.replicas if self.process is not None else ():
            with suppress(sqlite3.Error, WorldError), replica.database.transaction() as connection:
                (pages,) = connection.execute("PRAGMA page_count").fetchone()
                connection.execute(f"PRAGMA max_page_count={pages if self.packs.full else _PAGES_MAX}")

    def forbid(self, path: str, reading: bool) -> None:
        """The node may not write what is at ``path``, nor read it."""
        self.disk.forbid(path, reading=reading)
        self.world.oracle.hampered(self.name, path)
        self._forbidden.add(path)

    def permit_all(self) -> None:
        """The node may read and write everything again, wherever it was moved."""
        if not self.mounted:
            return
        for path, inode in list(self.disk.volume.walk()):
            if inode.denied:
                self.disk.allow(path)
        for path in sorted(self._forbidden):
            self.world.oracle.relieved(self.name, path)
        self._forbidden.clear()
