"""Whether a file is the one that the index knows: nothing counts that its bytes or its ctime contradict."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.engine.same import (
    COARSE_GRAIN_NS,
    FINE_GRAIN_NS,
    checked_at,
    describes,
    one_file,
    tells_edits,
    unchanged,
    unproven,
    untouched,
)
from p2pdrive.folder.files import FileKind, Stat
from p2pdrive.index.entries import Entry
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind

CTIME_NS = 1_700_000_000_123_456_789
STAT = Stat(FileKind.FILE, 4, 946_684_800 * 10**9, CTIME_NS, 77, False, None)
CONTENT = Content(Kind.FILE, STAT.size, b"r" * 32, 1, STAT.executable, STAT.mtime_ns)
ENTRY = Entry("f", CONTENT, STAT.inode, STAT.ctime_ns, {}, CTIME_NS + 10**9)

numbers = st.integers(min_value=-(1 << 63) + 1, max_value=(1 << 63) - 1)
few = st.integers(min_value=0, max_value=3)
files = st.builds(
    Stat, st.just(FileKind.FILE), few, few, few, few, st.booleans(), st.none(), st.just(False), st.just(1)
)


def entry_of(stat: Stat, checked_ns: int, root: bytes = b"r" * 32) -> Entry:
    content = Content(Kind.FILE, stat.size, root, 1, stat.executable, stat.mtime_ns)
    return Entry("f", content, stat.inode, stat.ctime_ns, {}, checked_ns)


def test_file_that_nobody_touched_is_unchanged() -> None:
    assert unchanged(ENTRY, STAT)
    assert untouched(ENTRY, STAT)


@pytest.mark.parametrize("field", ["size", "mtime_ns", "ctime_ns", "inode"])
def test_file_that_differs_in_one_number_is_read(field: str) -> None:
    found = STAT._replace(**{field: getattr(STAT, field) + 1})
    assert not unchanged(ENTRY, found)
    assert not untouched(ENTRY, found)


def test_new_file_with_the_inode_size_and_time_of_one_that_is_gone_is_read() -> None:
    assert not untouched(ENTRY, STAT._replace(ctime_ns=CTIME_NS + 5 * 10**9))


def test_equal_ctime_proves_nothing_within_a_tick_whatever_the_mtime_says() -> None:
    just = replace(ENTRY, checked_ns=CTIME_NS + FINE_GRAIN_NS)
    assert not untouched(just, STAT)
    assert untouched(replace(just, checked_ns=just.checked_ns + 1), STAT)


def test_clock_of_whole_milliseconds_counts_as_one_of_seconds() -> None:
    coarse = STAT._replace(ctime_ns=1_700_000_000 * 10**9)
    assert not tells_edits(coarse, coarse.ctime_ns + COARSE_GRAIN_NS)
    assert tells_edits(coarse, coarse.ctime_ns + COARSE_GRAIN_NS + 1)


def test_what_arrives_on_a_coarse_disk_is_known_as_of_the_look_at_it() -> None:
    coarse = STAT._replace(ctime_ns=1_700_000_000 * 10**9)
    assert checked_at(coarse, 5, 9) == 5
    assert checked_at(STAT, 5, 9) == 9


@given(files, files, numbers)
def test_what_is_unchanged_is_equal_in_all_that_a_look_shows(was: Stat, now: Stat, checked_ns: int) -> None:
    entry = entry_of(was, checked_ns)
    if unchanged(entry, now):
        assert was == now
        assert untouched(entry, now)
    if untouched(entry, now):
        assert was._replace(executable=now.executable) == now


@given(files, files, numbers)
def test_what_nobody_has_read_is_never_taken_for_unchanged(was: Stat, now: Stat, checked_ns: int) -> None:
    entry = entry_of(unproven(was), checked_ns)
    assert not untouched(entry, now._replace(ctime_ns=now.ctime_ns + 1))


@given(files, files, st.sampled_from([b"r" * 32, b"s" * 32]))
def test_bytes_and_inode_tell_what_an_entry_is_of(was: Stat, now: Stat, root: bytes) -> None:
    content = Content(Kind.FILE, now.size, root, 1, now.executable, now.mtime_ns)
    entry = entry_of(was, 0)
    assert describes(entry, now, content) == (
        was.inode == now.inode and content.identity == entry.content.identity
    )


def test_one_inode_number_on_two_disks_is_no_one_file() -> None:
    assert one_file(STAT, STAT)
    assert not one_file(STAT, STAT._replace(ctime_ns=CTIME_NS + 1))


def test_other_kinds_of_things_are_no_files() -> None:
    directory = Stat(FileKind.DIRECTORY, 4096, 0, CTIME_NS, 77, False, None)
    link = Stat(FileKind.SYMLINK, 4, 0, CTIME_NS, 77, False, "f.md")
    assert not unchanged(ENTRY, directory)
    assert not unchanged(ENTRY, link)
    assert unchanged(replace(ENTRY, content=DIRECTORY), directory)
    assert unchanged(replace(ENTRY, content=Content(Kind.SYMLINK, target="f.md")), link)
    assert not unchanged(replace(ENTRY, content=Content(Kind.SYMLINK, target="f")), link)
    assert not unchanged(replace(ENTRY, content=DELETED), STAT)
