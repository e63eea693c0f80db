"""Entries: what the folder showed, found by path, file, content and place in the tree."""

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from itertools import compress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.index.entries import Entries, Entry, View, pack_vector
from p2pdrive.index.schema import MIGRATIONS
from p2pdrive.limits import NAMED_AT_ONCE
from p2pdrive.model import paths as portable
from p2pdrive.model.record import DIRECTORY, Content, Kind
from p2pdrive.planning.ordering import Lane
from tests.model.values import files, paths

FILE = Content(Kind.FILE, 70_000, b"\x11" * 32, 2, True, 1_700_000_000_123_456_789)
ENTRY = Entry("a/b.txt", FILE, 4711, 99, {b"\x01" * 16: 3}, 1_700_000_001_000_000_000)
PATHS = ("a", "a/b", "a/b/c", "a b", "a.txt", "ab", "b", "é/ü", "z/" + "y" * 200)


def new_entries() -> Entries:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for migration in MIGRATIONS:
        for statement in migration:
            connection.execute(statement)
    return Entries(connection)


@pytest.fixture
def entries() -> Iterator[Entries]:
    return new_entries()


def at(path: str, content: Content = FILE, **others: object) -> Entry:
    return replace(ENTRY, path=path, content=content, **others)  # type: ignore[arg-type]


def paths_of(found: list[Entry]) -> list[str]:
    return [entry.path for entry in found]


_vectors = st.dictionaries(st.binary(min_size=16, max_size=16), st.integers(1, (1 << 62) - 1), max_size=3)
_times = st.integers(-(1 << 63) + 1, (1 << 63) - 1)
_views = st.one_of(
    st.none(), st.builds(View, paths, st.binary(min_size=16, max_size=16), st.integers(1, 1 << 62))
)
_contents = st.one_of(
    files(),
    st.just(DIRECTORY),
    st.builds(lambda target: Content(Kind.SYMLINK, target=target), st.text("aé/. ")),
)
_entries = st.builds(Entry, paths, _contents, st.integers(0, (1 << 63) - 1), _times, _vectors, _times, _views)


@given(_entries)
def test_entry_comes_out_as_it_went_in(entry: Entry) -> None:
    entries = new_entries()
    number = entries.put(entry)
    assert entries.get(entry.path) == entries.by_id(number) == replace(entry, id=number)


@given(st.lists(_entries, unique_by=lambda entry: entry.path, max_size=8), st.lists(st.booleans()))
def test_many_at_once_are_written_and_read_as_each_alone(found: list[Entry], is_known: list[bool]) -> None:
    entries, alone = new_entries(), new_entries()
    known = list(compress(found, is_known))
    ids = {entry.path: entries.put(replace(entry, content=DIRECTORY)) for entry in known}
    numbers = entries.put_many(replace(entry, id=ids.get(entry.path, 0)) for entry in found)
    for entry in found:
        alone.put(entry)
    assert len(set(numbers)) == len(found)
    for entry, number in zip(found, numbers, strict=True):
        assert ids.get(entry.path, number) == number
        assert entries.by_id(number) == replace(entry, id=number)
    wanted = [*(entry.path for entry in found), "nowhere/at all"]
    read = entries.get_many(wanted)
    assert read == {path: entries.get(path) for path in wanted[:-1]}
    assert {k: t for k, t in entries.totals().items() if t[0]} == alone.totals()


def test_more_paths_than_one_statement_names_are_read(entries: Entries) -> None:
    many = [f"file {number}" for number in range(NAMED_AT_ONCE * 2 + 1)]
    entries.put_many(at(path) for path in many)
    entries.mark_unshown((path, 1, Lane.SMALL) for path in many)
    assert entries.get_many(many).keys() == set(many)
    assert set(entries.among_unshown(many)) == set(many)


def test_entry_that_is_put_again_keeps_its_id(entries: Entries) -> None:
    number = entries.put(at("a"))
    entries.put(at("b"))
    assert entries.put(at("a", DIRECTORY)) == number
    found = entries.get("a")
    assert found is not None and found.content == DIRECTORY


def test_moved_entry_keeps_its_id_and_leaves_its_path(entries: Entries) -> None:
    number = entries.put(at("a"))
    entries.move(number, "b/c")
    assert entries.get("a") is None
    assert entries.get("b/c") == at("b/c", id=number)


def test_vector_is_set_alone(entries: Entries) -> None:
    number = entries.put(at("a"))
    entries.set_vector(number, {b"\x02" * 16: 9})
    assert entries.get("a") == at("a", id=number, vector={b"\x02" * 16: 9})
    assert pack_vector({}) == b"\x80"


def test_deleted_entry_names_its_id_for_what_was_borrowed(entries: Entries) -> None:
    number = entries.put(at("a"))
    assert entries.delete("a") == number
    assert entries.delete("a") is None
    assert (entries.get("a"), entries.by_id(number)) == (None, None)


def test_renamed_files_are_found_by_their_inodes(entries: Entries) -> None:
    entries.put(at("a"))
    entries.put(at("same file", FILE))
    entries.put(at("other inode", inode=5))
    entries.put(at("directory", DIRECTORY))
    found = entries.with_inodes([ENTRY.inode, 5, 6])
    assert sorted(paths_of(found[ENTRY.inode])) == ["a", "same file"]
    assert paths_of(found[5]) == ["other inode"]
    assert 6 not in found


def test_copies_are_found_beside_their_path(entries: Entries) -> None:
    view = View("a/report", b"\x03" * 16, 7)
    entries.put(at("a/report"))
    entries.put(at("a/report (conflict)", view=view))
    (copy,) = entries.views("a/report")
    assert (copy.path, copy.view) == ("a/report (conflict)", view)
    assert entries.views("a/report (conflict)") == []
    assert entries.with_views(["a/report", "a", "nowhere"]) == {"a/report"}
    assert entries.count_views() == 1
    entries.put(at("a/report (conflict)"))  # an ordinary file now
    assert (entries.views("a/report"), entries.count_views()) == ([], 0)


@given(st.sets(paths), paths)
def test_inside_of_a_directory_is_read_in_the_order_of_the_tree(found: set[str], directory: str) -> None:
    entries = new_entries()
    entries.put_many(at(path) for path in found)
    for start in (directory, *sorted(found)[:2]):
        inside = sorted((path for path in found if path.startswith(start + "/")), key=portable.key)
        assert paths_of(entries.below(start)) == inside
        assert paths_of(entries.below(start, 2)) == inside[:2]
        at_or_in = sorted((path for path in found if f"{path}/".startswith(start + "/")), key=portable.key)
        assert paths_of(entries.inside(start, "", 1000)) == at_or_in


@given(st.integers(1, 4), st.sampled_from(["", "a", "a/b", "nowhere"]))
def test_pages_of_the_tree_follow_on_each_other(limit: int, start: str) -> None:
    entries = new_entries()
    entries.put_many(at(path) for path in PATHS)
    pages: list[str] = []
    while page := paths_of(entries.inside(start, pages[-1] if pages else "", limit)):
        assert len(page) <= limit
        pages += page
    everything = sorted(PATHS, key=portable.key)
    assert pages == [path for path in everything if not start or f"{path}/".startswith(start + "/")]


def test_unshown_paths_come_in_pages_and_go_as_they_are_shown(entries: Entries) -> None:
    entries.mark_unshown([(path, 10, Lane.SMALL) for path in PATHS])
    entries.mark_unshown([("a", 3, Lane.SMALL)])
    assert entries.count_unshown() == (len(PATHS), 10 * len(PATHS) - 7)
    everything = sorted(PATHS, key=portable.key)
    first = entries.unshown("", 4)
    assert [path for path, _ in first] == everything[:4]
    assert first[0] == ("a", 3)
    assert [path for path, _ in entries.unshown(first[-1][0], 100)] == everything[4:]
    entries.mark_shown(everything[1:])
    assert entries.unshown("", 100) == [("a", 3)]
    assert set(entries.among_unshown(PATHS)) == {"a"}
    entries.mark_shown(["a", "never marked"])
    assert entries.count_unshown() == (0, 0)


def test_marks_of_a_lane_come_in_their_order_or_the_newest_first(entries: Entries) -> None:
    small = [f"small {number}" for number in range(10)]
    entries.mark_unshown((path, 1, Lane.SMALL) for path in small)
    entries.mark_unshown([("gone", 0, Lane.REMOVAL), ("small 3", 1, Lane.SMALL)])
    in_order = [path for path in small if path != "small 3"] + ["small 3"]
    for newest_first, expected in ((False, in_order), (True, in_order[::-1])):
        pages = list(entries.unshown_in(Lane.SMALL, newest_first, limit=4))
        assert [len(page) for page in pages] == [4, 4, 2]
        assert [mark.path for page in pages for mark in page] == expected
    entries.change_lanes({"small 3": Lane.LARGE, "never marked": Lane.LARGE})
    ((large,),) = entries.unshown_in(Lane.LARGE, True, limit=4)
    assert large.path == "small 3"
    assert large.serial == entries.last_mark()


def test_mark_made_again_meanwhile_outlives_the_one_that_was_shown(entries: Entries) -> None:
    entries.mark_unshown([("a", 1, Lane.SMALL), ("b", 1, Lane.SMALL)])
    marks = entries.among_unshown(["a", "b"])
    entries.mark_unshown([("a", 2, Lane.SMALL)])
    entries.take_off_unshown(serial for serial, _ in marks.values())
    assert entries.unshown("", 10) == [("a", 2)]


def test_forgetting_all_leaves_what_is_still_to_be_shown(entries: Entries) -> None:
    entries.put_many(at(path) for path in PATHS)
    entries.mark_unshown([("a", 1, Lane.SMALL)])
    entries.forget_all()
    assert paths_of(entries.inside("", "", 100)) == []
    assert entries.totals()[Kind.FILE] == (0, 0)
    assert entries.unshown("", 10) == [("a", 1)]


def test_totals_count_each_kind(entries: Entries) -> None:
    entries.put_many([at("a", DIRECTORY), at("a/b"), at("a/c")])
    assert entries.totals() == {Kind.DIRECTORY: (1, 0), Kind.FILE: (2, 140_000)}
    entries.put(at("a/c", replace(FILE, size=1)))
    entries.delete("a/b")
    assert entries.totals() == {Kind.DIRECTORY: (1, 0), Kind.FILE: (1, 1)}


def test_directories_are_found_by_inode_and_files_by_a_block(entries: Entries) -> None:
    numbers = entries.put_many([at("d", DIRECTORY), at("f"), at("g"), at("other", inode=1)])
    assert paths_of(entries.directories_with_inode(ENTRY.inode)) == ["d"]
    block = b"\x05" * 32
    for number in (numbers[1], numbers[3], -7):  # what is archived has no entry
        row = (block, number, 0, 1)
        entries._db.execute("INSERT INTO borrowed VALUES (?, ?, ?, ?)", row)
    assert sorted(paths_of(entries.borrowing(block))) == ["f", "other"]
    assert entries.borrowing(b"\x06" * 32) == []
