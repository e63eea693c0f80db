"""The store: owned and borrowed blocks, and what happens to each when the disk changes under it."""

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import pairwise

import pytest

from p2pdrive.blocks.store import Store
from p2pdrive.errors import BlockMissing
from p2pdrive.limits import BORROWED_TRIES_MAX, KIB, MIB
from p2pdrive.model.manifest import Manifest
from tests.blocks.drives import Drive, block_of, noise

NOWHERE = bytes(32)
CONTENTS = [b"short", b"text " * 2000, noise(1, 40 * KIB), noise(2, MIB), b"\0" * MIB]


class Stopped(Exception):
    """Why a transaction of these tests is not committed."""


def manifest_of(*contents: bytes) -> Manifest:
    return Manifest.of((len(content), block_of(content)[0]) for content in contents)


def borrow(drive: Drive, entry: int, *contents: bytes) -> list[bytes]:
    """The folder's file ``entry`` is these blocks, and the store may read from it."""
    drive.folder.files[entry] = b"".join(contents)
    with drive.database.transaction() as connection:
        drive.store.borrow(connection, entry, manifest_of(*contents))
    return [block_of(content)[0] for content in contents]


def borrowed_rows(drive: Drive) -> int:
    with drive.database.read() as connection:
        return int(connection.execute("SELECT count(*) FROM borrowed").fetchone()[0])


def test_added_blocks_are_read_before_and_after_the_flush_and_after_reopening(drive: Drive) -> None:
    blocks = [block_of(content)[0] for content in CONTENTS]
    drive.store.add(block_of(content) for content in CONTENTS)
    assert drive.store.read_many(blocks) == CONTENTS
    drive.store.flush()
    assert drive.store.read_many(blocks) == CONTENTS
    drive.reopen()
    assert drive.store.read_many(blocks) == CONTENTS
    assert drive.store.problems() == []


def test_results_come_in_the_order_asked_with_none_for_the_unknown(drive: Drive) -> None:
    first, second = drive.add(b"first", b"second")
    assert drive.store.read_many([second, NOWHERE, first, second]) == [b"second", None, b"first", b"second"]
    assert drive.store.read_many([]) == []
    with pytest.raises(BlockMissing, match="not in this store"):
        drive.store.read(NOWHERE)


def test_block_in_a_pack_is_not_added_again(drive: Drive) -> None:
    drive.add(*CONTENTS)
    size = sum(path.stat().st_size for path in drive.packs.iterdir())
    drive.add(*CONTENTS)
    drive.store.add([block_of(b"new"), block_of(b"new")])
    drive.store.add([block_of(b"new")])
    assert sum(path.stat().st_size for path in drive.packs.iterdir()) == size + 52 + len(b"new")


def test_borrowed_block_is_added_to_packs_all_the_same(drive: Drive) -> None:
    (block,) = borrow(drive, 1, b"about to be overwritten")
    drive.add(b"about to be overwritten")
    drive.folder.files[1] = b"overwritten"
    assert drive.store.read(block) == b"about to be overwritten"


def test_views_of_a_reused_buffer_are_copied_as_they_come(drive: Drive) -> None:
    buffer = bytearray(4)

    def one_after_another() -> Iterator[tuple[bytes, memoryview]]:
        for number in range(100):
            buffer[:] = number.to_bytes(4, "big")
            yield block_of(bytes(buffer))[0], memoryview(buffer)

    drive.store.add(one_after_another())
    blocks = [block_of(number.to_bytes(4, "big"))[0] for number in range(100)]
    assert drive.store.read_many(blocks) == [number.to_bytes(4, "big") for number in range(100)]


def test_held_and_missing_know_packs_borrowings_and_the_unflushed(drive: Drive) -> None:
    (packed,) = drive.add(b"packed")
    borrowed, again = borrow(drive, 1, b"borrowed", b"again")
    drive.store.add([block_of(b"unflushed")])
    unflushed = block_of(b"unflushed")[0]
    assert drive.store.held([packed, NOWHERE, borrowed, unflushed]) == {packed, borrowed, unflushed}
    other = b"\1" * 32
    assert drive.store.missing([other, packed, NOWHERE, again, other]) == [other, NOWHERE]


def test_many_blocks_are_asked_for_at_once(drive: Drive) -> None:
    contents = [number.to_bytes(4, "big") for number in range(3000)]
    blocks = drive.add(*contents)
    assert drive.store.read_many(blocks) == contents
    assert drive.store.held(blocks) == set(blocks)
    assert drive.store.missing([*blocks, NOWHERE]) == [NOWHERE]


def test_borrowed_blocks_are_read_from_the_file(drive: Drive) -> None:
    contents = [noise(number, 100 * KIB) for number in range(5)]
    blocks = borrow(drive, 7, *contents)
    assert drive.store.read_many(blocks) == contents
    assert drive.store.read(blocks[3]) == contents[3]


def test_edited_file_loses_only_the_edited_borrowing(drive: Drive) -> None:
    kept, edited = borrow(drive, 1, b"kept", b"edited")
    drive.folder.files[1] = b"keptEDITED"
    assert drive.store.read_many([kept, edited]) == [b"kept", None]
    assert drive.store.held([kept, edited]) == {kept}
    drive.folder.files[1] = b"keptedited"
    with pytest.raises(BlockMissing):
        drive.store.read(edited)


def test_file_cut_within_a_block_loses_that_borrowing(drive: Drive) -> None:
    (block,) = borrow(drive, 1, b"longer than this")
    drive.folder.files[1] = b"longer"
    with pytest.raises(BlockMissing):
        drive.store.read(block)
    assert drive.store.missing([block]) == [block]


def test_stale_borrowing_falls_back_to_another_file(drive: Drive) -> None:
    (block,) = borrow(drive, 1, b"same")
    borrow(drive, 2, b"other", b"same")
    drive.folder.files[1] = b"gone"
    assert drive.store.read(block) == b"same"
    assert borrowed_rows(drive) == 2


def test_vanished_root_erases_no_borrowing(drive: Drive) -> None:
    blocks = borrow(drive, 1, b"one", b"two")
    drive.folder.gone = True
    assert drive.store.read_many(blocks) == [None, None]
    drive.folder.gone = False
    assert drive.store.read_many(blocks) == [b"one", b"two"]


def test_missing_or_emptied_file_erases_no_borrowing(drive: Drive) -> None:
    (block,) = borrow(drive, 1, b"one")
    del drive.folder.files[1]
    assert drive.store.read_many([block]) == [None]
    drive.folder.files[1] = b""
    assert drive.store.read_many([block]) == [None]
    drive.folder.files[1] = b"one"
    assert drive.store.read(block) == b"one"


def test_unborrow_takes_the_file_out(drive: Drive) -> None:
    (one,) = borrow(drive, 1, b"one")
    (two,) = borrow(drive, 2, b"two")
    with drive.database.transaction() as connection:
        drive.store.unborrow(connection, 1)
    assert drive.store.missing([one, two]) == [one]


def test_borrowing_is_undone_with_its_transaction(drive: Drive) -> None:
    with suppress(Stopped), drive.database.transaction() as connection:
        drive.store.borrow(connection, 1, manifest_of(b"one"))
        raise Stopped
    assert borrowed_rows(drive) == 0


def test_run_of_one_block_is_borrowed_once(drive: Drive) -> None:
    zeros, end = bytes(64 * KIB), b"end"
    borrow(drive, 1, *[zeros] * 50, end, zeros)
    assert borrowed_rows(drive) == 3
    assert drive.store.read_many([block_of(zeros)[0], block_of(end)[0]]) == [zeros, end]


def test_block_in_very_many_places_is_tried_in_some_of_them(drive: Drive) -> None:
    for entry in range(1, 100):
        (block,) = borrow(drive, entry, b"everywhere")
        drive.folder.files[entry] = b"edited now"
    with pytest.raises(BlockMissing):
        drive.store.read(block)
    assert drive.folder.reads == BORROWED_TRIES_MAX
    drive.folder.files[99] = b"everywhere"
    while drive.store.read_many([block]) == [None]:
        assert drive.folder.reads < 99
    assert drive.store.read(block) == b"everywhere"


def test_impossible_lengths_in_the_index_are_passed_over(drive: Drive) -> None:
    packed, borrowed = block_of(b"packed")[0], block_of(b"borrowed")[0]
    drive.folder.files[1] = b"borrowed"
    drive.add(b"first, so that there is a pack")
    with drive.database.transaction() as connection:
        connection.execute("INSERT INTO packed VALUES (?, 1, 16, ?, ?, 0)", (packed, 1 << 50, 1 << 50))
        connection.execute("INSERT INTO borrowed VALUES (?, 1, 0, ?)", (borrowed, 1 << 50))
    assert drive.store.read_many([packed, borrowed]) == [None, None]


def test_blocks_are_read_in_the_order_of_the_disk(drive: Drive) -> None:
    seen: list[tuple[int, int]] = []
    blocks = borrow(drive, 2, *(noise(number, 100) for number in range(20)))
    blocks += borrow(drive, 1, *(noise(number, 100) for number in range(20, 40)))

    def read_range(entry: int, offset: int, view: memoryview) -> int:
        seen.append((entry, offset))
        return drive.folder.read_range(entry, offset, view)

    store = Store(drive.database, drive.packs, read_range)
    assert None not in store.read_many(blocks)
    store.close()
    assert len(seen) == 40
    assert all(before < after for before, after in pairwise(seen))


def test_close_flushes(drive: Drive) -> None:
    drive.store.add([block_of(b"kept")])
    drive.store.close()
    with drive.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM packed").fetchone() == (1,)


def test_large_amounts_are_indexed_on_the_way(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pdrive.blocks.store.UNINDEXED_BLOCKS_MAX", 3)
    monkeypatch.setattr("p2pdrive.blocks.store.APPEND_BYTES", 1)
    contents = [noise(number, 500) for number in range(10)]
    drive.store.add(block_of(content) for content in contents)
    with drive.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM packed").fetchone() == (9,)
    assert drive.store.read_many([block_of(content)[0] for content in contents]) == contents


def test_threads_read_and_add_at_once(drive: Drive) -> None:
    shared = [noise(number, 3 * KIB) for number in range(50)]
    blocks = drive.add(*shared) + borrow(drive, 1, *(noise(number, 3 * KIB) for number in range(50, 100)))
    everything = shared + [noise(number, 3 * KIB) for number in range(50, 100)]
    wrong: list[object] = []

    def work(action: Callable[[int], object]) -> None:
        try:
            wrong.extend(turn for turn in range(10) if not action(turn))
        except BaseException as error:
            wrong.append(error)
            raise

    def reads(_: int) -> bool:
        return drive.store.read_many(blocks) == everything

    def adder(start: int) -> Callable[[int], bool]:
        def adds(turn: int) -> bool:
            contents = [noise(start + turn * 20 + number, 2 * KIB) for number in range(20)]
            drive.store.add(block_of(content) for content in contents)
            if turn % 3 == 0:
                drive.store.flush()
            return drive.store.read_many([block_of(content)[0] for content in contents]) == contents

        return adds

    actions = [reads, reads, adder(1000), adder(1100)]  # the two adders have contents in common
    threads = [threading.Thread(target=work, args=(action,)) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    drive.store.flush()
    assert drive.store.read_many(blocks) == everything
