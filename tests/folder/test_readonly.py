"""What is in directories that the person keeps read-only is changed all the same, and they stay that."""

import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from p2pdrive.errors import NotWritable
from p2pdrive.folder.files import Stat
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls
from tests.folder.accounts import as_account, needs_root

ANNA, BOB = 20001, 20002
pytestmark = needs_root  # who has to become an ordinary account, as modes do not hinder root


@pytest.fixture
def root() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="p2pdrive-test-") as name:
        os.chmod(name, 0o755)
        made = Path(name) / "drive"
        for directory in (".p2pdrive", "d", "e"):
            (made / directory).mkdir(parents=True)
        for path in ("d/f", "d/g", "e/f"):
            (made / path).write_text("old")
        for path in (made, *made.rglob("*")):
            os.chown(path, ANNA, ANNA)
        yield made


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def expected(files: LocalFiles, path: str) -> Stat:
    found = files.stat(path)
    assert found is not None
    return found


def replace(files: LocalFiles, path: str, content: bytes = b"new") -> None:
    with files.open_temporary("received", len(content)) as handle:
        handle.pwrite(content, 0)
    files.finish_temporary("received", 1_600_000_000_000_000_000, False)
    files.publish("received", path, files.stat(path))


CHANGES: dict[str, Callable[[LocalFiles], object]] = {
    "replace": lambda files: replace(files, "d/f"),
    "add": lambda files: replace(files, "d/new"),
    "remove": lambda files: files.remove("d/f", expected(files, "d/f")),
    "move out": lambda files: files.move("d/f", "f", expected(files, "d/f")),
    "move in": lambda files: files.move("e/f", "d/moved", expected(files, "e/f")),
    "move between": lambda files: files.move("d/f", "e/moved", expected(files, "d/f")),
    "make directory": lambda files: files.make_directory("d/made"),
    "remove directory": lambda files: (files.make_directory("d/made"), files.remove_directory("d/made")),
    "link": lambda files: files.make_symlink("d/link", "f", None),
    "time": lambda files: files.set_metadata("d/f", 5, True, expected(files, "d/f")),
}


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("change", CHANGES)
def test_own_read_only_directory_is_changed_and_keeps_its_mode(root: Path, change: str, modern: bool) -> None:
    for directory in ("d", "e"):
        (root / directory).chmod(0o2555)

    def work() -> None:
        calls = SystemCalls.detect() if modern else SystemCalls.portable()
        with closing(LocalFiles(root, calls)) as files:
            CHANGES[change](files)

    before = {path: path.lstat() for path in (root / "d").iterdir()}
    as_account(ANNA, work)
    assert {path: path.lstat() for path in (root / "d").iterdir()} != before or change == "remove directory"
    assert (mode(root / "d"), mode(root / "e")) == (0o2555, 0o2555)
    assert list((root / ".p2pdrive/opened").glob("*")) == []


def test_read_only_root_of_the_drive_is_changed_too(root: Path) -> None:
    root.chmod(0o555)

    def work() -> None:
        with closing(LocalFiles(root)) as files:
            replace(files, "new")

    as_account(ANNA, work)
    assert (root / "new").read_bytes() == b"new"
    assert mode(root) == 0o555


def test_another_accounts_directory_stays_closed(root: Path) -> None:
    os.chown(root / "d", BOB, BOB)

    def work() -> None:
        with closing(LocalFiles(root)) as files, pytest.raises(NotWritable):
            replace(files, "d/f")

    as_account(ANNA, work)
    assert (root / "d/f").read_text() == "old"
    assert mode(root / "d") == 0o755


class Ending(SystemCalls):
    """The process ends where names were just exchanged in a directory that was opened."""

    def __init__(self) -> None:
        super().__init__(beneath=True, renames=True, sync_all=True, leases=True)

    def exchange(self, one_fd: int, one: str, other_fd: int, other: str) -> bool:
        super().exchange(one_fd, one, other_fd, other)
        os._exit(0)


def killed(root: Path) -> None:
    """A node that is killed while ``d`` is open."""
    (root / "d").chmod(0o555)

    def work() -> None:
        replace(LocalFiles(root, Ending()), "d/f")

    as_account(ANNA, work)
    assert mode(root / "d") == 0o755
    assert (root / "d/f").read_bytes() == b"new"


def test_what_a_kill_left_open_is_closed_at_the_next_start(root: Path) -> None:
    killed(root)
    as_account(ANNA, lambda: LocalFiles(root).close())
    assert mode(root / "d") == 0o555


@pytest.mark.parametrize("given", [0o750, 0o555])
def test_mode_that_the_person_gave_after_a_kill_stays(root: Path, given: int) -> None:
    killed(root)
    (root / "d").chmod(given)
    as_account(ANNA, lambda: LocalFiles(root).close())
    assert mode(root / "d") == given
    (root / "d").chmod(0o755)
    as_account(ANNA, lambda: LocalFiles(root).close())
    assert mode(root / "d") == 0o755


def test_directory_in_place_of_one_that_a_kill_left_open_is_not_closed(root: Path) -> None:
    killed(root)
    (root / "d").rename(root / "moved")
    (root / "d").mkdir()
    as_account(ANNA, lambda: LocalFiles(root).close())
    assert mode(root / "d") == 0o755
