"""Keeping what history needs of displaced versions, before they are let go."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from blake3 import blake3

from p2pdrive.engine.note import Change
from p2pdrive.engine.replica import Replica
from p2pdrive.errors import Changed, Unreadable
from p2pdrive.index.entries import Entry
from p2pdrive.index.manifests import Manifests
from p2pdrive.limits import BLOCK_BYTES_MAX
from p2pdrive.model.manifest import Manifest
from p2pdrive.model.record import Kind


class Retired(NamedTuple):
    """A displaced file, and the entry whose version it is."""

    name: str
    entry: Entry | None


def retire(replica: Replica, displaced: Sequence[Retired], changes: Sequence[Change]) -> list[Retired]:
    """Move their blocks into packs, but those that other files still hold, or what was shown (``changes``).

    Returns those that may be let go: what cannot be read stays displaced. Raises DiskFull.
    """
    if not displaced:
        return []
    kept = {change.content.root for change in changes}
    with replica.reading() as log:
        manifests = Manifests(log.connection)
        staying = _blocks_of(manifests, changes)
        return [each for each in displaced if _is_retired(replica, manifests, each, kept, staying)]


def _is_retired(
    replica: Replica, manifests: Manifests, displaced: Retired, kept: set[bytes], staying: set[bytes]
) -> bool:
    entry = displaced.entry
    if entry is None or entry.content.kind is not Kind.FILE or entry.content.root in kept:
        return True
    manifest = manifests.get(entry.content.root, entry.content.blocks, entry.content.size)
    if manifest is None:
        return True
    try:
        _keep(replica, displaced.name, entry, manifest, staying)
    except (Changed, Unreadable):
        return False
    return True


def _keep(replica: Replica, name: str, entry: Entry, manifest: Manifest, staying: set[bytes]) -> None:
    held = replica.store.held_elsewhere((block for _, block in manifest), entry.id) | staying
    wanted = [place for place in manifest.ranges() if place[2] not in held]
    with replica.files.open_displaced(name) as handle:
        replica.store.add(_read_ranges(handle.pread, wanted))


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
        if pread(view, offset) == length and blake3(view).digest() == block:
            yield block, view
