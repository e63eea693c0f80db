"""What is not synced."""

from pathlib import Path

import pytest

from p2pdrive.folder.files import Files
from p2pdrive.folder.ignore import Ignore


def test_our_own_files_are_always_ignored() -> None:
    ignore = Ignore(["!.p2pdrive/"])
    assert ignore.ignored(".p2pdrive", True)
    assert ignore.ignored(".P2PDRIVE/index.db", False)
    assert ignore.ignored("a/.p2pdrive-tmp.7", False)
    assert ignore.ignored("a/.p2pdrive", True)  # another drive's
    assert ignore.ignored("a/.p2pdrive/index.db", False)
    assert not ignore.ignored(".p2pdriveignore", False)


def test_rules_never_hide_the_ignore_file_itself() -> None:
    """Who joined with such rules took none of the others', and published what those hide."""
    ignore = Ignore([".*"])
    assert ignore.ignored(".vimrc", False)
    assert ignore.ignored("d/.p2pdriveignore", False)  # a file like any other
    assert not ignore.ignored(".p2pdriveignore", False)


@pytest.mark.parametrize(
    ("rules", "path", "is_directory", "ignored"),
    [
        (["*.o"], "a/b.o", False, True),
        (["*.o"], "b.o/inside", False, True),
        (["build/"], "build", False, False),
        (["build/"], "build", True, True),
        (["build/"], "x/build/y/z", False, True),
        (["/build"], "x/build", True, False),
        (["*", "!keep"], "keep", False, False),
        (["d/", "!d/keep"], "d/keep", False, True),
        (["d/*", "!d/keep"], "d/keep", False, False),
        (["# comment", "", "  "], "# comment", False, False),
        (["a/**/b"], "a/x/y/b", False, True),
        (["a/**"], "a", True, False),
        (["a/**"], "a/b", False, True),
        (["*.txt", "!a.txt"], "a.txt/b.txt", False, True),
        (["*.txt", "!a.txt"], "a.txt/b.txt", True, True),
        (["**", "!d/"], "d", True, False),
    ],
)
def test_rules_mean_what_they_mean_to_git(
    rules: list[str], path: str, is_directory: bool, ignored: bool
) -> None:
    assert Ignore(rules).ignored(path, is_directory) is ignored


def test_rules_are_read_from_the_drive(files: Files, root: Path) -> None:
    assert not Ignore.load(files).ignored("x.tmp", False)
    (root / ".p2pdriveignore").write_bytes(b"\xef\xbb\xbf*.tmp\r\n!important.tmp\n")
    ignore = Ignore.load(files)
    assert ignore.problems == ()
    assert ignore.ignored("x.tmp", False)
    assert not ignore.ignored("important.tmp", False)


def test_broken_rule_is_reported_and_the_others_are_followed() -> None:
    ignore = Ignore(["*.o", "!", "a*a*a*a*a*b", "*.tmp"])
    assert [problem.what.split(":")[0] for problem in ignore.problems] == [
        "line 2 is not followed",
        "line 3 is not followed",
    ]
    assert ignore.ignored("x.o", False)
    assert ignore.ignored("x.tmp", False)


@pytest.mark.parametrize("content", [b"\xff\xfe*.o", b"#" * (1024 * 1024 + 1)])
def test_ignore_file_that_cannot_be_followed_is_a_problem(files: Files, root: Path, content: bytes) -> None:
    (root / ".p2pdriveignore").write_bytes(content)
    ignore = Ignore.load(files)
    assert [problem.path for problem in ignore.problems] == [".p2pdriveignore"]
    assert not ignore.ignored("x.o", False)


def test_ignore_file_that_is_none_is_a_problem(files: Files, root: Path) -> None:
    (root / ".p2pdriveignore").mkdir()
    assert len(Ignore.load(files).problems) == 1
