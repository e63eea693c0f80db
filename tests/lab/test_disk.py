"""The simulated disk: what a person does there, and what befalls it."""

import errno

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from p2pdrive.errors import Changed, DiskFull, NotWritable, RootMissing, Unreadable
from p2pdrive.folder.files import FileKind
from p2pdrive.lab.disk import Killed
from p2pdrive.lab.files import SimulatedFiles
from tests.lab.simulated import ACTS, Act, attempt, disk_of, received, summary, there

# --- a person's acts


def test_person_edits_are_seen() -> None:
    disk = disk_of()
    disk.write("d/f", b"one three")
    disk.insert("d/f", 4, b"two ")
    disk.append("d/f", b"!")
    disk.chmod("d/f", True)
    disk.touch("d/f", 5)
    disk.symlink("d/link", "f")
    disk.rename("d", "e")
    assert disk.tree() == {
        "e": ("directory",),
        "e/f": ("file", b"one two three!", True, 5),
        "e/link": ("link", "f"),
    }
    disk.delete("e/link")
    disk.remove_tree("e")
    assert disk.tree() == {}


def test_person_is_told_what_cannot_be() -> None:
    disk = disk_of(capacity=100)
    disk.write("d/f", b"x")
    disk.write("g", b"x")
    for error, act in (
        (FileNotFoundError, lambda: disk.read("no")),
        (FileNotFoundError, lambda: disk.write("no/f", b"", parents=False)),
        (FileNotFoundError, lambda: disk.rename("no", "h")),
        (IsADirectoryError, lambda: disk.write("d", b"")),
        (IsADirectoryError, lambda: disk.delete("d")),
        (IsADirectoryError, lambda: disk.rename("g", "d")),
        (NotADirectoryError, lambda: disk.rename("d", "g")),
        (NotADirectoryError, lambda: disk.write("g/f", b"", parents=False)),
        (NotADirectoryError, lambda: disk.remove_directory("g")),
        (FileExistsError, lambda: disk.make_directory("d")),
        (FileExistsError, lambda: disk.symlink("g", "d")),
    ):
        with pytest.raises(error):
            act()
    for number, act in (
        (errno.ENOTEMPTY, lambda: disk.remove_directory("d")),
        (errno.EINVAL, lambda: disk.rename("d", "d/below")),
        (errno.ENOSPC, lambda: disk.write("h", bytes(99))),
    ):
        with pytest.raises(OSError, match=rf"Errno {number}\b"):
            act()
    assert summary(disk) == (("d", "directory"), ("d/f", b"x"), ("g", b"x"))


def test_in_place_keeps_the_inode_and_an_editor_does_not() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    first = there(files, "f")
    disk.write("f", b"2")
    second = there(files, "f")
    disk.write("f", b"3", new_inode=True)
    third = there(files, "f")
    assert first.inode == second.inode != third.inode
    assert first.ctime_ns < second.ctime_ns < third.ctime_ns


def test_edit_that_keeps_size_and_time_is_one_all_the_same() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    expected = there(files, "f")
    disk.write("f", b"2")
    disk.touch("f", expected.mtime_ns)
    name = received(files, b"3")
    for operation in (
        lambda: files.publish(name, "f", expected),
        lambda: files.move("f", "g", expected),
        lambda: files.remove("f", expected),
        lambda: files.set_metadata("f", 1, True, expected),
    ):
        with pytest.raises(Changed):
            operation()
        assert summary(disk) == (("f", b"2"),)


def test_numbers_of_inodes_are_used_again_but_not_while_they_are_open() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    number = there(files, "f").inode
    with files.open("f"):
        disk.delete("f")
        disk.write("g", b"2")
        assert there(files, "g").inode != number
    number = there(files, "g").inode
    disk.delete("g")
    disk.write("h", b"3")
    assert there(files, "h").inode == number


def test_coarse_clock_cannot_tell_two_edits_apart() -> None:
    disk = disk_of(grain_ns=10**9)
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    first = there(files, "f")
    disk.write("f", b"2")
    assert there(files, "f") == first


def test_times_are_stored_as_coarse_as_the_file_system_keeps_them() -> None:
    disk = disk_of(stored_ns=2 * 10**9)
    disk.write("f", b"1")
    disk.touch("f", 3 * 10**9 + 7)
    assert there(SimulatedFiles(disk), "f").mtime_ns == 2 * 10**9


def test_names_that_differ_in_case_only_are_one_where_case_is_folded() -> None:
    disk = disk_of(folds_case=True)
    files = SimulatedFiles(disk)
    disk.write("Dir/File", b"1")
    assert there(files, "dir/fILE").size == 1
    with pytest.raises(Changed):
        files.publish(received(files, b"x"), "DIR/FILE", None)
    files.publish("received", "dir/file", there(files, "dir/file"))
    disk.rename("Dir", "dir")
    assert [name.name for name in files.list("")] == [".p2pdrive", "dir"]
    assert disk.read("dir/File") == b"x"


def test_watcher_is_told_of_all_that_changes_but_our_own() -> None:
    disk = disk_of()
    called = []
    disk.on_change = lambda: called.append(disk.changes)
    files = SimulatedFiles(disk)
    disk.write("d/f", b"1")
    disk.rename("d/f", "g")
    assert disk.changes == {"d", "d/f", "g"}
    disk.changes.clear()
    files.publish(received(files, b"2"), "d/h", None)
    files.move("g", "k", there(files, "g"))
    files.discard(files.remove("k", there(files, "k")))
    assert disk.changes == {"d/h", "g", "k"}
    assert len(called) == 2


def test_held_file_is_written_wherever_it_went() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    expected = there(files, "f")
    disk.hold_open("f")
    with pytest.raises(Changed):
        files.remove("f", expected)
    with pytest.raises(Changed):
        files.set_metadata("f", 1, True, there(files, "f"))
    assert summary(disk) == (("f", b"1"),)
    disk.rename("f", "g")
    disk.write_held("f", b"2")
    disk.let_go("f")
    assert summary(disk) == (("g", b"2"),)
    files.remove("g", there(files, "g"))
    assert list(disk.every_file()) == [b"2"]


# --- faults


def test_vanished_root_is_missing_and_comes_back_as_it_was() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    handle = files.open("f")
    disk.vanish()
    assert not files.root_present()
    for look in (files.stat, files.list, files.open, files.make_directory):
        with pytest.raises(RootMissing):
            look("f")
    with pytest.raises(RootMissing):
        SimulatedFiles(disk)
    with pytest.raises(Unreadable):
        handle.readinto(memoryview(bytearray(1)))
    with pytest.raises(FileNotFoundError):
        disk.write("f", b"2")
    assert disk.tree() == {}
    disk.reappear()
    assert there(files, "f").size == 1
    assert disk.tree().keys() == {"f"}


def test_faults_come_where_and_as_often_as_asked() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    disk.fail("stat", "f", OSError(errno.EIO, "input/output error"), times=2)
    disk.fail("pwrite", "*", OSError(errno.ENOSPC, "no space"))
    for _ in range(2):
        with pytest.raises(Unreadable):
            files.stat("f")
    assert files.stat("f")
    with files.open_temporary("t", 1) as handle, pytest.raises(DiskFull):
        handle.pwrite(b"x", 0)


def test_fault_in_mid_exchange_leaves_everything_in_place() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"old")
    expected = there(files, "f")
    disk.fail("publish:exchange", "f", OSError(errno.EIO, "input/output error"))
    with pytest.raises(NotWritable):
        files.publish(received(files, b"new"), "f", expected)
    assert (disk.read("f"), files.temporaries(), files.displaced()) == (b"old", ["received"], [])


def test_what_is_forbidden_is_so_until_it_is_allowed() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"1")
    disk.write("d/f", b"1")
    disk.forbid("f")
    disk.forbid("d")
    for look in (lambda: files.open("f"), lambda: files.list("d"), lambda: files.stat("d/f")):
        with pytest.raises(Unreadable):
            look()
    with pytest.raises(NotWritable):
        files.make_directory("d/e")
    assert there(files, "f").size == 1
    assert disk.read("d/f") == b"1"
    disk.allow("d")
    disk.forbid("d", reading=False)
    assert there(files, "d/f").size == 1
    with pytest.raises(NotWritable):
        files.remove("d/f", there(files, "d/f"))
    disk.allow("f")
    files.open("f").close()


def test_full_disk_is_full_until_there_is_room() -> None:
    disk = disk_of(capacity=10)
    files = SimulatedFiles(disk)
    disk.write("f", b"123456")
    assert files.free_bytes() == 4
    with files.open_temporary("t", 8) as handle:
        handle.pwrite(b"123", 0)
        with pytest.raises(DiskFull):
            handle.pwrite(b"45678", 3)
        assert files.free_bytes() == 0
        disk.delete("f")
        handle.pwrite(b"45678", 3)
    assert files.free_bytes() == 2
    files.discard("t")
    assert files.free_bytes() == 10
    disk.capacity = 3
    with pytest.raises(OSError, match="space"):
        disk.write("g", b"1234")


def test_rot_changes_bytes_and_nothing_else() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("f", b"12345")
    before = there(files, "f")
    disk.rot("f")
    assert there(files, "f") == before
    assert disk.read("f") != b"12345"
    assert len(disk.read("f")) == 5


def test_short_reads_come_to_the_end_all_the_same() -> None:
    disk = disk_of()
    disk.short_reads = True
    content = bytes(range(256))
    disk.write("f", content)
    pieces, view = [], memoryview(bytearray(256))
    with SimulatedFiles(disk).open("f") as handle:
        while number := handle.readinto(view):
            pieces.append(bytes(view[:number]))
    assert b"".join(pieces) == content
    assert len(pieces) > 1


def test_killed_process_changes_nothing_any_more() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)

    def hook(when: str, operation: str, path: str) -> None:
        if operation == "publish:name":
            raise Killed

    disk.hook = hook
    name = received(files, b"1")
    for operation in (lambda: files.publish(name, "f", None), lambda: files.discard(name)):
        with pytest.raises(Killed):
            operation()
        disk.hook = lambda when, operation, path: None
    assert disk.tree() == {}
    files = SimulatedFiles(disk)
    assert files.temporaries() == [name]
    handle = files.open_temporary(name, 1)
    disk.kill()
    with pytest.raises(Killed):
        handle.pwrite(b"2", 0)
    handle.close()
    assert list(disk.every_file()) == [b"1"]


def test_snapshot_comes_back_here_or_elsewhere() -> None:
    disk = disk_of()
    files = SimulatedFiles(disk)
    disk.write("d/f", b"then")
    before = there(files, "d/f")
    saved = disk.snapshot()
    disk.write("d/f", b"now")
    disk.write("g", b"now")
    other = disk_of()
    for target in (disk, other):
        for image in (True, False):
            target.restore(saved, image=image)
            assert summary(target) == (("d", "directory"), ("d/f", b"then"))
            found = there(SimulatedFiles(target), "d/f")
            assert (found == before) == image
            assert found.mtime_ns == before.mtime_ns
            target.write("d/f", b"other")
    with pytest.raises(Killed):
        files.stat("d/f")


@settings(max_examples=200, deadline=None)
@given(st.lists(ACTS, max_size=40))
def test_space_is_accounted_for(done: list[Act]) -> None:
    disk = disk_of()
    for act in done:
        attempt(disk, act)
    assert disk.volume.used == sum(len(content) for content in disk.every_file())
    for path, shown in list(disk.tree().items()):
        if shown[0] == "file":
            disk.delete(path)
    assert disk.volume.used == 0
    assert all(disk.kind(path) is FileKind.DIRECTORY for path in disk.tree())
