"""Keeping what history needs of displaced versions, before they are let go.

Where other files hold all blocks of a version, nothing is kept. Where little of it is held nowhere else, that
goes into packs. Else the displaced file is archived: kept as it is, by a rename, which takes no room.
The index names an archived file before it is renamed, so that it is in one of two places, and its name tells
which version it is, whenever the node is stopped (``recover``).
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from blake3 import blake3

from p2pdrive.engine.note import Change
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Changed, DiskFull, Unreadable, WorldError
from p2pdrive.folder.reading import read_all
from p2pdrive.folder.temporary import number_of
from p2pdrive.history.log import Log
from p2pdrive.index.archived import Archived, ArchivedFile, borrowed_as
from p2pdrive.index.entries import Entry
from p2pdrive.index.manifests import Manifests
from p2pdrive.limits import BLOCK_BYTES_MAX, PACKED_VERSION_BYTES_MAX, PACKED_VERSION_PART_MAX
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Kind


class Retired(NamedTuple):
    """A displaced file, and the entry whose version it is."""

    name: str
    entry: Entry | None


class Kept(NamedTuple):
    """A displaced file that may be put away. ``archived`` is its content if the file itself is kept, None if
    it is not needed any more, and ``packed`` its content if packs have it then. ``entry`` is the one whose
    version it was."""

    name: str
    archived: Manifest | None
    entry: Entry | None = None
    packed: Manifest | None = None


def retire(replica: Replica, displaced: Sequence[Retired], changes: Sequence[Change]) -> list[Kept]:
    """Decide how each is kept, and copy into packs what goes there; ``changes`` are what is shown now.

    Left out is what cannot be read: it stays displaced.
    """
    if not displaced:
        return []
    shown = {change.content.root for change in changes}
    with replica.reading() as log:
        manifests = Manifests(log.connection)
        keeping = _Keeping(
            replica, [each.entry.id for each in displaced if each.entry], _blocks_of(manifests, changes)
        )
        found = [_kept(keeping, manifests, each, shown) for each in displaced]
    kept = [each for each in found if each is not None]
    try:
        replica.store.flush()
    except DiskFull:
        return [each._replace(archived=each.packed) if each.packed is not None else each for each in kept]
    return kept


def note_archived(replica: Replica, log: Log, kept: Iterable[Kept]) -> None:
    """Name what is archived, within the caller's transaction."""
    now = replica.services.now_ns()
    for name, manifest, *_ in kept:
        if manifest is not None:
            number = number_of(name)
            archived = Archived(log.connection)
            archived.forget(number)
            archived.put(ArchivedFile(number, manifest.root, manifest.size, now))
            replica.store.borrow(log.connection, borrowed_as(number), manifest)
            Manifests(log.connection).put(manifest)


def put_away(replica: Replica, kept: Iterable[Kept]) -> None:
    """Let go of displaced files that the index says are kept."""
    for name, manifest, *_ in kept:
        if manifest is None:
            replica.files.discard(name)
        else:
            with suppress(WorldError):  # it is looked for among the displaced when the drive is opened
                replica.files.archive.keep(name)


def keep_version(replica: Replica, name: str, manifest: Manifest) -> None:
    """Keep a displaced file of this content for history, and let it go. Its entry may still stand at a path
    where another version is by now, so nothing counts as held by the folder."""
    with replica.yielding:
        kept = [_Keeping(replica, None, set()).keep(Kept(name, manifest))]
        replica.store.flush()
        with replica.writing() as log:
            note_archived(replica, log, kept)
        put_away(replica, kept)


def _kept(keeping: "_Keeping", manifests: Manifests, displaced: Retired, shown: set[bytes]) -> Kept | None:
    name, entry = displaced
    nothing = Kept(name, None, entry)
    if entry is None or entry.content.kind is not Kind.FILE or entry.content.root in shown:
        return nothing
    manifest = manifests.get(entry.content.root, entry.content.blocks, entry.content.size)
    if manifest is None:
        return nothing
    try:
        return keeping.keep(Kept(name, manifest, entry))
    except (Changed, Unreadable):
        return None


class _Keeping:
    """Versions that are kept together: ``gone`` are the entries whose files were displaced, all of them, or
    None where that may be any; ``staying`` are the blocks that will be held."""

    def __init__(self, replica: Replica, gone: Collection[int] | None, staying: set[bytes]) -> None:
        self._replica = replica
        self._gone = gone
        self._staying = staying

    def keep(self, kept: Kept) -> Kept:
        """Copy into packs what is worth it."""
        manifest = kept.archived
        assert manifest is not None
        blocks = {block for _, block in manifest}
        store = self._replica.store
        held = (
            store.held_by_history(blocks) if self._gone is None else store.held_elsewhere(blocks, self._gone)
        )
        held |= self._staying
        wanted = [place for place in manifest.ranges() if place[2] not in held]
        lacking = sum({block: length for _, length, block in wanted}.values())
        if lacking <= max(PACKED_VERSION_BYTES_MAX, manifest.size // PACKED_VERSION_PART_MAX):
            with suppress(DiskFull):
                if self._pack(kept.name, wanted):
                    kept = kept._replace(archived=None, packed=manifest if wanted else None)
        self._staying |= blocks
        return kept

    def _pack(self, name: str, wanted: Sequence[tuple[int, int, bytes]]) -> bool:
        """Whether packs have all of it then: else the file is not what it was, and is kept as it is."""
        if wanted:
            with self._replica.files.open_displaced(name) as handle:
                self._replica.store.add(_read_ranges(handle.pread, wanted))
        return not self._replica.store.missing(block for _, _, block in wanted)


def _blocks_of(manifests: Manifests, changes: Iterable[Change]) -> set[bytes]:
    found: set[bytes] = set()
    for change in changes:
        content = change.content
        manifest = manifests.get(content.root, content.blocks, content.size)
        if content.kind is Kind.FILE and manifest is not None:
            found.update(block for _, block in manifest)
    return found


def _read_ranges(
    pread: Callable[[memoryview, int], int], wanted: Iterable[tuple[int, int, bytes]]
) -> Iterator[tuple[bytes, memoryview]]:
    """The blocks in these ranges that are still what they were."""
    buffer = memoryview(bytearray(BLOCK_BYTES_MAX))
    for offset, length, block in wanted:
        view = buffer[:length]
        if read_all(pread, view, offset) == length and blake3(view).digest() == block:
            yield block, view
