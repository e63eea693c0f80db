"""The walk: everything in path-key order, and what cannot be synced as problems."""

import os
import shutil
import socket
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from p2pdrive.errors import RootMissing
from p2pdrive.folder.files import FileKind, Files
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.scan import Seen, Unseen, walk
from p2pdrive.model.paths import key
from p2pdrive.model.problem import Problem

NAMES = st.text(st.sampled_from("ab .-!é\U0001f600"), min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..")
)


def seen(files: Files, start: str = "", ignore: Ignore | None = None) -> list[str]:
    return [item.path for item in walk(files, ignore or Ignore(), start) if isinstance(item, Seen)]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(directories=st.sets(st.lists(NAMES, min_size=1, max_size=3).map("/".join), max_size=8))
def test_everything_is_seen_once_in_key_order(root: Path, directories: set[str]) -> None:
    shutil.rmtree(root)
    (root / ".p2pdrive").mkdir(parents=True)
    for directory in directories:
        (root / directory).mkdir(parents=True, exist_ok=True)
        (root / directory / "file").touch()
    files = LocalFiles(root)
    paths = seen(files)
    files.close()
    there = [str(path.relative_to(root)) for path in root.rglob("*") if ".p2pdrive" not in path.parts]
    assert sorted(paths) == sorted(there)
    assert paths == sorted(paths, key=key)


def test_directory_is_followed_by_its_contents_before_names_that_sort_before_a_slash(
    files: Files, root: Path
) -> None:
    (root / "a").mkdir()
    (root / "a/z").touch()
    (root / "a b").touch()
    (root / "a.txt").touch()
    assert seen(files) == ["a", "a/z", "a b", "a.txt"]


def test_walk_of_a_subtree_starts_with_it(files: Files, root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/c").touch()
    (root / "d").touch()
    assert seen(files, "a/b") == ["a/b", "a/b/c"]
    assert seen(files, "d") == ["d"]
    assert seen(files, "gone") == []
    assert seen(files, "d/through a file") == []


def test_ignored_directory_is_not_entered(files: Files, root: Path) -> None:
    (root / "build/deep").mkdir(parents=True)
    (root / "a.o").touch()
    (root / "a.c").touch()
    ignore = Ignore(["build/", "*.o"])
    assert seen(files, ignore=ignore) == ["a.c"]
    assert seen(files, "build", ignore) == []
    assert seen(files, "build/deep", ignore) == []


def test_names_and_kinds_that_no_drive_has_are_problems(files: Files, root: Path) -> None:
    (root / "d").mkdir()
    os.close(os.open(os.fsencode(root) + b"/d/\xff\xfe.txt", os.O_CREAT))
    os.mkfifo(root / "d/fifo")
    here = os.getcwd()
    os.chdir(root)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock")
    os.chdir(here)
    (root / ".P2PDrive").mkdir()
    (root / ".P2PDrive/x").touch()
    (root / "d/.p2pdrive-tmp.3").touch()
    os.symlink(b"\xff", os.fsencode(root) + b"/link")
    items = list(walk(files, Ignore()))
    assert [item.path for item in items if isinstance(item, Seen)] == ["d"]
    unseen = {item.path for item in items if isinstance(item, Unseen)}
    assert unseen == {"d/fifo", "sock", "link"}
    problems = {item.path: item.what for item in items if isinstance(item, Problem)}
    assert set(problems) == {"d/\\xff\\xfe.txt", "d/.p2pdrive-tmp.3"}
    assert "not UTF-8" in problems["d/\\xff\\xfe.txt"]


def test_path_that_is_too_long_is_a_problem(files: Files, root: Path) -> None:
    name = "x" * 250
    here = os.open(root, os.O_RDONLY)
    for _ in range(18):
        os.mkdir(name, dir_fd=here)
        below = os.open(name, os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    items = list(walk(files, Ignore()))
    assert len([item for item in items if isinstance(item, Seen)]) == 16
    [problem] = [item for item in items if isinstance(item, Problem)]
    assert "longer" in problem.what


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is forbidden to root")
def test_unreadable_directory_is_no_empty_one(files: Files, root: Path) -> None:
    (root / "d").mkdir(mode=0)
    items = list(walk(files, Ignore()))
    assert isinstance(items[0], Seen)
    assert isinstance(items[1], Unseen)
    assert [item.path for item in items] == ["d", "d"]


def test_directory_that_goes_meanwhile_is_as_good_as_empty(files: Files, root: Path) -> None:
    (root / "a/b").mkdir(parents=True)
    (root / "a/b/d").touch()
    (root / "c").touch()
    walking = walk(files, Ignore())
    first = next(walking)
    assert isinstance(first, Seen)
    assert first.stat.kind is FileKind.DIRECTORY
    shutil.rmtree(root / "a")
    assert [item.path for item in walking] == ["a/b", "c"]


def test_symlinked_directory_is_a_link_and_not_entered(files: Files, root: Path) -> None:
    (root / "d").mkdir()
    (root / "d/f").touch()
    (root / "link").symlink_to("d")
    assert seen(files) == ["d", "d/f", "link"]


def test_root_that_vanishes_during_the_walk_is_missing(files: Files, root: Path) -> None:
    (root / "a").mkdir()
    (root / "b").mkdir()
    walking = walk(files, Ignore())
    next(walking)
    shutil.rmtree(root)
    with pytest.raises(RootMissing):
        list(walking)
