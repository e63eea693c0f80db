"""A person who acts, or a kill that comes, in the middle of an operation: the simulated folder ends in the
very states that the real one ends in."""

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from p2pdrive.errors import Changed
from p2pdrive.folder.files import Files, Stat
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.lab.disk import Disk, Killed
from p2pdrive.lab.files import SimulatedFiles
from tests.folder.test_safe_write import Stepping, run_killed
from tests.lab.simulated import disk_of, there

#: More than any operation has.
STEPS_MAX = 30

State = tuple[object, ...]


def operate(operation: str, files: Files, expected: Stat) -> object:
    match operation:
        case "replace":
            return files.publish("received", "f", expected)
        case "new":
            return files.publish("received", "g", None)
        case "link":
            return files.make_symlink("f", "elsewhere", expected)
        case "remove":
            return files.remove("f", expected)
        case _:
            return files.move("f", "g", expected)


OPERATIONS = ["replace", "new", "link", "remove", "move"]


def receive(files: Files) -> None:
    with files.open_temporary("received", 3) as handle:
        handle.pwrite(b"new", 0)
    files.finish_temporary("received", 1, False)


def area_of(files: Files) -> State:
    """What is in the temporary area."""
    displaced = tuple((found.path, found.stat.kind, found.stat.size) for found in files.displaced())
    return (displaced, tuple(files.temporaries()))


# --- the real folder


def real_edit(root: Path, edit: str) -> None:
    with suppress(OSError):
        match edit:
            case "in place":
                if (root / "f").is_symlink():
                    (root / "f").unlink()
                (root / "f").write_bytes(b"edited")
            case "by rename":
                (root / "saved").write_bytes(b"edited")
                (root / "saved").rename(root / "f")
            case "delete":
                (root / "f").unlink()
            case "take the target":
                (root / "g").write_bytes(b"another")
            case "directory instead":
                (root / "f").unlink(missing_ok=True)
                (root / "f").mkdir()


def real_state(root: Path, files: Files) -> State:
    found = []
    for place in sorted(root.glob("*")):
        if place.is_symlink():
            found.append((place.name, os.readlink(place)))
        else:
            found.append((place.name, "directory" if place.is_dir() else place.read_bytes().decode()))
    return (*found, area_of(files))


def real_states(root: Path, operation: str, edit: str, modern: bool) -> set[State]:
    """All in which ``operation`` ends, with ``edit`` in each of its steps."""
    states: set[State] = set()
    for step in range(-1, STEPS_MAX):
        calls = Stepping(modern)
        files, expected = real_start(root, calls)
        taken = 0

        def act(at: int = step) -> None:
            nonlocal taken
            if taken == at:
                real_edit(root, edit)
            taken += 1

        calls.step = act
        if step < 0:
            real_edit(root, edit)
        changed = False
        try:
            operate(operation, files, expected)
        except Changed:
            changed = True
        states.add((changed, real_state(root, files)))
        files.close()
        if 0 <= taken <= step:
            return states
    raise AssertionError("the operation has no end")


def real_start(root: Path, calls: SystemCalls) -> tuple[LocalFiles, Stat]:
    shutil.rmtree(root, ignore_errors=True)
    (root / ".p2pdrive").mkdir(parents=True)
    files = LocalFiles(root, calls)
    (root / "f").write_bytes(b"old")
    receive(files)
    expected = files.stat("f")
    assert expected is not None
    return files, expected


# --- the simulated one


def simulated_edit(disk: Disk, edit: str) -> None:
    with suppress(OSError):
        match edit:
            case "in place":
                disk.write("f", b"edited")
            case "by rename":
                disk.write("f", b"edited", new_inode=True)
            case "delete":
                disk.delete("f")
            case "take the target":
                disk.write("g", b"another")
            case "directory instead":
                with suppress(FileNotFoundError):
                    disk.delete("f")
                disk.make_directory("f")


def simulated_state(disk: Disk, files: Files) -> State:
    found: list[object] = [(".p2pdrive", "directory")]
    for path, shown in disk.tree().items():
        content = shown[1].decode() if isinstance(shown[1:2] and shown[1], bytes) else shown[-1]  # type: ignore[attr-defined]
        found.append((path, content))
    return (*found, area_of(files))


def simulated_start(modern: bool) -> tuple[Disk, SimulatedFiles, Stat]:
    disk = disk_of(modern=modern)
    files = SimulatedFiles(disk)
    disk.write("f", b"old")
    receive(files)
    return disk, files, there(files, "f")


def at_step(disk: Disk, step: int, act: Callable[[], None]) -> Callable[[], bool]:
    """Have ``act`` done at that step; whether it was."""
    taken = 0

    def hook(when: str, operation: str, path: str) -> None:
        nonlocal taken
        if ":" in operation:
            taken += 1
            if taken == step + 1:
                act()

    disk.hook = hook
    return lambda: taken > step


def simulated_states(operation: str, edit: str, modern: bool) -> set[State]:
    states: set[State] = set()
    for step in range(STEPS_MAX):
        disk, files, expected = simulated_start(modern)
        done = at_step(disk, step, lambda disk=disk: simulated_edit(disk, edit))  # type: ignore[misc]
        changed = False
        try:
            operate(operation, files, expected)
        except Changed:
            changed = True
        states.add((changed, simulated_state(disk, files)))
        if not done():
            return states
    raise AssertionError("the operation has no end")


def kill() -> None:
    raise Killed


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("edit", ["in place", "by rename", "delete", "take the target", "directory instead"])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_edit_in_any_step_ends_as_on_a_real_disk(
    tmp_path: Path, operation: str, edit: str, modern: bool
) -> None:
    assert simulated_states(operation, edit, modern) == real_states(tmp_path / "r", operation, edit, modern)


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_kill_in_any_step_leaves_what_it_leaves_on_a_real_disk(
    tmp_path: Path, operation: str, modern: bool
) -> None:
    real, simulated = set(), set()
    for step in range(STEPS_MAX):
        calls = Stepping(modern)
        files, expected = real_start(tmp_path / "r", calls)
        killed = run_killed(lambda: operate(operation, files, expected), calls, step)  # noqa: B023 - at once
        files.close()
        reopened = LocalFiles(tmp_path / "r", calls)
        real.add(real_state(tmp_path / "r", reopened))
        reopened.close()
        if not killed:
            break
    for step in range(STEPS_MAX):
        disk, simulated_files, expected = simulated_start(modern)
        at_step(disk, step, kill)
        with suppress(Killed):
            operate(operation, simulated_files, expected)
        simulated.add(simulated_state(disk, SimulatedFiles(disk)))
    assert real <= simulated  # which can also be killed before its first step, and between link and unlink
    assert len(simulated - real) <= 2


@pytest.mark.parametrize("modern", [True, False])
@pytest.mark.parametrize("operation", ["replace", "remove", "move"])
def test_edit_in_any_step_is_never_lost(operation: str, modern: bool) -> None:
    for step in range(STEPS_MAX):
        disk, files, expected = simulated_start(modern)
        done = at_step(disk, step, lambda disk=disk: disk.write("f", b"edited"))  # type: ignore[misc]
        with suppress(Changed):
            operate(operation, files, expected)
        if not done():
            assert step > 0
            return
        assert b"edited" in list(disk.every_file())
    raise AssertionError("the operation has no end")


def test_file_held_open_in_any_step_is_put_back_or_replaced() -> None:
    for step in range(STEPS_MAX):
        disk, files, expected = simulated_start(modern=True)
        held = at_step(disk, step, lambda disk=disk: disk.hold_open("f"))  # type: ignore[misc]
        try:
            files.publish("received", "f", expected)
        except Changed:
            assert disk.read("f") == b"old"
            assert files.temporaries() == ["received"]
        if not held():
            assert step > 0
            return
    raise AssertionError("the operation has no end")
