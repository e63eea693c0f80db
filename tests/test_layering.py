"""Imports point down the house only, the pure floors stay pure, and no file grows into a manager."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import p2pdrive

PACKAGE = Path(p2pdrive.__file__).parent
HEIGHTS = {floor: height for height, floors in enumerate(p2pdrive.FLOORS) for floor in floors}
FILES = sorted(PACKAGE.rglob("*.py"))
#: What a pure floor may not reach for: these come to it as arguments, if at all.
IMPURE = {
    *("asyncio", "datetime", "os", "random", "secrets", "select", "shutil", "signal", "socket"),
    *("subprocess", "tempfile", "threading", "time", "trio"),
}
LINES_MAX = 450


def floor(file: Path) -> str:
    """The floor that a file belongs to: its package, or its own name at the top; '' for the roof."""
    top = file.relative_to(PACKAGE).parts[0].removesuffix(".py")
    return "" if top == "__init__" else top


def imported(file: Path) -> Iterator[str]:
    """Full names of all that the file imports, wherever in it, ``p2pdrive.net.link.Link`` say."""
    package = ("p2pdrive", *file.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(ast.parse(file.read_bytes(), str(file))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            start = package[: len(package) - node.level + 1] if node.level else ()
            origin = ".".join([*start, *([node.module] if node.module else [])])
            yield from (f"{origin}.{alias.name}" for alias in node.names)


def floors_used(file: Path) -> set[str]:
    """Floors other than its own that the file imports from."""
    names = (name.split(".") for name in imported(file))
    return {parts[1] for parts in names if parts[0] == "p2pdrive" and len(parts) > 1} & set(HEIGHTS)


def label(file: Path) -> str:
    return str(file.relative_to(PACKAGE))


def test_every_file_is_on_a_floor() -> None:
    assert {floor(file) for file in FILES} - {""} <= set(HEIGHTS)


def test_every_pure_floor_is_a_floor() -> None:
    assert set(p2pdrive.PURE_FLOORS) <= set(HEIGHTS)


@pytest.mark.parametrize("file", FILES, ids=label)
def test_imports_point_down_only(file: Path) -> None:
    own = floor(file)
    wrong = {used for used in floors_used(file) if used != own and HEIGHTS[used] >= HEIGHTS.get(own, -1)}
    assert not wrong, f"{label(file)} may not import from {sorted(wrong)}"


@pytest.mark.parametrize("file", [file for file in FILES if floor(file) in p2pdrive.PURE_FLOORS], ids=label)
def test_pure_floors_import_nothing_that_acts(file: Path) -> None:
    wrong = {name.split(".")[0] for name in imported(file)} & IMPURE
    assert not wrong, f"{label(file)} is on a pure floor and imports {sorted(wrong)}"


@pytest.mark.parametrize("file", FILES, ids=label)
def test_files_stay_readable_in_one_sitting(file: Path) -> None:
    assert len(file.read_text().splitlines()) <= LINES_MAX
