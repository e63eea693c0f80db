"""Pack files: what a crash, a damaged or a full disk leaves usable."""

import errno
import os
import resource
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from p2pdrive.blocks.packs import HEADER_BYTES, MAGIC, Packs
from p2pdrive.blocks.store import Store
from p2pdrive.errors import BlockMissing, DiskFull, NotWritable
from p2pdrive.limits import APPEND_BYTES, KIB, MIB, PACK_BYTES_MAX, PACKS_OPEN_MAX
from p2pdrive.model.manifest import Manifest
from tests.blocks.drives import Drive, block_of, noise

RAW, TEXT, LAST = noise(1, 90), b"compressible " * 20, noise(2, 20)
BLOCKS = [block_of(content)[0] for content in (RAW, TEXT, LAST)]


def pack_of(drive: Drive, number: int = 1) -> Path:
    return drive.packs / f"{number:08x}.pack"


def forget(drive: Drive, *blocks: bytes) -> None:
    """As if the index had never heard of them."""
    with drive.database.transaction() as connection:
        connection.executemany("DELETE FROM packed WHERE block = ?", [(block,) for block in blocks])


def test_golden_bytes_of_a_pack(drive: Drive) -> None:
    drive.add(b"abc")
    assert pack_of(drive).read_bytes().hex() == (
        "7032706472697665207061636b000001"  # p2pdrive pack, 1
        "424c4b01"  # BLK 1
        "00000000"  # raw
        "00000003"
        "00000003"
        "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
        "15b0c8ab"  # CRC-32
        "616263"
    )


@pytest.mark.parametrize("indexed", [True, False], ids=["indexed", "not yet indexed"])
def test_pack_cut_anywhere_keeps_what_is_whole(drive: Drive, indexed: bool) -> None:
    drive.add(RAW, TEXT, LAST)
    if not indexed:
        forget(drive, *BLOCKS[1:])
    with drive.database.read() as connection:
        rows = connection.execute("SELECT * FROM packed").fetchall()
    whole = pack_of(drive).read_bytes()
    ends = [len(MAGIC) + HEADER_BYTES + len(RAW), whole.index(LAST) - HEADER_BYTES, len(whole)]
    for cut in range(ends[0], len(whole) + 1):
        for pack in drive.packs.iterdir():
            pack.unlink()
        pack_of(drive).write_bytes(whole[:cut])
        with drive.database.transaction() as connection:
            connection.execute("DELETE FROM packed")
            connection.executemany("INSERT INTO packed VALUES (?, ?, ?, ?, ?, ?)", rows)
        drive.reopen_packs()
        there = [
            content if cut >= end else None for content, end in zip((RAW, TEXT, LAST), ends, strict=True)
        ]
        assert drive.store.read_many(BLOCKS) == there
        assert bool(drive.store.problems()) == (indexed and cut < len(whole))
        (new,) = drive.add(b"appended after the crash")
        drive.reopen_packs()
        assert drive.store.read_many([*BLOCKS, new]) == [*there, b"appended after the crash"]
        drive.add(RAW, TEXT, LAST)
        assert drive.store.read_many(BLOCKS) == [RAW, TEXT, LAST]


def test_any_flipped_byte_gives_right_bytes_or_a_named_problem(drive: Drive) -> None:
    drive.add(RAW, TEXT, LAST)
    with drive.database.read() as connection:
        rows = connection.execute("SELECT * FROM packed").fetchall()
    whole = pack_of(drive).read_bytes()
    damaged = 0
    for at in range(len(whole)):
        flipped = bytearray(whole)
        flipped[at] ^= 0x40
        pack_of(drive).write_bytes(flipped)
        store = Store(drive.database, drive.packs, drive.folder.read_range)
        found = store.read_many(BLOCKS)
        assert all(data in (None, right) for data, right in zip(found, (RAW, TEXT, LAST), strict=True))
        assert [problem.path for problem in store.problems()] == [str(pack_of(drive))] * (None in found)
        if None in found:
            damaged += 1
            assert store.missing(BLOCKS) == [BLOCKS[found.index(None)]]
            with pytest.raises(BlockMissing):
                store.read(BLOCKS[found.index(None)])
        store.close()
        pack_of(drive).write_bytes(whole)
        with drive.database.transaction() as connection:
            connection.executemany("INSERT OR IGNORE INTO packed VALUES (?, ?, ?, ?, ?, ?)", rows)
    assert damaged >= len(RAW) + len(LAST)


def test_damaged_block_is_read_from_the_borrowed_file_instead(drive: Drive) -> None:
    (block,) = drive.add(RAW)
    drive.folder.files[1] = RAW
    with drive.database.transaction() as connection:
        drive.store.borrow(connection, 1, Manifest.single(len(RAW), block))
    pack_of(drive).write_bytes(pack_of(drive).read_bytes()[:-1] + b"?")
    assert drive.store.read(block) == RAW
    (problem,) = drive.store.problems()
    assert problem.path == str(pack_of(drive))
    assert "damaged" in problem.what


def test_damaged_block_is_healed_by_adding_it(drive: Drive) -> None:
    (block,) = drive.add(RAW)
    pack_of(drive).write_bytes(pack_of(drive).read_bytes()[:-1] + b"?")
    assert drive.store.read_many([block]) == [None]
    drive.add(RAW)
    drive.reopen()
    assert drive.store.read(block) == RAW


def test_damage_between_entries_hides_nothing_behind_it_from_a_new_index(drive: Drive) -> None:
    drive.add(RAW, TEXT, LAST)
    whole = pack_of(drive).read_bytes()
    at = whole.index(LAST) - HEADER_BYTES - 10  # in the bytes of the block before
    drive.close()
    pack_of(drive).write_bytes(whole[:at] + bytes(8) + whole[at + 8 :])
    for name in ("index.db", "index.db-wal", "index.db-shm"):
        (drive.directory / name).unlink(missing_ok=True)
    drive._open()
    assert drive.store.read_many(BLOCKS) == [RAW, None, LAST]


def test_removed_pack_is_named_and_found_again_when_it_returns(drive: Drive) -> None:
    drive.add(RAW)
    away = drive.directory / "away.pack"
    pack_of(drive).rename(away)
    drive.reopen()
    assert drive.store.missing([BLOCKS[0]]) == [BLOCKS[0]]
    assert [problem.path for problem in drive.store.problems()] == [str(pack_of(drive))]
    drive.add(LAST)
    assert pack_of(drive, 2).exists(), "the number of the removed pack is not used again"
    away.rename(pack_of(drive))
    drive.reopen()
    assert drive.store.read_many([BLOCKS[0], BLOCKS[2]]) == [RAW, LAST]


def test_pack_removed_while_running_is_missing_blocks(drive: Drive) -> None:
    (block,) = drive.add(RAW)
    drive.store._packs.close()
    pack_of(drive).unlink()
    with pytest.raises(BlockMissing):
        drive.store.read(block)
    assert [problem.path for problem in drive.store.problems()] == [str(pack_of(drive))]


def test_pack_that_cannot_be_opened_leaves_the_others_working(drive: Drive) -> None:
    (block,) = drive.add(RAW)
    pack_of(drive, 2).mkdir()
    (drive.packs / "notes.txt").write_text("no pack")
    (drive.packs / "0000000G.pack").write_text("no pack either")
    drive.reopen()
    assert [problem.path for problem in drive.store.problems()] == [str(pack_of(drive, 2))]
    assert drive.store.read(block) == RAW
    (last,) = drive.add(LAST)
    assert pack_of(drive, 3).exists()
    assert drive.store.read(last) == LAST


def test_pack_of_another_version_is_not_appended_to(drive: Drive) -> None:
    newer = MAGIC[:-1] + b"\x02" + b"what only a newer version knows"
    pack_of(drive).write_bytes(newer)
    drive.reopen()
    (block,) = drive.add(RAW)
    assert pack_of(drive).read_bytes() == newer
    assert drive.store.read(block) == RAW


def test_pack_left_empty_by_a_crash_is_used(drive: Drive) -> None:
    pack_of(drive).touch()
    drive.reopen()
    drive.add(RAW)
    assert [path.name for path in drive.packs.iterdir()] == [pack_of(drive).name]
    drive.reopen()
    assert drive.store.read(BLOCKS[0]) == RAW


def test_torn_tail_is_cut_off_at_opening(drive: Drive) -> None:
    drive.add(RAW)
    size = pack_of(drive).stat().st_size
    with pack_of(drive).open("ab") as file:
        file.write(noise(9, 5000))
    drive.reopen()
    assert pack_of(drive).stat().st_size == size
    drive.add(LAST)
    assert drive.store.problems() == []


def test_packs_stay_below_their_largest_size(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pdrive.blocks.packs.PACK_BYTES_MAX", 10_000)
    monkeypatch.setattr("p2pdrive.blocks.store.APPEND_BYTES", 1)
    contents = [noise(number, 3000) for number in range(PACKS_OPEN_MAX * 6)]
    blocks = drive.add(*contents)
    sizes = [path.stat().st_size for path in drive.packs.iterdir()]
    assert len(sizes) == PACKS_OPEN_MAX * 2
    assert max(sizes) <= 10_000
    open_before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    assert drive.store.read_many(blocks) == contents
    assert len(drive.store._packs._open_packs) == PACKS_OPEN_MAX
    if open_before:
        assert len(os.listdir("/proc/self/fd")) <= open_before + 1
    drive.reopen()
    assert drive.store.read_many(blocks) == contents


def test_one_append_fits_a_pack() -> None:
    assert APPEND_BYTES + MIB + len(MAGIC) < PACK_BYTES_MAX


@contextmanager
def files_no_larger_than(size: int) -> Iterator[None]:
    """Every write beyond fails with EFBIG after it has written what fits, as on a disk that fills up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_disk_that_fills_up_leaves_the_pack_as_it_was(drive: Drive) -> None:
    drive.add(RAW)
    before = pack_of(drive).read_bytes()
    with files_no_larger_than(len(before) + 50 * KIB), pytest.raises(DiskFull, match="Free some space"):
        drive.store.add(block_of(noise(number, 30 * KIB)) for number in range(3))
    assert pack_of(drive).read_bytes() == before
    assert drive.store.missing([block_of(noise(0, 30 * KIB))[0]]) != []
    blocks = drive.add(LAST, *(noise(number, 30 * KIB) for number in range(3)))
    drive.reopen()
    assert None not in drive.store.read_many([*BLOCKS[:1], *blocks])
    assert drive.store.problems() == []


def test_disk_that_is_full_at_the_first_append_can_be_used_later(drive: Drive) -> None:
    with files_no_larger_than(10), pytest.raises(DiskFull):
        drive.add(RAW)
    drive.add(RAW)
    drive.reopen()
    assert drive.store.read(BLOCKS[0]) == RAW


def test_full_file_system_raises_disk_full(tmp_path: Path, new_drive: Callable[[str], Drive]) -> None:
    small = tmp_path / "full" / "packs"
    small.mkdir(parents=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", small], check=False, capture_output=True
    )
    if mounted.returncode != 0:
        pytest.skip("may not mount a small file system here")
    try:
        drive = new_drive("full")
        with pytest.raises(DiskFull):
            drive.add(RAW, *(noise(number, 100 * KIB) for number in range(20)))
        drive.add(LAST)
        drive.reopen()
        assert drive.store.read(BLOCKS[2]) == LAST
        drive.close()
    finally:
        subprocess.run(["umount", small], check=True)


def test_append_that_fails_half_way_is_undone_and_named(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.add(RAW)
    write = os.pwrite
    writes = iter([20, None])

    def breaks_down(descriptor: int, data: memoryview, offset: int) -> int:
        limit = next(writes)
        if limit is None:
            raise OSError(errno.EIO, "Input/output error")
        return write(descriptor, data[:limit], offset)

    monkeypatch.setattr("os.pwrite", breaks_down)
    with pytest.raises(NotWritable, match="Input/output error"):
        drive.store.add([block_of(LAST)])
    monkeypatch.undo()
    drive.add(TEXT)
    drive.reopen()
    assert drive.store.read_many(BLOCKS) == [RAW, TEXT, None]


def test_unfinished_write_is_continued(drive: Drive, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.pwrite
    monkeypatch.setattr("os.pwrite", lambda descriptor, data, offset: write(descriptor, data[:33], offset))
    drive.add(RAW, TEXT, LAST)
    assert drive.store.read_many(BLOCKS) == [RAW, TEXT, LAST]


def test_rows_are_written_only_after_the_bytes_are_durable(
    drive: Drive, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cannot_sync(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    drive.store.add([block_of(RAW)])
    monkeypatch.setattr("os.fsync", cannot_sync)
    with pytest.raises(NotWritable):
        drive.store.flush()
    with drive.database.read() as connection:
        assert connection.execute("SELECT count(*) FROM packed").fetchone() == (0,)
    monkeypatch.undo()
    assert drive.store.read(BLOCKS[0]) == RAW
    drive.store.flush()
    drive.reopen()
    assert drive.store.read(BLOCKS[0]) == RAW


def test_folder_of_packs_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "packs").write_text("a file")
    with pytest.raises(NotWritable, match="packs"):
        Packs(tmp_path / "packs")


def test_entry_within_a_torn_entry_is_harmless(drive: Drive, tmp_path: Path) -> None:
    inner = Drive(tmp_path / "inner")
    inner.add(TEXT)
    looks_like_a_pack = pack_of(inner).read_bytes() + noise(3, 100)
    inner.close()
    drive.add(RAW, looks_like_a_pack)
    forget(drive, block_of(looks_like_a_pack)[0])
    drive.store._packs.close()
    os.truncate(pack_of(drive), pack_of(drive).stat().st_size - 10)
    drive.reopen()
    (new,) = drive.add(LAST)
    drive.reopen()
    assert drive.store.read_many([BLOCKS[0], BLOCKS[1], new]) == [RAW, TEXT, LAST]
    assert drive.store.problems() == []
