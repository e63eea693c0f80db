"""Portable paths: what may be in a drive, and the order of keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_NAMES_MAX
from p2pdrive.model.paths import ancestors, from_key, inside_first, join, key, name, parent, refusal
from tests.model.values import names, paths

REFUSED = {
    "": "empty",
    "/": "absolute",
    "/etc/passwd": "absolute",
    "a//b": "empty",
    "a/": "empty",
    ".": "'.'",
    "..": "'..'",
    "a/../b": "'..'",
    "../a": "'..'",
    "a/.": "'.'",
    "a\0b": "NUL",
    ".p2pdrive": "own",
    ".p2pdrive/index.db": "own",
    ".P2PDrive/index.db": "own",
    "a/.p2pdrive": "own",
    "a/.p2PDrive/b": "own",
    "a\udc80b": "UTF-8",
    "é" * (NAME_BYTES_MAX // 2 + 1): f"{NAME_BYTES_MAX} bytes",
    "/".join(["a" * 200] * 21): f"{PATH_BYTES_MAX} bytes",
    "/".join("a" * (PATH_NAMES_MAX + 1)): f"more than {PATH_NAMES_MAX} names",
    "/".join("a" * (PATH_BYTES_MAX // 2)): f"more than {PATH_NAMES_MAX} names",
}
ALLOWED = (
    "a",
    "a/b/c",
    "...",
    ".p2pdriveignore",
    "a/.p2pdriveignore",
    "a.p2pdrive",
    "-rf",
    " ",
    "a\\b",
    "x" * NAME_BYTES_MAX,
    "/".join(["a" * 255] * 16),
    "/".join("a" * PATH_NAMES_MAX),
    "new\nline",
    "日本語.txt",
)


@pytest.mark.parametrize("path", REFUSED)
def test_path_that_may_not_be_is_refused_with_its_reason(path: str) -> None:
    assert REFUSED[path] in (refusal(path) or "")


@pytest.mark.parametrize("path", ALLOWED)
def test_odd_but_harmless_path_is_allowed(path: str) -> None:
    assert refusal(path) is None


@given(st.text())
def test_allowed_paths_stay_inside_the_drive(path: str) -> None:
    if refusal(path) is None:
        parts = path.split("/")
        assert all(part not in ("", ".", "..") and "\0" not in part for part in parts)
        assert all(part.casefold() != ".p2pdrive" for part in parts)


@given(paths)
def test_key_gives_its_path_back(path: str) -> None:
    assert from_key(key(path)) == path


@given(st.lists(paths, unique=True))
def test_keys_order_as_the_tree_is_walked(found: list[str]) -> None:
    assert sorted(found, key=key) == sorted(
        found, key=lambda path: [part.encode() for part in path.split("/")]
    )


@given(paths, paths)
def test_a_range_of_keys_is_a_subtree(path: str, other: str) -> None:
    inside = key(path) + b"\0" < key(other) < key(path) + b"\1"
    assert inside == other.startswith(path + "/")


@given(paths, names)
def test_what_is_inside_comes_before_its_directory_where_that_is_asked_for(path: str, child: str) -> None:
    assert inside_first(join(path, child)) < inside_first(path)


@given(paths, names)
def test_parent_and_name_make_the_path(path: str, child: str) -> None:
    assert join(parent(path), name(path)) == path
    assert parent(join(path, child)) == path
    assert name(join(path, child)) == child


@given(paths)
def test_ancestors_are_the_parents_of_parents_up_to_the_root(path: str) -> None:
    above = ancestors(path)
    assert len(above) == path.count("/")
    assert [parent(step) for step in [path, *above]] == [*above, ""]
