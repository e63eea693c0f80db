"""Room on a drive's disk: history yields to the folder, oldest first.

History is what the archive and the packs hold; the current versions are the folder's own files. The index
forgets first, then the file goes: whenever the node is stopped, what is left of it is history once more.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from typing import NamedTuple

import trio

from p2pdrive.engine.problems import Problems
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.to_come import blocks_to_come
from p2pdrive.errors import DiskFull, WorldError
from p2pdrive.history.log import Log
from p2pdrive.index.archived import Archived
from p2pdrive.limits import (
    DISK_RESERVE_BYTES,
    DISK_RESERVE_PART,
    LOW_BYTES_MAX,
    LOW_PART,
    RESERVE_BYTES_MAX,
    ROOM_SECONDS,
    YIELDED_AT_ONCE,
)


class _Piece(NamedTuple):
    """A file of history: in the archive, or a pack. ``size`` in bytes."""

    since_ns: int
    archived: bool
    number: int
    size: int


def reserved_bytes(replica: Replica) -> int:
    """Bytes that contents leave free."""
    return min(DISK_RESERVE_BYTES, replica.files.disk_bytes() // DISK_RESERVE_PART)


def low_bytes(replica: Replica) -> int:
    """Free bytes below which history yields."""
    return min(LOW_BYTES_MAX, replica.files.disk_bytes() // LOW_PART)


def make_room(replica: Replica, wanted: int, least: int = 0) -> bool:
    """Let the oldest history go until ``wanted`` bytes are free; whether any went. Raises RootMissing.

    ``least`` bytes of it go even so: a write was refused, and a quota may leave less than the disk says.
    """
    with replica.yielding:
        lacking = max(wanted - replica.files.free_bytes(), least)
        freed = 0
        tried: set[tuple[bool, int]] = set()  # a pack that is being written stays
        while freed < lacking and (pieces := _oldest(replica, lacking - freed, tried)):
            tried.update((piece.archived, piece.number) for piece in pieces)
            try:
                freed += _let_go(replica, pieces)
            except DiskFull:
                freed += _let_go_at_once(replica, pieces)
                with suppress(DiskFull):  # now that there is room for it
                    _let_go(replica, pieces)
                break
        if freed and replica.files.free_bytes() < wanted:
            with suppress(WorldError):
                replica.files.sync_all()  # some file systems free what is gone only then
        return freed > 0


def history_bytes(replica: Replica) -> int:
    """Bytes of disk that may yield at the most."""
    with replica.reading() as log:
        archived = Archived(log.connection).total()
    return archived + sum(size for _, _, size in replica.store.packs())


def make_room_for(replica: Replica, wanted: int, least: int = 0) -> bool:
    """The same for one content: none goes if all of it would not make that fit. Raises RootMissing."""
    with replica.yielding:
        lacking = max(wanted - replica.files.free_bytes(), least)
        return lacking <= history_bytes(replica) and make_room(replica, wanted, least)


def make_room_for_index(replica: Replica) -> None:
    """A write to the index found the disk full."""
    released = replica.database.reserve.release()
    make_room(replica, low_bytes(replica), 0 if released else RESERVE_BYTES_MAX)


def write_with_room(replica: Replica, work: Callable[[Log], None]) -> None:
    """Do ``work`` in a transaction; on a full disk once more, after history made room. Raises DiskFull."""
    try:
        with replica.writing() as log:
            work(log)
    except DiskFull:
        make_room_for_index(replica)
        with replica.writing() as log:
            work(log)


def tend_room(replica: Replica) -> tuple[bool, bool]:
    """Let history yield where there is little room, else set some aside for the index. Returns whether there
    is little, and whether any was made. Raises RootMissing."""
    low = low_bytes(replica)
    if replica.files.free_bytes() >= low:
        replica.database.reserve.make()
        return False, False
    made = make_room(replica, low)
    return replica.files.free_bytes() < low, made


async def keep_room(replica: Replica, problems: Problems, wake: Callable[[], None]) -> None:
    """Look after the room on the disk until cancelled; what waited for it is tried again."""
    little = False
    while True:
        before = little
        little, made = await replica.services.offload(tend_room, replica)
        if made or (before and not little):
            problems.hurry()
            wake()
        await trio.sleep(ROOM_SECONDS)


def _oldest(replica: Replica, lacking: int, tried: Collection[tuple[bool, int]]) -> list[_Piece]:
    """The oldest pieces, but those ``tried``, that free ``lacking`` bytes, or as many as go at once."""
    with replica.reading() as log:
        archived = [
            _Piece(file.since_ns, True, file.number, file.size)
            for file in Archived(log.connection).oldest(YIELDED_AT_ONCE + len(tried))
        ]
        packs = [_Piece(since, False, number, size) for number, since, size in replica.store.packs()]
        found = sorted(archived + packs)
        if not found:
            return []
        kept_archived, kept_packs = replica.store.only_in_history(blocks_to_come(log.connection))
    chosen: list[_Piece] = []
    for piece in found:
        if lacking <= 0 or len(chosen) == YIELDED_AT_ONCE:
            break
        held = piece.number in (kept_archived if piece.archived else kept_packs)
        if not held and (piece.archived, piece.number) not in tried:
            chosen.append(piece)
            lacking -= piece.size
    return chosen


def _let_go(replica: Replica, pieces: list[_Piece]) -> int:
    """Returns the bytes of disk that are free now. Raises DiskFull."""
    packs = {
        piece.number for piece in pieces if not piece.archived and replica.store.close_pack(piece.number)
    }
    with replica.writing() as log:
        for piece in pieces:
            if piece.archived:
                Archived(log.connection).forget(piece.number)
            elif piece.number in packs:
                replica.store.forget_pack(log.connection, piece.number)
    return _remove(replica, [piece for piece in pieces if piece.archived or piece.number in packs])


def _let_go_at_once(replica: Replica, pieces: list[_Piece]) -> int:
    """Where the index cannot even be told: it is when there is room, or at the next opening."""
    freed = 0
    for piece in pieces:
        with suppress(WorldError):
            if piece.archived:
                freed += replica.files.archive.discard(piece.number)
            elif replica.store.close_pack(piece.number):
                freed += replica.store.empty_pack(piece.number)
    return freed


def _remove(replica: Replica, pieces: list[_Piece]) -> int:
    freed = 0
    for piece in pieces:
        with suppress(WorldError):
            if piece.archived:
                freed += replica.files.archive.discard(piece.number)
            else:
                freed += replica.store.remove_pack(piece.number)
    return freed
