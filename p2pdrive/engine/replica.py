"""What this node has on disk of one drive: the folder, its index, its blocks, its log."""

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import RLock

from blake3 import blake3

from p2pdrive.blocks.chunking import Chunker
from p2pdrive.blocks.store import Store
from p2pdrive.engine.opening import open_index
from p2pdrive.engine.services import Services
from p2pdrive.engine.state import State, check_index_is_there
from p2pdrive.errors import (
    BlockMissing,
    FormatTooNew,
    IndexCorrupt,
    RecordRefused,
    RootMissing,
    WorldError,
)
from p2pdrive.folder import defaults
from p2pdrive.folder.homes import Homes
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.reading import read_all
from p2pdrive.history.authoring import Author, restored, start_afresh
from p2pdrive.history.log import Frontier, Log
from p2pdrive.index.arriving import Arriving
from p2pdrive.index.brought import Brought
from p2pdrive.index.database import Database
from p2pdrive.index.entries import Entries
from p2pdrive.limits import FORMAT_BYTES_MAX, PLAN_PATHS_MAX
from p2pdrive.model.clock import HybridClock
from p2pdrive.model.genesis import Genesis
from p2pdrive.model.paths import IGNORE_FILE, STATE_DIRECTORY, ancestors, within
from p2pdrive.model.record import Grant, Kind, Role
from p2pdrive.planning.conflicts import judge
from p2pdrive.planning.ordering import Lane
from p2pdrive.planning.reconcile import Choice

FORMAT = "p2pdrive drive, format 1\n"


class Replica:
    """One drive's state on this node. Synchronous: call it from ``offload``.

    ``adopting`` holds from a join, a restore or a copy until the next whole scan: the folder is taken as
    it is, and nothing in it counts as deleted. Until they are decided, or a restart, it holds for what was
    being written or could not be read then (``left_to_adopt``) and for what is in directories that could not
    be looked into (``left_to_look_into``).
    """

    def __init__(
        self,
        root: str,
        services: Services,
        marks: Frontier,
        drive: bytes | None = None,
        afresh: bool = False,
    ) -> None:
        """Open the drive in the folder ``root``. ``marks`` are what the home remembers of its log, our own
        actors' first of all; ``drive`` is which one it must be, nothing is done to another. ``afresh``: its
        past is not the one that this node knows.

        Raises RootMissing, WorldError (another drive), FormatTooNew, IndexCorrupt.
        """
        self.root = root
        self.services = services
        self.yielding = RLock()  # held while history makes room, or takes something in
        check_format(root)
        check_index_is_there(root)
        state = Path(root, STATE_DIRECTORY)
        with ExitStack() as opened:
            self.files = services.open_files(root)
            opened.callback(self.files.close)
            self.database = open_index(state / "index.db", self.files, state / "packs")
            opened.callback(self.database.close)
            self._state = State(root, services.random)
            if afresh:
                self.database.check()
            self.genesis = _genesis(self.database)
            self.drive = self.genesis.drive
            if drive not in (None, self.drive):
                raise WorldError(
                    f"{root} holds the state of another drive, {self.genesis.name!r}, than the one "
                    f"registered here. Nothing was changed. Put its own {STATE_DIRECTORY} back; or "
                    f"`p2pdrive leave` the folder, and share or join it again."
                )
            self.chunker = Chunker(self.genesis.chunking)
            self.store = Store(self.database, state / "packs", self._read_range, services.sync)
            opened.callback(self.store.close)
            clock = HybridClock(int(self._meta("clock") or 0))
            self.author = Author(services.identity, services.name, clock, services.now_ms, services.random)
            self._former = self._claim(marks, afresh)
            self._mounts = _mounts(self._meta("mounts"))
            self.files.expect_mounts(self._mounts)
            self.adopting = bool(self._meta("adopting"))
            self.choice = self._choice()
            self.left_to_adopt: set[str] = set()
            self.left_to_look_into: set[str] = set()
            homes = _mounts(self._meta("homes"))  # each behind a slash: the root may be one
            self._homes = frozenset(home.removeprefix("/") for home in homes)
            self.homes = Homes(self.files, self._homes)
            self.own_key_block = blake3(services.identity.seed).digest()
            self.reload_ignore()
            opened.pop_all()

    def check_whole(self) -> None:
        """Raises RootMissing or StateReplaced where the folder, or its state, is not as it was opened."""
        if not self.files.root_present():
            raise RootMissing(f"{self.root} is not there any more.")
        self._state.check()

    def hides(self, path: str, is_directory: bool) -> bool:
        """Whether what is at ``path`` is not synced: by the ignore rules, or as it is a home, or in one that
        is known."""
        return self.homes.hides(path) or self.ignore.ignored(path, is_directory)

    def shows_inside(self, log: Log, directory: str) -> bool:
        """Whether the index knows of anything in ``directory`` that is not hidden."""
        below = log.entries.below(directory, PLAN_PATHS_MAX)
        kinds = ((entry.path, entry.content.kind is Kind.DIRECTORY) for entry in below)
        return any(not self.hides(path, is_directory) for path, is_directory in kinds)

    def abandon(self) -> None:
        """Let go of all files, and write nothing: the state is not ours any more."""
        self.store.abandon()
        self.database.abandon()
        self._state.clear()
        self.files.close()

    def close(self) -> None:
        """Let go of all files."""
        self.store.close()
        self.database.close()
        self.files.close()

    @contextmanager
    def reading(self) -> Iterator[Log]:
        """The log and the entries as they are committed."""
        with self.database.read() as connection:
            yield Log(connection, self.drive)

    @contextmanager
    def writing(self) -> Iterator[Log]:
        """A transaction over the log and the entries, durable at its end."""
        with self.database.transaction() as connection:
            log = Log(connection, self.drive)
            yield log
            self._set_meta("clock", self.author.clock.latest)
            if (mounts := self.files.mounts) != self._mounts:
                self._adopt_inside(log, mounts - self._mounts)
                self._set_meta("mounts", "\0".join(sorted(mounts)).encode())
        self._mounts = mounts

    def _adopt_inside(self, log: Log, mounts: Iterable[str]) -> None:
        """What was shown in these directories is hidden by what was mounted there, and no more deleted than
        what is there now was edited."""
        for mount in mounts:
            hidden = log.entries.below(mount)
            for entry in hidden:
                log.entries.delete(entry.path)
                self.store.unborrow(log.connection, entry.id)
            shown_for = [entry.view.of if entry.view is not None else entry.path for entry in hidden]
            log.entries.mark_unshown((path, 0, Lane.PLAIN) for path in shown_for)
            if hidden:
                self.left_to_look_into.add(mount)

    def note_mounts(self) -> None:
        """Remember where other disks are mounted, before what is on one of them can be missed."""
        if self.files.mounts != self._mounts:
            with self.writing():
                pass

    def note_homes(self) -> bool:
        """Remember which homes are in the folder; True where one is gone, and the heads name what it hid.

        All that the heads name is to be looked at then. Raises RootMissing.
        """
        self.homes.look(self.homes.known)
        known, gone = self.homes.known, self._homes.difference(self.homes.known)
        if known == self._homes:
            return False
        with self.writing() as log:
            again = any(not home or log.registers.live_below(home) for home in gone)
            if again:
                log.mark_all_unshown()
            self._set_meta("homes", "\0".join(f"/{home}" for home in sorted(known)).encode())
        self._homes = known
        return again

    def reload_ignore(self) -> bool:
        """Read the ignore rules; True if they are not those followed before, be it before a restart.

        All that the heads name is to be looked at then.
        """
        self.ignore = self._load_ignore()
        rules, built_in = ("\n".join(lines).encode() for lines in (self.ignore.lines, defaults.LINES))
        if (rules, built_in) == (self._meta("ignored"), self._meta("defaults")):
            return False
        with self.writing() as log:
            log.mark_all_unshown()
            self._set_meta("ignored", rules)
            self._set_meta("defaults", built_in)  # those of another version are other rules
        return True

    def _load_ignore(self) -> Ignore:
        """While others' ignore file is still to be shown, the one before it may be aside already."""
        rules = self._meta("ignored")
        followed = rules.decode().split("\n") if isinstance(rules, bytes) else None
        with self.reading() as log:
            shown = judge(log.registers.heads(IGNORE_FILE), False).content
            coming = shown.live and IGNORE_FILE in log.entries.among_unshown([IGNORE_FILE])
        return Ignore.load(self.files, followed, coming)

    def start_afresh(self) -> None:
        """Our actor's log has parted from what the peers hold: write under a new one (see authoring)."""
        self.adopting = True
        with self.database.transaction() as connection:
            start_afresh(Log(connection, self.drive), drop_own=True)
            self._set_meta("adopting", 1)

    def adopted(self, undecided: Iterable[str], unseen: Iterable[str]) -> None:
        """The folder was scanned whole since it was joined, restored or copied, but for ``undecided`` paths
        and what is in ``unseen`` directories."""
        with self.database.transaction() as connection:
            self._set_meta("adopting", 0)
            Brought(connection).forget_former()
        self.left_to_adopt, self.left_to_look_into = {*undecided}, {*unseen}
        self.adopting = False
        self.forget_choice()

    def choose(self, choice: Choice) -> None:
        """What becomes of all that was brought along and is to be; durable. With RESTORE, what ``brought``
        gives is to be settled."""
        with self.database.transaction() as connection:
            if choice is Choice.CATCH_UP:
                Brought(connection).let_go()
            self._set_meta("choice", choice.encode())
        self.choice = choice
        self.forget_choice()

    def forget_choice(self) -> None:
        """Once it is carried out: the next folder with another past is another question."""
        if self.choice is not Choice.ASK and not self.adopting and not self.brought(""):
            self._set_meta("choice", Choice.ASK.encode())
            self.choice = Choice.ASK

    def count_brought(self) -> int:
        """How many files were brought along and await a choice."""
        with self.database.read() as connection:
            return Brought(connection).count()

    def brought(self, after: str) -> list[str]:
        """The next paths, in key order beyond ``after``, of what was brought along and awaits a choice."""
        with self.database.read() as connection:
            return Brought(connection).page(after, PLAN_PATHS_MAX)

    def looked_into(self, directory: str, undecided: Iterable[str], unseen: Iterable[str]) -> None:
        """The same of one directory, and of all that is in it."""
        seen = {path for path in list(self.left_to_look_into) if within(path, directory)}.difference(unseen)
        self.left_to_adopt.update(path for path in undecided if not seen.isdisjoint(ancestors(path)))
        self.left_to_look_into.difference_update(seen)

    def is_adopting(self, path: str) -> bool:
        """Whether what is at ``path`` is to be taken as it is."""
        if self.adopting or path in self.left_to_adopt:
            return True
        unseen = self.left_to_look_into
        return bool(unseen) and not unseen.isdisjoint((path, *ancestors(path)))

    def decided(self, named: Iterable[str]) -> None:
        """What is there (no directory), or that nothing is, was decided."""
        named = list(named)
        self.left_to_adopt.difference_update(named)
        self.left_to_look_into.difference_update(named)

    def is_unshown(self, path: str) -> bool:
        """Whether what the heads of ``path`` say is still to be shown."""
        with self.reading() as log:
            return path in log.entries.among_unshown([path])

    def arriving(self) -> list[str]:
        """Where something was about to be shown and nobody noted what became of it."""
        with self.database.read() as connection:
            return Arriving(connection).paths()

    def marks(self, log: Log) -> Frontier:
        """Our own actors' frontier, for the home to remember outside the folder; that of former ones too, as
        the same backup may be restored twice."""
        rows = log.own_actors(self.services.identity.device)
        self._former = self._former | {row[2]: (row[3], row[4]) for row in rows}
        return self._former

    def _claim(self, marks: Frontier, afresh: bool) -> Frontier:
        """Notice that the folder came from another device, or from a backup. Returns the ``marks`` of our
        own actors."""
        device = self.services.identity.device
        was = self._meta("device")
        with self.database.transaction() as connection:
            log = Log(connection, self.drive)
            if was != device:
                self._set_meta("device", device)
            if afresh or was not in (None, device) or restored(marks, log, device):
                start_afresh(log, drop_own=False)
                self._set_meta("adopting", 1)
            if was not in (None, device):
                self._set_meta("mounts", b"")  # of the other machine
            return {actor: at for actor, at in marks.items() if log.device_of(actor) in (b"", device)}

    def frontier(self) -> Frontier:
        """All that is held of the log."""
        with self.reading() as log:
            return log.frontier()

    def _choice(self) -> Choice:
        found = self._meta("choice")
        return Choice(found.decode()) if isinstance(found, bytes) else Choice.ASK

    def _meta(self, name: str) -> bytes | int | None:
        with self.database.read() as connection:
            row = connection.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        value: bytes | int | None = row[0] if row else None
        return value

    def _set_meta(self, name: str, value: bytes | int) -> None:
        with self.database.transaction() as connection:
            connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, value))

    def _read_range(self, number: int, offset: int, view: memoryview) -> int:
        if number < 0:
            with self.files.archive.open(-number) as handle:
                return read_all(handle.pread, view, offset)
        with self.database.read() as connection:
            path = Entries(connection).path_of(number)
        if path is None:
            raise BlockMissing("the file that the block was in is gone")
        with self.files.open(path) as handle:
            return read_all(handle.pread, view, offset)


def take_up(root: str, services: Services) -> None:
    """Make the folder ``root``, a drive that this node does not know (any more), ready to be adopted."""
    Replica(root, services, {}, afresh=True).close()


def create(root: str, genesis: Genesis, services: Services, adopting: bool) -> None:
    """Make the folder ``root`` a replica of the drive: ``.p2pdrive`` with an empty log.

    Killed half-way it is no drive yet, and may be made again.
    """
    state = Path(root, STATE_DIRECTORY)
    for directory in (state, state / "packs", state / "tmp", state / "archive"):
        directory.mkdir(mode=0o700, exist_ok=True)
    database = Database(str(state / "index.db"))
    with database.transaction() as connection:
        rows = [
            ("genesis", genesis.encode()),
            ("device", services.identity.device),
            ("adopting", int(adopting)),
        ]
        connection.executemany("INSERT OR REPLACE INTO meta VALUES (?, ?)", rows)
        admin = Grant(genesis.admin, Role.ADMIN, genesis.admin_name)
        Log(connection, genesis.drive).membership.grant(admin)
    database.close()
    with open(state / "FORMAT", "w") as file:
        file.write(FORMAT)
        file.flush()
        os.fsync(file.fileno())
    for directory in (state, Path(root)):
        descriptor = os.open(directory, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)


def is_drive(root: str) -> bool:
    """Whether the folder is a drive."""
    return Path(root, STATE_DIRECTORY, "FORMAT").is_file()


def check_format(root: str) -> None:
    """Raises RootMissing or FormatTooNew where the folder is no drive that this version can open.

    Whatever stands there, it is not waited for: a pipe would take a thread for good.
    """
    place = Path(root, STATE_DIRECTORY, "FORMAT")
    try:
        descriptor = os.open(place, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            regular = stat.S_ISREG(os.fstat(descriptor).st_mode)
            found = os.read(descriptor, FORMAT_BYTES_MAX) if regular else b""
        finally:
            os.close(descriptor)
    except OSError as error:
        raise RootMissing(
            f"{root} is not there, or is no drive: its {STATE_DIRECTORY} cannot be read ({error.strerror}). "
            f"Connect the disk that it is on; nothing is taken for deleted meanwhile. If it was removed: "
            f"`p2pdrive leave {root} --forget`, then join again; what is here is not sent again."
        ) from error
    if not regular:
        raise RootMissing(
            f"{root} is no drive: its {STATE_DIRECTORY}/FORMAT is no file. Put the file back, from a backup "
            f"or another drive; nothing is taken for deleted meanwhile."
        )
    if found != FORMAT.encode():
        said = found.decode(errors="backslashreplace").strip()
        raise FormatTooNew(f"{root} is a drive of another format ({said!r}). Update p2pdrive here.")


def drive_of(root: str) -> bytes:
    """The id of the drive in the folder ``root``. Raises as opening it does."""
    check_format(root)
    database = Database(str(Path(root, STATE_DIRECTORY, "index.db")))
    try:
        return _genesis(database).drive
    finally:
        database.close()


def _mounts(found: bytes | int | None) -> frozenset[str]:
    """As they are stored."""
    return frozenset(found.decode().split("\0")) if isinstance(found, bytes) and found else frozenset()


def _genesis(database: Database) -> Genesis:
    with database.read() as connection:
        row = connection.execute("SELECT value FROM meta WHERE name = 'genesis'").fetchone()
    try:
        return Genesis.decode(row[0] if row else b"")
    except RecordRefused as error:
        raise IndexCorrupt(
            f"{database.path} does not say which drive this is ({error}). Restore it from a backup; or move "
            f"{STATE_DIRECTORY} away and join again with a new invite: files stay, nothing is fetched twice."
        ) from error
