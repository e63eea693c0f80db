"""What file systems may say that the index could not hold as it is."""

import os
import stat
from pathlib import Path

from p2pdrive.folder.place import stat_of

LARGEST = (1 << 63) - 1


def raw(inode: int, mtime_ns: int) -> os.stat_result:
    fields = (stat.S_IFREG | 0o644, inode, 1, 1, 0, 0, 5, 0, 0, 0)
    return os.stat_result(fields, {"st_mtime_ns": mtime_ns, "st_ctime_ns": 7})


def test_time_beyond_2262_is_the_last_that_a_record_can_hold() -> None:
    assert stat_of(raw(1, LARGEST + 1)).mtime_ns == LARGEST
    assert stat_of(raw(1, -LARGEST - 5)).mtime_ns == -LARGEST
    assert stat_of(raw(1, LARGEST)).mtime_ns == LARGEST


def test_inode_of_64_bits_fits_the_index_and_stays_its_own() -> None:
    found = {stat_of(raw(inode, 0)).inode for inode in (5, (1 << 63) + 6, (1 << 64) - 1)}
    assert len(found) == 3
    assert all(-LARGEST <= inode <= LARGEST for inode in found)


def test_file_of_the_year_2400_has_one_stat_however_it_is_asked(tmp_path: Path) -> None:
    file = tmp_path / "far"
    file.touch()
    os.utime(file, ns=(13_569_465_600 * 10**9,) * 2)
    with open(file) as opened:
        assert stat_of(os.fstat(opened.fileno())) == stat_of(os.stat(file))
    assert stat_of(os.stat(file)).mtime_ns <= LARGEST
