"""What every ``Files`` keeps; run for each implementation that the fixture ``files`` offers."""

import os
from pathlib import Path

import pytest

from p2pdrive.errors import Changed, NotWritable, RootMissing, Unreadable
from p2pdrive.folder.files import FileKind, Files, Published, Stat

MTIME = 1_600_000_000_123_456_789


def put(
    files: Files, path: str, content: bytes, expected: Stat | None = None, executable: bool = False
) -> Published:
    with files.open_temporary("received", len(content)) as handle:
        handle.pwrite(content, 0)
    files.finish_temporary("received", MTIME, executable)
    files.sync_temporaries(["received"])
    return files.publish("received", path, expected)


def content_of(files: Files, path: str) -> bytes:
    with files.open(path) as handle:
        buffer = bytearray(1000)
        return bytes(buffer[: handle.readinto(memoryview(buffer))])


def displaced_content(files: Files, name: str) -> bytes:
    with files.open_displaced(name) as handle:
        buffer = bytearray(1000)
        return bytes(buffer[: handle.readinto(memoryview(buffer))])


def there(files: Files, path: str) -> Stat:
    found = files.stat(path)
    assert found is not None
    return found


def test_new_file_appears_with_its_content_time_and_mode(files: Files, root: Path) -> None:
    files.make_directory("photos")
    published = put(files, "photos/a b.txt", b"hello", executable=True)
    assert published.displaced is None
    assert published.stat == files.stat("photos/a b.txt")
    assert (published.stat.kind, published.stat.size) == (FileKind.FILE, 5)
    assert published.stat.mtime_ns == MTIME
    assert published.stat.executable
    assert (root / "photos/a b.txt").read_bytes() == b"hello"
    assert files.temporaries() == []


def test_new_file_has_the_permissions_that_the_person_gives_new_files(files: Files, root: Path) -> None:
    (root / "by hand").touch()
    put(files, "by us", b"x")
    assert (root / "by us").stat().st_mode == (root / "by hand").stat().st_mode


def test_replacement_shows_the_new_content_and_keeps_the_old(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"old")
    published = put(files, "f", b"newer", there(files, "f"))
    assert (root / "f").read_bytes() == b"newer"
    assert published.stat == files.stat("f")
    assert published.displaced is not None
    assert displaced_content(files, published.displaced) == b"old"
    [displaced] = files.displaced()
    assert (displaced.name, displaced.path) == (published.displaced, "f")
    files.discard(published.displaced)
    assert files.displaced() == []


def test_replacement_of_a_private_file_stays_private(files: Files, root: Path) -> None:
    (root / "diary").write_bytes(b"old")
    (root / "diary").chmod(0o600)
    put(files, "diary", b"new", there(files, "diary"), executable=True)
    assert (root / "diary").stat().st_mode & 0o777 == 0o700


def test_displaced_file_is_put_back_by_publishing_it(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"only copy")
    files.publish(files.remove("f", there(files, "f")), "f", None)
    assert (root / "f").read_bytes() == b"only copy"
    assert files.displaced() == []


def test_origin_of_a_displaced_file_is_known_whatever_its_path(files: Files) -> None:
    long = "x" * 200
    paths = ["50% off.txt", "d/%2F.%25", "ä/ö", f"{long}/{long}"]
    for path in paths:
        if "/" in path:
            files.make_directory(path.split("/", maxsplit=1)[0])
        put(files, path, b"x")
        files.remove(path, there(files, path))
    assert [displaced.path for displaced in files.displaced()] == [*paths[:-1], None]


def test_publish_on_a_taken_name_changes_nothing(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"the person's")
    with pytest.raises(Changed):
        put(files, "f", b"ours")
    assert (root / "f").read_bytes() == b"the person's"
    assert files.temporaries() == ["received"]
    assert files.displaced() == []


@pytest.mark.parametrize("change", ["content", "gone", "mode", "same size and time", "directory", "symlink"])
def test_publish_over_something_unexpected_changes_nothing(files: Files, root: Path, change: str) -> None:
    path = root / "f"
    path.write_bytes(b"old")
    expected = there(files, "f")
    if change == "content":
        path.write_bytes(b"edit")
    elif change == "same size and time":
        path.write_bytes(b"bad")
        os.utime(path, ns=(expected.mtime_ns, expected.mtime_ns))
    elif change == "mode":
        path.chmod(0o755)
    else:
        path.unlink()
    if change == "directory":
        path.mkdir()
    if change == "symlink":
        path.symlink_to("elsewhere")
    before = files.stat("f")
    for operation in (
        lambda: put(files, "f", b"ours", expected),
        lambda: files.remove("f", expected),
        lambda: files.move("f", "g", expected),
        lambda: files.set_metadata("f", MTIME, True, expected),
    ):
        with pytest.raises(Changed):
            operation()
        assert files.stat("f") == before
        assert files.stat("g") is None
        assert files.displaced() == []


def test_operations_under_a_missing_parent_say_so(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"x")
    expected = there(files, "f")
    for operation in (
        lambda: put(files, "no/f", b"x"),
        lambda: files.move("f", "no/f", expected),
        lambda: files.make_directory("no/d"),
        lambda: files.make_symlink("no/l", "f", None),
        lambda: files.open("no/f"),
        lambda: files.list("no"),
    ):
        with pytest.raises(Changed):
            operation()
    assert there(files, "f").same_version(expected)
    assert files.stat("no") is None
    assert files.displaced() == []


def test_move_keeps_the_file_and_frees_its_old_name(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"moved")
    files.make_directory("d")
    before = there(files, "f")
    moved = files.move("f", "d/g", before)
    assert moved == files.stat("d/g")
    assert moved.same_version(before)
    assert files.stat("f") is None
    assert (root / "d/g").read_bytes() == b"moved"


def test_move_to_a_taken_name_changes_nothing(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"one")
    (root / "g").write_bytes(b"two")
    with pytest.raises(Changed):
        files.move("f", "g", there(files, "f"))
    assert (root / "f").read_bytes() == b"one"
    assert (root / "g").read_bytes() == b"two"
    assert files.displaced() == []


def test_removed_file_waits_among_the_displaced(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"gone")
    name = files.remove("f", there(files, "f"))
    assert files.stat("f") is None
    assert displaced_content(files, name) == b"gone"
    files.discard(name)
    files.discard(name)
    assert files.displaced() == []


def test_symlinks_are_links_and_are_replaced_like_files(files: Files, root: Path) -> None:
    made = files.make_symlink("link", "../outside", None)
    assert made.stat == files.stat("link")
    assert (made.stat.kind, made.stat.target) == (FileKind.SYMLINK, "../outside")
    replaced = files.make_symlink("link", "near", made.stat)
    assert os.readlink(root / "link") == "near"
    assert replaced.displaced is not None
    files.discard(replaced.displaced)
    put(files, "link", b"a file now", there(files, "link"))
    assert content_of(files, "link") == b"a file now"
    assert files.temporaries() == []


@pytest.mark.parametrize("target", ["", "a\0b", "x" * 5000])
def test_impossible_symlink_target_is_refused(files: Files, target: str) -> None:
    with pytest.raises(NotWritable):
        files.make_symlink("link", target, None)
    assert files.stat("link") is None


def test_metadata_is_set_without_touching_the_content(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"same")
    found = files.set_metadata("f", MTIME, True, there(files, "f"))
    assert found == files.stat("f")
    assert (found.mtime_ns, found.executable) == (MTIME, True)
    found = files.set_metadata("f", MTIME + 1, False, found)
    assert (found.mtime_ns, found.executable) == (MTIME + 1, False)
    assert (root / "f").read_bytes() == b"same"
    assert files.temporaries() == []
    assert files.displaced() == []


def test_time_that_no_system_can_hold_is_a_problem_of_that_file(files: Files) -> None:
    with files.open_temporary("t", 0):
        pass
    with pytest.raises(NotWritable):
        files.finish_temporary("t", 2**100, False)


def test_temporary_keeps_what_an_earlier_run_wrote(files: Files, root: Path, calls: object) -> None:
    with files.open_temporary("big", 10) as handle:
        handle.pwrite(b"abc", 4)
    with files.open_temporary("big", 10) as handle:
        view = memoryview(bytearray(10))
        assert handle.pread(view, 0) == 10
        assert bytes(view) == b"\0\0\0\0abc\0\0\0"
    assert files.temporaries() == ["big"]
    files.discard("big")
    assert files.temporaries() == []


def test_temporary_that_is_also_a_published_file_is_let_go(files: Files, root: Path) -> None:
    (root / "f").write_bytes(b"published")
    os.link(root / "f", root / ".p2pdrive/tmp/received")
    with files.open_temporary("received", 3) as handle:
        handle.pwrite(b"new", 0)
    assert (root / "f").read_bytes() == b"published"


@pytest.mark.parametrize("number", [1, 10])
def test_many_temporaries_are_made_durable_and_published(files: Files, root: Path, number: int) -> None:
    names = [f"t{count}" for count in range(number)]
    for name in names:
        with files.open_temporary(name, 1) as handle:
            handle.pwrite(b"x", 0)
    files.sync_temporaries(names)
    for name in names:
        files.publish(name, name, None)
    files.sync_directories([""])
    assert [name.name for name in files.list("")] == [".p2pdrive", *names]
    with pytest.raises(Changed):
        files.publish("t0", "again", None)


def test_files_that_are_gone_before_they_are_synced_are_named(files: Files, root: Path) -> None:
    (root / "f").write_text("there")
    assert list(files.sync_files(["gone", "f", "d/gone"])) == ["gone", "d/gone"]
    assert list(files.sync_files(["f"])) == []


def test_directories_are_made_and_removed(files: Files, root: Path) -> None:
    files.make_directory("d")
    files.make_directory("d")
    files.make_directory("d/e")
    assert there(files, "d").kind is FileKind.DIRECTORY
    assert not files.remove_directory("d")
    assert files.remove_directory("d/e")
    assert files.remove_directory("d/e")
    assert list(files.sync_directories(["", "d", "gone", "d/gone/too"])) == ["gone", "d/gone/too"]
    files.sync_all()
    (root / "f").touch()
    with pytest.raises(Changed):
        files.make_directory("f")
    with pytest.raises(Changed):
        files.remove_directory("f")


def test_listing_is_sorted_by_bytes_and_tells_of_every_name(files: Files, root: Path) -> None:
    for made in ["b", "a", "ä", "Z"]:
        (root / made).touch()
    (root / "link").symlink_to("a")
    os.close(os.open(os.fsencode(root) + b"/\xff", os.O_CREAT))
    names = files.list("")
    assert [name.raw for name in names] == [b".p2pdrive", b"Z", b"a", b"b", b"link", "ä".encode(), b"\xff"]
    assert [name.name for name in names][-2:] == ["ä", None]
    assert {name.raw: name.stat for name in names}[b"link"] == files.stat("link")


def test_nothing_is_at_a_path_through_a_file(files: Files, root: Path) -> None:
    (root / "f").touch()
    assert files.stat("f/below") is None
    with pytest.raises(Changed):
        put(files, "f/below", b"x")
    with pytest.raises(Changed):
        files.open("f/below")


def test_vanished_root_is_missing_and_not_empty(files: Files, root: Path) -> None:
    (root / "f").touch()
    expected = there(files, "f")
    assert files.root_present()
    root.rename(root.with_name("unplugged"))
    root.mkdir()
    assert not files.root_present()
    for look in (files.stat, files.open, files.list):
        with pytest.raises(RootMissing):
            look("other")
    for look in (files.stat, files.list):
        with pytest.raises(RootMissing):
            look("")
    root.rmdir()
    with pytest.raises(RootMissing):
        files.stat("other")
    root.with_name("unplugged").rename(root)
    assert files.root_present()
    assert files.stat("f") == expected


def test_vanished_state_is_a_missing_root(files: Files, root: Path) -> None:
    (root / ".p2pdrive").rename(root / "moved")
    with pytest.raises(RootMissing):
        files.stat("f")
    with pytest.raises(RootMissing):
        files.make_directory("no/d")


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_forbidden_files_are_named_as_such(files: Files, root: Path) -> None:
    (root / "f").touch(mode=0)
    (root / "d").mkdir(mode=0o500)
    with pytest.raises(Unreadable):
        files.open("f")
    with pytest.raises(NotWritable):
        files.make_directory("d/e")


def test_free_space_is_told(files: Files) -> None:
    assert files.free_bytes() > 0


def test_displaced_file_is_archived_under_its_number(files: Files) -> None:
    put(files, "a", b"one")
    name = files.remove("a", there(files, "a"))
    files.archive.keep(name)
    files.archive.keep(name)  # stopped in between, and done once more
    (number,) = files.archive.numbers()
    assert files.displaced() == []
    with files.archive.open(number) as handle:
        buffer = bytearray(10)
        assert bytes(buffer[: handle.pread(memoryview(buffer), 1)]) == b"ne"
    put(files, "b", b"two")
    files.archive.keep(files.remove("b", there(files, "b")))
    assert files.archive.numbers() == sorted(files.archive.numbers())
    assert len(files.archive.numbers()) == 2
    assert files.archive.discard(number) > 0
    assert files.archive.discard(number) == 0
    assert number not in files.archive.numbers()
    with pytest.raises(Changed):
        files.archive.open(number)


def test_what_is_in_neither_place_cannot_be_archived(files: Files) -> None:
    put(files, "a", b"one")
    name = files.remove("a", there(files, "a"))
    files.discard(name)
    with pytest.raises(Changed):
        files.archive.keep(name)


def test_parts_of_a_temporary_that_were_never_written_are_holes(files: Files) -> None:
    """And wherever a disk does not tell of holes, all of it counts as data."""
    page, size = 64 * 1024, 1024 * 1024
    with files.open_temporary("received", size) as handle:
        handle.pwrite(b"x" * page, 4 * page)
        if handle.next_data(0) != 0:
            assert handle.next_data(0) == 4 * page
            assert handle.next_hole(4 * page) == 5 * page
            assert handle.next_data(5 * page) == size
        assert handle.next_hole(0) in (0, size)
        assert handle.next_data(4 * page + 7) == 4 * page + 7
        assert handle.next_data(size) == size
        assert handle.next_hole(size) == size
        buffer = bytearray(page)
        assert handle.readinto(memoryview(buffer)) == page  # looking for holes moves nothing
        assert not any(buffer)
