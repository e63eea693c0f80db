"""Whatever path a peer names, nothing outside the root is read, made or changed."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from p2pdrive.errors import Changed, NotWritable, Unreadable, WorldError
from p2pdrive.folder.files import Files, Stat
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls

HOSTILE = ["../victim", "/etc/passwd", "a/../../victim", ".", "..", "a//b", "a/", "a\0b", "a/./b", "\udcff"]
OURS = [".p2pdrive/index.db", ".p2pdrive", ".P2PDrive/tmp/x", ".p2pdrive/tmp/received"]


@pytest.fixture
def outside(root: Path) -> Iterator[Path]:
    """A folder beside the root; at the end of the test it must be as it was."""
    beside = root.with_name("outside")
    beside.mkdir()
    (beside / "victim").write_bytes(b"secret")
    (root.with_name("victim")).write_bytes(b"secret")
    before = tree(beside)
    yield beside
    assert tree(beside) == before
    assert root.with_name("victim").read_bytes() == b"secret"


def tree(path: Path) -> dict[str, tuple[int, int, int, bytes]]:
    return {
        str(found): (found.lstat().st_ino, found.lstat().st_mode, found.lstat().st_mtime_ns, content(found))
        for found in [path, *sorted(path.rglob("*"))]
    }


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() and not path.is_symlink() else b""


def every_operation(files: Files, path: str, expected: Stat) -> list[Callable[[], object]]:
    with files.open_temporary("received", 3) as handle:
        handle.pwrite(b"bad", 0)
    return [
        lambda: files.open(path),
        lambda: files.list(path),
        lambda: files.publish("received", path, None),
        lambda: files.publish("received", path, expected),
        lambda: files.move("mine", path, expected),
        lambda: files.move(path, "taken", expected),
        lambda: files.remove(path, expected),
        lambda: files.make_directory(path),
        lambda: files.remove_directory(path),
        lambda: files.make_symlink(path, "x", None),
        lambda: files.set_metadata(path, 0, True, expected),
    ]


@pytest.mark.parametrize("path", [*HOSTILE, *OURS])
def test_hostile_path_is_refused_by_every_operation(
    files: Files, root: Path, outside: Path, path: str
) -> None:
    (root / "mine").write_bytes(b"mine")
    (root / "a").mkdir()
    state = tree(root)
    expected = files.stat("mine")
    assert expected is not None
    for operation in every_operation(files, path, expected):
        with pytest.raises(WorldError):
            operation()
    with pytest.raises(Unreadable):
        files.stat(path)
    files.discard("received")
    assert {k: v[3] for k, v in tree(root).items()} == {k: v[3] for k, v in state.items()}


def test_root_itself_is_never_changed(files: Files, root: Path) -> None:
    found = files.stat("")
    assert found is not None
    listing = 1  # it may be listed
    for number, operation in enumerate(every_operation(files, "", found)):
        if number == listing:
            continue
        with pytest.raises(WorldError):
            operation()
    assert files.root_present()


@pytest.mark.parametrize("depth", ["link", "a/b/link"])
def test_symlinked_parent_is_followed_by_no_operation(
    files: Files, root: Path, outside: Path, depth: str
) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / depth).symlink_to(outside)
    (root / "mine").write_bytes(b"mine")
    path = f"{depth}/victim"
    assert files.stat(path) is None
    found = (outside / "victim").stat()
    mine = files.stat("mine")
    assert mine is not None
    expected = Stat(mine.kind, 6, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, False, None)
    for operation in every_operation(files, path, expected):
        with pytest.raises(Changed):
            operation()
    with pytest.raises(Changed):
        files.list(depth)
    assert (root / "mine").read_bytes() == b"mine"
    assert files.displaced() == []


def test_symlink_at_the_end_is_never_followed(files: Files, root: Path, outside: Path) -> None:
    (root / "link").symlink_to(outside / "victim")
    found = files.stat("link")
    assert found is not None
    with pytest.raises(Changed):
        files.open("link")
    with pytest.raises(Changed):
        files.set_metadata("link", 0, True, found)
    with files.open_temporary("received", 3) as handle:
        handle.pwrite(b"new", 0)
    files.publish("received", "link", found)
    assert not (root / "link").is_symlink()
    assert (root / "link").read_bytes() == b"new"


def test_symlink_planted_as_a_temporary_is_not_written_through(
    files: Files, root: Path, outside: Path
) -> None:
    (root / ".p2pdrive/tmp/received").symlink_to(outside / "victim")
    with pytest.raises(Changed):
        files.open_temporary("received", 3)
    files.discard("received")


class Swapping(SystemCalls):
    """Puts a symlink to ``outside`` in place of the parent, once it has been opened."""

    swap: Callable[[], None] = staticmethod(lambda: None)

    def rename_new(self, source_fd: int, source: str, target_fd: int, target: str) -> None:
        self.swap()
        super().rename_new(source_fd, source, target_fd, target)

    def move_new(self, source_fd: int, source: str, target_fd: int, target: str) -> bool:
        self.swap()
        return super().move_new(source_fd, source, target_fd, target)

    def exchange(self, one_fd: int, one: str, other_fd: int, other: str) -> bool:
        self.swap()
        return super().exchange(one_fd, one, other_fd, other)

    def being_written(self, directory: int, name: str) -> bool:
        self.swap()
        return super().being_written(directory, name)

    def lease(self, fd: int) -> bool | None:
        self.swap()
        return super().lease(fd)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("operation", ["publish", "replace", "remove", "move", "set_metadata", "link"])
def test_parent_swapped_for_a_symlink_midway_leads_nowhere(
    root: Path, outside: Path, operation: str, modern: bool
) -> None:
    calls = Swapping(beneath=modern, renames=modern, sync_all=modern, leases=modern)
    files = LocalFiles(root, calls)
    (root / "d").mkdir()
    (root / "d/victim").write_bytes(b"inside")
    expected = files.stat("d/victim")
    assert expected is not None
    with files.open_temporary("received", 3) as handle:
        handle.pwrite(b"bad", 0)

    def swap() -> None:
        if not (root / "d").is_symlink():
            (root / "d").rename(root / "kept")
            (root / "d").symlink_to(outside)

    calls.swap = swap
    run: dict[str, Callable[[], object]] = {
        "publish": lambda: files.publish("received", "d/new", None),
        "replace": lambda: files.publish("received", "d/victim", expected),
        "remove": lambda: files.remove("d/victim", expected),
        "move": lambda: files.move("d/victim", "d/moved", expected),
        "set_metadata": lambda: files.set_metadata("d/victim", 0, True, expected),
        "link": lambda: files.make_symlink("d/link", "x", None),
    }
    with suppress(WorldError):
        run[operation]()
    files.close()
    assert (root / "d").is_symlink()
    kept = [found.read_bytes() for found in (root / "kept").iterdir() if not found.is_symlink()]
    displaced = [found.read_bytes() for found in (root / ".p2pdrive/tmp").iterdir()]
    assert b"inside" in kept + displaced


@pytest.mark.parametrize("special", ["fifo", "socket", "device"])
def test_special_file_is_refused_without_waiting(files: Files, root: Path, special: str) -> None:
    path = root / "s"
    if special == "fifo":
        os.mkfifo(path)
    elif special == "socket":
        here = os.getcwd()
        os.chdir(root)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind("s")
        os.chdir(here)
    else:
        try:
            os.mknod(path, 0o666 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("making devices needs privileges")
    with pytest.raises((Changed, Unreadable)):
        files.open("s")
    with files.open_temporary("received", 1) as handle:
        handle.pwrite(b"x", 0)
    with pytest.raises(Changed):
        files.publish("received", "s", None)
    with pytest.raises((Changed, NotWritable)):
        files.set_metadata("s", 0, True, files.stat("s"))  # type: ignore[arg-type]
