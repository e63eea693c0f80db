"""People who write while we replace, and kills in between: no content is ever lost."""

import os
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import BinaryIO

import pytest

from p2pdrive.errors import Changed, InUse
from p2pdrive.folder.files import FileKind, Files, Stat
from p2pdrive.folder.inotify import Inotify
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls

STEPS_MAX = 30


class Stepping(SystemCalls):
    """Calls ``step`` around each change that is made through it, and around each look for writers."""

    def __init__(self, modern: bool) -> None:
        super().__init__(beneath=modern, renames=modern, sync_all=modern, leases=modern)
        self.step: Callable[[], None] = lambda: None
        self.looks = 0  # for writers

    def rename_new(self, source_fd: int, source: str, target_fd: int, target: str) -> None:
        self.step()
        super().rename_new(source_fd, source, target_fd, target)
        self.step()

    def exchange(self, one_fd: int, one: str, other_fd: int, other: str) -> bool:
        self.step()
        done = super().exchange(one_fd, one, other_fd, other)
        self.step()
        return done

    def move_new(self, source_fd: int, source: str, target_fd: int, target: str) -> bool:
        self.step()
        done = super().move_new(source_fd, source, target_fd, target)
        self.step()
        return done

    def being_written(self, directory: int, name: str) -> bool:
        self.step()
        written = super().being_written(directory, name)
        self.looks += 1
        self.step()
        return written


def contents(root: Path) -> list[bytes]:
    """Of all files, wherever they are."""
    return [path.read_bytes() for path in root.rglob("*") if path.is_file() and not path.is_symlink()]


def prepared(root: Path, calls: SystemCalls) -> tuple[LocalFiles, Stat]:
    files = LocalFiles(root, calls)
    (root / "f").write_bytes(b"old")
    with files.open_temporary("received", 3) as handle:
        handle.pwrite(b"new", 0)
    files.finish_temporary("received", 1, False)
    expected = files.stat("f")
    assert expected is not None
    return files, expected


def operations(files: LocalFiles, expected: Stat) -> dict[str, Callable[[], object]]:
    return {
        "replace": lambda: files.publish("received", "f", expected),
        "remove": lambda: files.remove("f", expected),
        "move": lambda: files.move("f", "g", expected),
    }


def edit_in_place(path: Path) -> None:
    path.write_bytes(b"edit")


def edit_by_rename(path: Path) -> None:
    path.with_name("saved").write_bytes(b"edit")
    path.with_name("saved").rename(path)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("edit", [edit_in_place, edit_by_rename])
@pytest.mark.parametrize("operation", ["replace", "remove", "move"])
def test_edit_at_any_step_survives(
    root: Path, operation: str, edit: Callable[[Path], None], modern: bool
) -> None:
    step = 0
    seen = STEPS_MAX
    while step < seen:
        calls = Stepping(modern)
        files, expected = prepared(root, calls)
        taken = 0

        def count(at: int = step) -> None:
            nonlocal taken
            if taken == at:
                edit(root / "f")
            taken += 1

        calls.step = count
        with suppress(Changed):
            operations(files, expected)[operation]()
        assert b"edit" in contents(root), f"lost at step {step}"
        if (root / "f").exists():
            assert (root / "f").read_bytes() in (b"old", b"edit", b"new")
        seen = taken
        step += 1
        files.close()
        for path in [*root.glob("*"), *root.glob(".p2pdrive/tmp/*")]:
            if path.is_file():
                path.unlink()
    assert 0 < step < STEPS_MAX


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("operation", ["replace", "remove", "move"])
def test_kill_at_any_step_leaves_both_versions_somewhere(root: Path, operation: str, modern: bool) -> None:
    for step in range(STEPS_MAX):
        calls = Stepping(modern)
        files, expected = prepared(root, calls)
        killed = run_killed(operations(files, expected)[operation], calls, step)
        files.close()
        reopened = LocalFiles(root, calls)
        assert b"old" in contents(root)
        if operation == "replace":
            assert b"new" in contents(root)
        if modern and operation == "replace":
            assert (root / "f").read_bytes() in (b"old", b"new")
        if not (root / "f").exists() and not (root / "g").exists():
            assert "f" in [displaced.path for displaced in reopened.displaced()]
        # The next run goes on where this one was cut, and writes to no file that has a place.
        before = {path.name: path.read_bytes() for path in root.glob("?")}
        with reopened.open_temporary("received", 3) as handle:
            handle.pwrite(b"xyz", 0)
        assert {path.name: path.read_bytes() for path in root.glob("?")} == before
        assert all(reopened.stat(name) for name in before)
        reopened.close()
        for path in [*root.glob("*"), *root.glob(".p2pdrive/tmp/*")]:
            if path.is_file():
                path.unlink()
        if not killed:
            assert step > 0
            return
    pytest.fail("the operation has no end")


def run_killed(operation: Callable[[], object], calls: Stepping, step: int) -> bool:
    """Run in a process that ends at once at its ``step``-th step; whether it came to that."""
    child = os.fork()
    if child == 0:
        left = step

        def end() -> None:
            nonlocal left
            if left == 0:
                os._exit(9)
            left -= 1

        calls.step = end
        try:
            operation()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


@pytest.mark.skipif(not SystemCalls.detect().leases, reason="this platform cannot tell who writes")
@pytest.mark.parametrize("operation", ["replace", "remove", "move"])
def test_file_that_is_being_written_stays(root: Path, operation: str) -> None:
    files, expected = prepared(root, SystemCalls.detect())
    with (root / "f").open("r+b") as writer, closing(Inotify(str(root))) as watch:
        watch.watch_tree("")
        with pytest.raises(InUse):
            operations(files, expected)[operation]()
        assert files.stat("f") == expected, "it was moved, and moved back"
        assert not watch.has_more(), "whoever looks at what the watcher names would try again at once"
        writer.write(b"and more")
    assert (root / "f").read_bytes() == b"and more"
    assert files.displaced() == []
    assert files.temporaries() == ["received"]
    files.close()


@pytest.mark.skipif(not SystemCalls.detect().leases, reason="this platform cannot tell who writes")
@pytest.mark.parametrize("operation", ["replace", "remove", "move"])
def test_file_that_is_opened_as_it_is_taken_is_put_back(root: Path, operation: str) -> None:
    calls = Stepping(modern=True)
    files, expected = prepared(root, calls)
    opened: list[BinaryIO] = []

    def open_it() -> None:
        if calls.looks and not opened:
            opened.append((root / "f").open("r+b"))

    calls.step = open_it
    with pytest.raises(Changed):
        operations(files, expected)[operation]()
    with opened[0] as writer:
        writer.write(b"and more")
    assert (root / "f").read_bytes() == b"and more"
    assert files.displaced() == []
    files.close()


@pytest.mark.skipif(not SystemCalls.detect().leases, reason="this platform cannot tell who writes")
def test_metadata_of_a_file_that_is_being_written_stays(root: Path) -> None:
    files, expected = prepared(root, SystemCalls.detect())
    with (root / "f").open("r+b"), pytest.raises(InUse):
        files.set_metadata("f", 1, True, expected)
    assert files.stat("f") == expected
    files.close()


def test_edit_of_the_new_version_during_the_undo_is_kept(root: Path) -> None:
    calls = Stepping(modern=True)
    files, expected = prepared(root, calls)
    edits = iter([b"first edit", b"second edit"])

    def edit() -> None:
        if (root / "f").read_bytes() in (b"old", b"new") and (text := next(edits, None)) is not None:
            (root / "saved").write_bytes(text)
            (root / "saved").rename(root / "f")

    calls.step = edit
    with pytest.raises(Changed):
        files.publish("received", "f", expected)
    assert {b"first edit", b"second edit"} <= set(contents(root))
    files.close()


def test_directory_made_during_the_undo_is_displaced_and_can_be_put_back(root: Path) -> None:
    calls = Stepping(modern=True)
    files, expected = prepared(root, calls)

    def act() -> None:
        if (root / "f").is_dir():
            return
        if (root / "f").read_bytes() == b"old":
            (root / "saved").write_bytes(b"edit")
            (root / "saved").rename(root / "f")
        elif (root / "f").read_bytes() == b"new":
            (root / "f").unlink()
            (root / "f").mkdir()
            (root / "f" / "inside").write_bytes(b"inside")

    calls.step = act
    with pytest.raises(Changed):
        files.publish("received", "f", expected)
    calls.step = lambda: None
    assert (root / "f").read_bytes() == b"edit"
    (displaced,) = files.displaced()
    assert displaced.stat.kind is FileKind.DIRECTORY
    files.publish(displaced.name, "put back", None)
    assert (root / "put back" / "inside").read_bytes() == b"inside"
    files.close()


def test_name_taken_again_while_the_old_version_steps_aside(root: Path) -> None:
    calls = Stepping(modern=False)
    files, expected = prepared(root, calls)

    def take() -> None:
        if not (root / "f").exists():
            (root / "f").write_bytes(b"newcomer")

    calls.step = take
    with pytest.raises(Changed):
        files.publish("received", "f", expected)
    assert (root / "f").read_bytes() == b"newcomer"
    assert [displaced.path for displaced in files.displaced()] == ["f"]
    assert sorted(contents(root)) == [b"new", b"newcomer", b"old"]
    files.close()


@pytest.mark.parametrize("modern", [True, False])
def test_mode_given_to_a_version_that_was_just_published_is_not_ours(root: Path, modern: bool) -> None:
    calls = Stepping(modern)
    files, expected = prepared(root, calls)

    def edit() -> None:
        if (root / "f").exists() and (root / "f").read_bytes() == b"new":
            (root / "f").chmod(0o755)

    calls.step = edit
    with closing(files):
        published = files.publish("received", "f", expected)
        assert not published.stat.executable
        assert (found := files.stat("f")) is not None
        assert found.executable


def test_program_that_has_a_file_open_for_writing_is_known_where_anybody_can_tell(
    root: Path, files: Files, calls: SystemCalls
) -> None:
    (root / "f").write_text("half")
    with (root / "f").open("r+b"):
        assert files.being_written("f") == calls.leases
    with (root / "f").open("rb"):
        assert not files.being_written("f")
    assert not files.being_written("missing")
