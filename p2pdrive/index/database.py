"""``index.db``: opening, migrating, and the only two ways to use it."""

import fcntl
import os
import sqlite3
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from p2pdrive.errors import DiskFull, FormatTooNew, IndexCorrupt, NotWritable, Unreadable, WorldError
from p2pdrive.index.reserve import Reserve
from p2pdrive.index.schema import MIGRATIONS
from p2pdrive.limits import READER_CACHE_KIB, READERS_IDLE_MAX, WRITER_CACHE_KIB

#: Where and how many bytes SQLite locks to read: SHARED_FIRST and SHARED_SIZE of its os.h.
_SHARED_LOCK = (0x40000002, 510)

_DAMAGED = (
    "{} is damaged ({}). The files of the folder are untouched. Restore it from a backup; or "
    "`p2pdrive leave DIR --forget` and join the drive again from another member: what is here already is not "
    "transferred again."
)


class Database:
    """One SQLite file in WAL mode, durable at every commit (``synchronous=FULL``).

    Synchronous and thread-safe: one connection writes, under a lock; any number read. For ``offload``.
    Raises IndexCorrupt, FormatTooNew, DiskFull, NotWritable or Unreadable, never bare sqlite3 errors for
    those.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._write_lock = threading.RLock()
        self._readers: list[sqlite3.Connection] = []  # idle ones
        self._depth = 0
        self._closed = False
        self.reserve = Reserve(Path(path).with_name("reserve"))
        self.reserve.release_if_short()
        with self._translated(), ExitStack() as opened:
            self._writer = self._connect(opened, WRITER_CACHE_KIB)
            self._migrate()
            opened.pop_all()

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A write transaction, undone as a whole at an exception.

        One inside another joins it: it is undone by itself if it fails, and durable when the outer one is.
        """
        with self._write_lock, self._translated():
            if self._closed:
                raise Unreadable(f"{self.path} was closed.")
            if not self._depth:
                self.reserve.release_if_short()
            self._writer.execute(f"SAVEPOINT level{self._depth}" if self._depth else "BEGIN IMMEDIATE")
            self._depth += 1
            try:
                yield self._writer
            except BaseException:
                self._depth -= 1
                self._undo()
                raise
            self._depth -= 1
            if self._depth:
                self._writer.execute(f"RELEASE level{self._depth}")
            else:
                self._commit()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection that sees what is committed, and never waits for the writer or for other readers."""
        with self._translated():
            if self._closed:
                raise Unreadable(f"{self.path} was closed.")
            try:
                reader = self._readers.pop()
            except IndexError:
                reader = self._connect(ExitStack(), READER_CACHE_KIB)
                reader.execute("PRAGMA query_only=1")
            try:
                yield reader
            finally:
                if len(self._readers) < READERS_IDLE_MAX and not self._closed:
                    self._readers.append(reader)
                else:
                    reader.close()

    def abandon(self) -> None:
        """Close it without folding the WAL in: the file of that name is not the one that was opened.

        SQLite folds it in only under an exclusive lock, so a shared one is held meanwhile, of the kind that
        locks out our own process too. Where there are none, an index that was overwritten may be damaged.
        """
        with ExitStack() as held:
            with suppress(OSError, AttributeError):
                descriptor = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                held.callback(os.close, descriptor)
                lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, *_SHARED_LOCK, 0)
                fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, lock)
            self.close()

    def check(self) -> None:
        """Raises IndexCorrupt where the file is damaged; reads all of it."""
        with self.read() as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise IndexCorrupt(_DAMAGED.format(self.path, found))

    def close(self) -> None:
        """Close all connections that are not in use; the WAL is folded in."""
        with self._write_lock:
            self._closed = True
            while self._readers:
                self._readers.pop().close()
            self._writer.close()

    def _connect(self, opened: ExitStack, cache_kib: int) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=30)
        opened.callback(connection.close)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(f"PRAGMA cache_size=-{cache_kib}")
        connection.execute("PRAGMA mmap_size=0")  # a file system error must be an error, not a SIGBUS
        return connection

    def _undo(self) -> None:
        if not self._writer.in_transaction:
            return  # a full disk, say, made SQLite undo it already
        if self._depth:
            self._writer.execute(f"ROLLBACK TO level{self._depth}")
            self._writer.execute(f"RELEASE level{self._depth}")
        else:
            self._writer.execute("ROLLBACK")

    def _commit(self) -> None:
        try:
            self._writer.execute("COMMIT")
        except sqlite3.Error:
            self._undo()
            raise

    def _migrate(self) -> None:
        (version,) = self._writer.execute("PRAGMA user_version").fetchone()
        if version > len(MIGRATIONS):
            raise FormatTooNew(
                f"{self.path} was written by a newer p2pdrive (format {version}, this one knows "
                f"{len(MIGRATIONS)}). Update p2pdrive on this machine."
            )
        for number in range(version, len(MIGRATIONS)):
            self._writer.execute("BEGIN IMMEDIATE")
            for statement in MIGRATIONS[number]:
                self._writer.execute(statement)
            self._writer.execute(f"PRAGMA user_version={number + 1}")
            self._writer.execute("COMMIT")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            fault = self._fault(error)
            if fault is None:
                raise
            raise fault from error

    def _fault(self, error: sqlite3.DatabaseError) -> WorldError | None:
        """What the world did; None if the statement itself was wrong, which is a bug of ours."""
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if primary == sqlite3.SQLITE_FULL:
            return DiskFull(f"No space left on the disk of {self.path}. Free some space.")
        if primary in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_BUSY):
            return NotWritable(f"{self.path} cannot be opened for writing: {error}.")
        if primary == sqlite3.SQLITE_IOERR and self.reserve.is_disk_full():
            return DiskFull(f"No space left on the disk of {self.path}. Free some space.")
        if primary == sqlite3.SQLITE_IOERR:
            return Unreadable(f"{self.path} cannot be read or written: {error}. Check the disk.")
        if primary in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return IndexCorrupt(_DAMAGED.format(self.path, error))
        return None
