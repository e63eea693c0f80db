"""Rules come from any editor of the drive: they are bounded, and none holds up the machines of the others."""

import re
import time
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from p2pdrive.folder.files import Files
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.local import LocalFiles
from p2pdrive.limits import (
    IGNORE_DEPTHS_MAX,
    IGNORE_LINE_BYTES_MAX,
    IGNORE_LINES_MAX,
    IGNORE_WILDCARDS_MAX,
    NAME_BYTES_MAX,
    PATH_BYTES_MAX,
    PATH_NAMES_MAX,
)
from p2pdrive.model.paths import ancestors

#: CPU seconds for one path, and the directories above it; a thousand times what an ordinary path takes.
LONG = 2.0

deep = "/".join("a" * PATH_NAMES_MAX)
dense = "/".join(["a" * (PATH_BYTES_MAX // PATH_NAMES_MAX - 1)] * PATH_NAMES_MAX)
name = "a" * NAME_BYTES_MAX
names = "/".join([name] * (PATH_BYTES_MAX // (NAME_BYTES_MAX + 1)))


def seconds(rules: list[str], path: str) -> float:
    ignore = Ignore(rules)
    before = time.process_time()
    ignore.ignored(path, False)
    return time.process_time() - before


# --- what is beyond the limits


@pytest.mark.parametrize(
    "rule",
    [
        "a/**/b/**/c/**/d",
        "**/a/**/b/**/c",
        "/**/a/**/b/**",
        "**/a/**/b/**/",
        "!**/a/**/b/**/c",
        "**/a/**/b/**  ",
        "/".join(["**", "a"] * 500),
    ],
)
def test_rule_with_too_many_depths_is_a_problem_and_the_others_are_followed(rule: str) -> None:
    ignore = Ignore(["*.o", rule, "*.tmp"])
    (problem,) = ignore.problems
    assert problem.path == ".p2pdriveignore"
    assert "line 2 is not followed" in problem.what
    assert f"more than {IGNORE_DEPTHS_MAX} '**'" in problem.what
    assert len(problem.what) < 200
    assert ignore.ignored("x.o", False) and ignore.ignored("x.tmp", False)
    assert not ignore.ignored("a/b/c/d", False)
    assert seconds([rule], deep) < LONG


@pytest.mark.parametrize("rule", ["*a*a*a*a*a*b", "d/*****/x", "!*.*.*.*.*.*", "**a***"])
def test_rule_with_too_many_stars_in_a_name_is_a_problem_and_the_others_are_followed(rule: str) -> None:
    ignore = Ignore([rule, "*.tmp"])
    (problem,) = ignore.problems
    assert f"more than {IGNORE_WILDCARDS_MAX} '*' in one name" in problem.what
    assert ignore.ignored("x.tmp", False)
    assert not ignore.ignored("a" * 20 + "b", False)


@pytest.mark.parametrize("rule", ["[z-a]", "x[9-0]", "[a-Z]*.txt", "!d/[!z-a]/"])
def test_rule_with_a_range_that_goes_backwards_is_a_problem_and_the_others_are_followed(rule: str) -> None:
    ignore = Ignore(["*.o", rule, "*.tmp"])
    (problem,) = ignore.problems
    assert "line 2 is not followed: correct what is between its brackets (bad character range" in problem.what
    assert rule in problem.what
    assert ignore.ignored("x.o", False) and ignore.ignored("x.tmp", False)
    assert not ignore.ignored("a.txt", False)


@pytest.mark.parametrize("unit", ["a", "?", "[a-z]", "a/", "é"])
def test_line_that_is_too_long_is_a_problem_and_the_others_are_followed(unit: str) -> None:
    before = time.process_time()
    ignore = Ignore([unit * (800_000 // len(unit.encode())), "*.tmp"])
    assert time.process_time() - before < LONG
    (problem,) = ignore.problems
    assert f"line 1 is not followed: it is longer than {IGNORE_LINE_BYTES_MAX} bytes" in problem.what
    assert len(problem.what) < 200
    assert ignore.ignored("x.tmp", False)


def test_comment_may_be_of_any_length() -> None:
    assert Ignore(["#" * (IGNORE_LINE_BYTES_MAX + 1)]).problems == ()


def test_lines_beyond_the_limit_are_a_problem_and_those_before_are_followed() -> None:
    ignore = Ignore([f"*.{number}" for number in range(IGNORE_LINES_MAX + 500)])
    (problem,) = ignore.problems
    assert str(IGNORE_LINES_MAX) in problem.what
    assert ignore.ignored(f"x.{IGNORE_LINES_MAX - 1}", False)
    assert not ignore.ignored(f"x.{IGNORE_LINES_MAX}", False)


def test_problems_of_a_file_are_told_by_line(files: Files, root: Path) -> None:
    (root / ".p2pdriveignore").write_text("ok\n**/a/**/b/**/c\n# **/**/**/**\n\n*a*a*a*a*a*\n")
    problems = Ignore.load(files).problems
    assert [problem.what.split(" is ")[0] for problem in problems] == ["line 2", "line 5"]


@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("a/**/b/**/c", "a/x/y/b/z/c"),
        ("**/a/**/b", "x/a/y/b"),
        ("*.*.*.*", "a.b.c.d"),
        ("# " + "**/" * 9, ""),
        ("#" * 9 + "*" * 9 + " banner " + "*" * 9, ""),
    ],
)
def test_rule_within_the_limits_is_followed(rule: str, path: str) -> None:
    ignore = Ignore([rule])
    assert ignore.problems == ()
    assert not path or ignore.ignored(path, False)


# --- what is within them


@pytest.mark.timeout(100)
@pytest.mark.parametrize(
    ("rule", "path"),
    [
        ("*a*a*a*ab", name),
        ("*a*a*a*ab/", name + "/x"),
        ("**/*a*a*a*ab", names),
        ("*[a]*[a]*[a]*[a]b", name),
        ("*?*?*?*?b", name),
        ("****b", name),
        ("/*a*a*a*a/*a*a*a*a/*a*a*a*ab", names),
        ("**/a/**/b", deep),
        ("**/a/**/a/b", deep),
        ("a/**/a/**/b", deep),
        ("!**/a/**/b", deep),
        ("**/*/**/*/b", deep),
        ("**/*a*/**/*a*b/", deep),
        ("**/*a*/**/*a*a*a*ab/", dense),
    ],
)
def test_no_rule_takes_long(rule: str, path: str) -> None:
    assert Ignore([rule]).problems == ()
    assert seconds([rule], path) < LONG


def test_many_rules_do_not_take_long() -> None:
    rules = [f"*a*a*a*a{number}" for number in range(IGNORE_LINES_MAX)]
    assert seconds(rules, name) < LONG


# --- what is in the file may be anything

scraps = st.sampled_from(
    [*"*?[]!^-\\/az0# {}()|+$:&~\n\r\t\0é\u2028\U0001f4c1", "**", "[z-a]", "[!", "[:alpha:]"]
)
texts = st.lists(scraps, max_size=40).map("".join).map(str.encode)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("drive")
    (made / ".p2pdrive").mkdir()
    return made


@pytest.mark.filterwarnings("ignore:Possible:FutureWarning")  # re's, of brackets like "[[a]"
@given(st.binary(max_size=60) | texts, st.text(max_size=20) | st.lists(scraps).map("".join), st.booleans())
@example(b"[a-Z]*.txt", "a.txt", False)
@example(b"\\", "a", True)
@example(b"!/", "a/b", True)
def test_no_file_of_rules_raises_anything(
    folder: Path, content: bytes, path: str, is_directory: bool
) -> None:
    (folder / ".p2pdriveignore").write_bytes(content)
    files = LocalFiles(folder)
    try:
        ignore = Ignore.load(files)
    finally:
        files.close()
    ignore.ignored(path, is_directory)
    assert all(problem.path == ".p2pdriveignore" for problem in ignore.problems)


# --- the rules mean what they would mean without any care for time

parts = st.text("ab*?", min_size=1, max_size=6) | st.just("**")
rules = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "", "!"]),
    st.sampled_from(["", "/"]),
    st.lists(parts, min_size=1, max_size=5).map("/".join),
    st.sampled_from(["", "/"]),
)
paths = st.lists(st.text("ab", min_size=1, max_size=6), min_size=1, max_size=7).map("/".join)


@given(st.lists(rules, min_size=1, max_size=3), paths, st.booleans())
@example(["**/a/**/b"], "a/b/a/b", False)
@example(["**/a/**/b/"], "a/x/a/b/b", False)
@example(["a/**/b/**/a"], "a/b/b/a", False)
@example(["*ab*ab"], "aabab", False)
@example(["*", "!**/a/**/b"], "a/b/b", False)
@example(["**/*/**"], "a/a", False)
def test_verdicts_are_those_of_plain_matching(lines: list[str], path: str, is_directory: bool) -> None:
    ignore = Ignore(lines)
    followed = [
        line
        for number, line in enumerate(lines, 1)
        if not any(f"line {number} " in problem.what for problem in ignore.problems)
    ]
    above = any(plainly_ignored(followed, directory + "/") for directory in ancestors(path))
    expected = above or plainly_ignored(followed, path + "/" if is_directory else path)
    assert ignore.ignored(path, is_directory) is expected


def plainly_ignored(lines: list[str], path: str) -> bool:
    """By the last rule that matches the path itself; a directory's ends with a slash."""
    for line in reversed(lines):
        rule = GitIgnoreSpecPattern(line)
        if rule.regex is not None and re.fullmatch(itself(rule.regex.pattern), path):
            return bool(rule.include)
    return False


def itself(pattern: str) -> str:
    """pathspec looks for ``pattern`` at the start, and leaves out what is in a directory that matches."""
    if pattern == ".":
        return ".+"
    inside = f"{pattern}.+" if pattern.endswith("/") else pattern
    return inside if pattern.startswith("^") else f".*{inside}"
