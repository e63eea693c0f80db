"""Looking at one path of the folder: what it is now, hashed only where it may have changed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple

from blake3 import blake3

from p2pdrive.blocks.sparse import chunk_sparse, data_bytes, reading
from p2pdrive.engine.bits import Bits
from p2pdrive.engine.databases import has_all_pages, is_database, why_unfinished
from p2pdrive.engine.note import as_on_disk
from p2pdrive.engine.read_ahead import ReadAhead, Unread
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.same import alike, describes, one_file, unchanged, untouched
from p2pdrive.engine.secrets import refused_by_bytes, refused_by_name
from p2pdrive.engine.unfit import unfit
from p2pdrive.errors import Changed, DiskFull, NotAtRest, Unreadable
from p2pdrive.folder.files import FileKind, ReadHandle, Stat
from p2pdrive.folder.reading import read_all
from p2pdrive.folder.scan import OTHER
from p2pdrive.history.log import Log
from p2pdrive.index.entries import Entry
from p2pdrive.limits import (
    EAGER_FILE_BYTES_MAX,
    FILE_BYTES_MAX,
    LONG_READ_BYTES,
    MANIFEST_BLOCKS_MAX,
    OWNED_FILE_BYTES_MAX,
    QUIET_SECONDS,
    TIB,
)
from p2pdrive.model import paths
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.model.record import DELETED, Content, Kind
from p2pdrive.planning.patience import Glimpse, Patience

_TOO_LARGE = (
    f"is larger than {FILE_BYTES_MAX // TIB} TiB, and is not synced: cut it into parts, or move it away."
)

Blocks = list[tuple[bytes, bytes]]


class Observed(NamedTuple):
    """``content`` is at ``path`` (``DELETED`` for nothing), as ``stat`` was before and after the reading.

    ``manifest`` is given where the bytes were read or are known. ``moved`` is the entry whose file this
    is, under a new name. ``read_ns``: when its bytes began to be read; 0 where they were not. ``in_part``: it
    changed meanwhile, and ``stat`` is from before.
    """

    path: str
    content: Content
    stat: Stat | None = None
    manifest: Manifest | None = None
    moved: Entry | None = None
    read_ns: int = 0
    in_part: bool = False


class Observer:
    """Looks at paths of one drive; ``owned`` gathers blocks of small files that packs are to keep. At ``now``
    of its clock ``patience`` says which files may be read.

    ``files`` and ``directories`` gather what changed and may not be durable: contents, and names. ``unfit``
    was shown, and cannot be here: on another disk, that is. It is not missed, and comes back if it can. Where
    large files are read ``ahead``, no other large file is read here: looking at it raises Unread.
    """

    def __init__(
        self, replica: Replica, patience: Patience, now: float, ahead: ReadAhead | None = None
    ) -> None:
        self._replica = replica
        self._ahead = ahead
        self._log: Log | None = None  # since the glance, while it is being read
        self._bits: Bits | None = None
        self._patience = patience
        self._now = now
        self._stats: dict[str, Stat | None] = {}
        self._origins: dict[int, list[Entry]] = {}
        self._followed: set[int] = set()  # entries whose file was met under another name; hard links have two
        self._linked: dict[int, Observed] = {}  # by inode, what was read under one of several names
        self._spread: set[int] = set()  # inodes whose other names were looked for
        self.files: list[str] = []
        self.unfit: list[str] = []
        self.directories: set[str] = set()
        self.owned: Blocks = []
        self.bytes_read = 0
        self.known_directories: set[str] = set()
        self.databases: set[str] = set()  # beside which something was written

    def glance(self, named: Sequence[str], entries: Mapping[str, Entry], log: Log) -> None:
        """Look at many paths at once, so that ``look`` need not for each. Raises RootMissing."""
        self._log, self._bits = log, Bits(self._replica.files, log)
        self._stats = self._replica.files.stats(named)
        new = {s.inode for path, s in self._stats.items() if s and path not in entries}
        self._origins = log.entries.with_inodes(new)
        old = {entry.path for origins in self._origins.values() for entry in origins}
        self._stats |= self._replica.files.stats(old.difference(self._stats))

    def origins(self) -> Iterator[Entry]:
        """Entries whose files may be among these, under new names."""
        for entries in self._origins.values():
            yield from entries

    def kind(self, path: str) -> FileKind | None:
        """What was at a path at that glance; None for nothing, or what cannot be told."""
        stat = self._stats.get(path)
        return stat.kind if stat is not None else None

    def look(self, path: str, entry: Entry | None) -> Observed:
        """What is at ``path``. Raises NotAtRest where it is being written, Changed where that was noticed as
        it was read, Unreadable, RootMissing."""
        seen = self._look(path, entry)
        if seen.stat is not None and (seen.stat.private is None or seen.stat.executable is None):
            seen = seen._replace(content=self._with_bits(seen, seen.stat, entry))
        if seen.manifest is not None or (seen.moved is not None and seen.content.kind is Kind.FILE):
            self.files.append(path)
        known = describes(entry, seen.stat, seen.content) if entry is not None else seen.stat is None
        if seen.manifest is not None or not known:
            self.directories.add(paths.parent(path))  # an equal inode may be a new file with an old number
        if seen.moved is not None:
            self.directories.add(paths.parent(seen.moved.path))
        if seen.content.kind is Kind.DIRECTORY and (seen.content.private or known):
            self.directories.add(path)  # its permissions, which are not its parent's
        return seen

    def keep_owned(self) -> None:
        """Put into packs what they are to keep; on a full disk the folder goes before its history."""
        if self.owned:
            with suppress(DiskFull):
                self._replica.store.add(self.owned)
                self._replica.store.flush()

    def _look(self, path: str, entry: Entry | None) -> Observed:
        stat = self._stat(path)
        if stat is None:
            self._expect_fit(path, entry)
            return Observed(path, DELETED)
        if stat.kind is FileKind.DIRECTORY:
            return Observed(path, Content(Kind.DIRECTORY, private=stat.is_private(False)), stat)
        if stat.kind is FileKind.SYMLINK:
            return Observed(path, Content(Kind.SYMLINK, target=stat.target or ""), stat)
        if stat.kind is FileKind.OTHER:
            raise Unreadable(OTHER)
        if path in self.databases:
            self._expect_whole(path, stat)
        if entry is not None and unchanged(entry, stat):
            return Observed(path, entry.content, stat)
        if (why := refused_by_name(path, stat)) is not None:
            raise Unreadable(why)
        if entry is None and (moved := self._moved_from(path, stat)) is not None:
            content = as_on_disk(moved.content, stat)
            return Observed(path, content, stat, None, moved)
        if stat.size > FILE_BYTES_MAX:
            raise Unreadable(_TOO_LARGE)
        if path == IGNORE_FILE and self._replica.files.being_written(path):
            raise Changed(f"{path} is being written; nobody is to follow half of the rules.")
        seen = self._read_once(path, stat, entry)
        return seen._replace(moved=self._read_from(seen)) if entry is None else seen

    def _expect_fit(self, path: str, entry: Entry | None) -> None:
        """Raise Unreadable where nothing is at ``path`` only because its disk cannot hold it."""
        if not self._replica.files.odd:
            return
        assert self._log is not None
        if (why := unfit(self._replica, self._log, path, entry)) is not None:
            self.unfit += [path] if entry is not None else []
            raise Unreadable(why)

    def _with_bits(self, seen: Observed, stat: Stat, entry: Entry | None) -> Content:
        """The content as what its disk does not say is known."""
        if seen.content.kind is Kind.SYMLINK:
            return seen.content
        assert self._bits is not None
        executable, private = self._bits.of(seen.path, seen.content, stat, entry, seen.manifest)
        is_file = seen.content.kind is Kind.FILE
        return replace(
            seen.content,
            executable=is_file and stat.is_executable(executable),
            private=stat.is_private(private),
        )

    def _stat(self, path: str) -> Stat | None:
        return self._stats[path] if path in self._stats else self._replica.files.stat(path)

    def _moved_from(self, path: str, stat: Stat) -> Entry | None:
        """The entry whose very file this is, if nothing is at its old path any more.

        Only what was renamed with its directory is known unread: a rename of the file itself moves its ctime,
        as an edit does.
        """
        for entry in self._origins_of(path, stat):
            if untouched(entry, stat) and self._stat(entry.path) is None:
                self._followed.add(entry.id)
                return entry
        return None

    def _read_from(self, seen: Observed) -> Entry | None:
        """The same of a file that was read: its bytes tell. While they were read, its old path may have been
        taken, and where nobody may look it counts as new."""
        assert seen.stat is not None
        for entry in self._origins_of(seen.path, seen.stat):
            if not describes(entry, seen.stat, seen.content):
                continue
            with suppress(Unreadable):
                if self._replica.files.stat(entry.path) is None:
                    self._followed.add(entry.id)
                    return entry
        return None

    def _origins_of(self, path: str, stat: Stat) -> Iterator[Entry]:
        for entry in self._origins.get(stat.inode, ()):
            if entry.path != path and entry.view is None and entry.id not in self._followed:
                yield entry

    def other_names(self, seen: Observed, log: Log) -> Iterator[Entry]:
        """The entries of the other names of a file that was read: an edit through one is one of all, and a
        watcher names one."""
        stat = seen.stat
        if stat is None or stat.links == 1 or seen.manifest is None or stat.inode in self._spread:
            return
        self._spread.add(stat.inode)
        entries = log.entries.with_inodes([stat.inode]).get(stat.inode, ())
        changed = {each.path: each for each in entries if each.path != seen.path and not alike(each, stat)}
        for path, there in self._replica.files.stats(changed).items():
            if there is not None and one_file(there, stat):
                yield changed[path]

    def _read_once(self, path: str, before: Stat, entry: Entry | None) -> Observed:
        """``_read``, but for a file that was read under another of its names."""
        twin = self._linked.get(before.inode) if before.links > 1 else None
        if twin is not None and twin.stat is not None and one_file(twin.stat, before):
            return twin._replace(path=path, moved=None)
        seen = self._read(path, before, entry)
        if before.links > 1:
            self._linked[before.inode] = seen
        return seen

    def _read(self, path: str, before: Stat, entry: Entry | None) -> Observed:
        """After an earlier version packs keep what is small: what a person edits time and again has history,
        and what is only added takes no room."""
        earlier = entry.content if entry is not None else DELETED
        small = before.size <= self._replica.genesis.chunking.minimum
        again = earlier.blocks > 0
        began = self._replica.services.now_ns()
        with self._replica.files.open(path) as handle:
            known = entry is not None and alike(entry, before)
            if not known:
                self._expect_at_rest(path, before, handle, earlier)
            if before.size == 0:
                manifest, owned = Manifest(b""), Blocks()
            elif small:
                manifest, owned = _read_small(path, handle, before.size)
            elif self._ahead is not None and before.size >= LONG_READ_BYTES:
                before, manifest, began = self._read_ahead(self._ahead, path, before, entry)
                owned = Blocks()
            else:
                manifest, owned = self._read_large(handle, before.size, again)
            if known and manifest.root != earlier.root:
                self._expect_at_rest(path, before, handle, earlier)  # only its times had not told of an edit
            why = refused_by_bytes(self._replica, path, handle, before.size)
            after = handle.stat()
        if why is not None:
            raise Unreadable(why)
        if len(manifest) > MANIFEST_BLOCKS_MAX:
            raise Unreadable(_TOO_LARGE)
        changed = _version(after) != _version(before)
        if changed and not self._takes_part(path, before, after, manifest):
            self.note_read(path, manifest, before.size, in_one=False)
            raise Changed(f"{path} changed while it was read.")
        if again and manifest.root != earlier.root:
            self.owned += owned
        self.bytes_read += before.size
        content = Content(
            Kind.FILE,
            before.size,
            manifest.root,
            len(manifest),
            before.is_executable(False),
            before.mtime_ns,
            private=before.is_private(False),
        )
        stat = before if changed else after  # so that the next look sees a change
        return Observed(path, content, stat, manifest, read_ns=began, in_part=changed)

    def note_read(self, path: str, manifest: Manifest | None, size: int, *, in_one: bool) -> None:
        """See ``Patience``; a hole costs no reading, where there is a manifest to tell it."""
        read = data_bytes(self._replica.chunker, manifest) if manifest is not None else size
        self._patience.note_read(path, read, self._now, in_one=in_one)

    def _takes_part(self, path: str, before: Stat, after: Stat, manifest: Manifest) -> bool:
        """Whether what was read of a file that changed meanwhile is a version: of one that only grew, its
        first bytes. Half a database is none."""
        if after.inode != before.inode or after.size < before.size or manifest.size != before.size:
            return False
        if not self._patience.takes_part(path, after.size > before.size, self._now):
            return False
        with self._replica.files.open(path) as handle:
            return not is_database(handle, before.size)

    def _expect_at_rest(self, path: str, stat: Stat, handle: ReadHandle, earlier: Content) -> None:
        """Raise NotAtRest where it is too early to read the file."""
        recorded = earlier.size if earlier.kind is Kind.FILE else None
        seen = Glimpse(stat.size, stat.mtime_ns, self._is_open(stat, handle), recorded)
        if is_database(handle, stat.size):
            why = why_unfinished(self._replica.files, path, handle if seen.is_open else None)
            seen = seen._replace(unfinished=why, whole=not why and has_all_pages(handle, stat.size))
        self._expect_patience(path, seen)

    def _expect_whole(self, path: str, stat: Stat) -> None:
        """Raise NotAtRest where something beside a database holds a part of it."""
        if why := why_unfinished(self._replica.files, path):
            is_open = self._replica.files.being_written(path)
            self._expect_patience(path, Glimpse(stat.size, stat.mtime_ns, is_open, stat.size, why))

    def _expect_patience(self, path: str, seen: Glimpse) -> None:
        if self._patience.must_wait(path, seen, self._now):
            raise NotAtRest(f"{path} is being written; it is read once it is at rest.")

    def _is_open(self, stat: Stat, handle: ReadHandle) -> bool:
        """Whether a program has it open for writing. Where nobody can tell, a large file counts as open for a
        moment after each write, so that it is hashed once, at the end."""
        is_open = handle.being_written()
        if is_open is None:
            age = (self._replica.services.now_ns() - stat.mtime_ns) / 1e9
            return stat.size >= EAGER_FILE_BYTES_MAX and 0 <= age < QUIET_SECONDS
        return is_open

    def _read_ahead(
        self, ahead: ReadAhead, path: str, stat: Stat, entry: Entry | None
    ) -> tuple[Stat, Manifest, int]:
        """What the file was, what was read of it, and since when. Raises Unread, Unreadable, Changed."""
        last = ahead.last
        if last is None or last.path != path:
            origins = self._origins_of(path, stat) if entry is None else ()
            raise Unread(path, stat.size, frozenset(origin.path for origin in origins))
        if last.why is not None:
            raise last.why
        if last.manifest is None or last.stat is None or last.stat.inode != stat.inode:
            self.note_read(path, None, stat.size, in_one=False)
            raise Changed(f"{path} changed while it was read.")
        return last.stat, last.manifest, last.began_ns

    def _read_large(self, handle: ReadHandle, size: int, again: bool) -> tuple[Manifest, Blocks]:
        if size > OWNED_FILE_BYTES_MAX or not again:
            return chunk_sparse(self._replica.chunker, handle, size), []
        owned = [
            (block, bytes(data)) for block, data in self._replica.chunker.blocks(reading(handle, 0, size))
        ]
        return Manifest.of((len(data), block) for block, data in owned), owned


def _version(stat: Stat) -> tuple[int, int, int]:
    return (stat.size, stat.mtime_ns, stat.ctime_ns)  # some disks invent inodes


def _read_small(path: str, handle: ReadHandle, size: int) -> tuple[Manifest, Blocks]:
    buffer = bytearray(size + 1)
    if read_all(lambda view, _: handle.readinto(view), memoryview(buffer), 0) != size:
        raise Changed(f"{path} changed while it was read.")
    data = bytes(buffer[:size])
    block = blake3(data).digest()
    return Manifest.single(size, block), [(block, data)]
