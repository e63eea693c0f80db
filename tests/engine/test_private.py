"""What is for nobody but its owner stays so, wherever it goes and however it gets there."""

import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World

OTHERS = 0o077


@pytest.fixture(autouse=True)
def usual_umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def mode(machine: Machine, path: str) -> int:
    return stat.S_IMODE((machine.root / path).lstat().st_mode)


def close(machine: Machine, path: str, permissions: int) -> None:
    (machine.root / path).chmod(permissions)
    machine.look(path)


class Onlooker:
    """Another account at a machine: what of ``secrets`` can be read there after each step of the node."""

    def __init__(self, machine: Machine, *secrets: str) -> None:
        self.read: list[str] = []
        self._secrets = secrets
        self._root = machine.root
        machine.onlooker = self.look

    def look(self) -> None:
        for directory, directories, files in os.walk(self._root):
            closed = [each for each in directories if not (Path(directory) / each).stat().st_mode & OTHERS]
            directories[:] = [each for each in directories if each not in closed]
            for path in (Path(directory) / name for name in files):
                if path.stat().st_mode & OTHERS and path.read_text() in self._secrets:
                    self.read.append(str(path.relative_to(self._root)))


async def test_private_file_and_folder_arrive_private(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    onlooker = Onlooker(berta, "a key", "a diary", "a script")
    (anna.root / "keys").mkdir(mode=0o700)
    for path, content, permissions in [
        ("id", "a key", 0o600),
        ("run", "a script", 0o700),
        ("keys/diary", "a diary", 0o644),
    ]:
        (anna.root / path).touch(mode=0o600)
        anna.write(path, content)
        (anna.root / path).chmod(permissions)
    await world.converge()
    assert (mode(berta, "id"), mode(berta, "run")) == (0o600, 0o700)
    assert (mode(berta, "keys"), mode(berta, "keys/diary")) == (0o700, 0o644)
    assert onlooker.read == []


@pytest.mark.parametrize("path", ["f", "d"])
async def test_what_becomes_private_does_so_everywhere_and_back(
    world: World, autojump_clock: MockClock, path: str
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"f": "text", "d/inside": "more"})
    before = mode(berta, path)
    close(anna, path, 0o700 if path == "d" else 0o600)
    await world.converge()
    assert mode(berta, path) & OTHERS == 0
    close(anna, path, 0o755 if path == "d" else 0o644)
    await world.converge()
    assert mode(berta, path) == before


async def test_edit_of_a_private_file_stays_private_and_one_that_opens_it_opens_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"f": "text"})
    close(anna, "f", 0o600)
    await world.converge()
    onlooker = Onlooker(anna, "more")
    berta.write("f", "more")
    await world.converge()
    assert (mode(anna, "f"), mode(berta, "f")) == (0o600, 0o600)
    assert onlooker.read == []
    (anna.root / "f").chmod(0o644)
    anna.write("f", "for all")
    await world.converge()
    assert mode(berta, "f") == 0o644


async def test_private_folder_that_is_renamed_stays_private(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/one": "a secret", "d/e/two": "another"})
    close(anna, "d", 0o700)
    await world.converge()
    onlooker = Onlooker(anna, "a secret", "another")
    berta.rename("d", "renamed")
    await world.converge()
    assert anna.files() == {"renamed/one": "a secret", "renamed/e/two": "another"}
    assert (mode(anna, "renamed"), mode(anna, "renamed/e")) == (0o700, 0o755)
    assert onlooker.read == []


async def test_file_that_is_made_private_as_it_leaves_a_private_folder_is_never_seen(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/f": "a secret"})
    close(anna, "d", 0o700)
    await world.converge()
    onlooker = Onlooker(berta, "a secret")
    (anna.root / "d/f").chmod(0o600)
    anna.rename("d/f", "f")
    await world.converge()
    assert mode(berta, "f") == 0o600
    assert onlooker.read == []


async def test_folder_that_others_close_is_closed_before_anything_new_is_in_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/old": "old"})
    onlooker = Onlooker(berta, "a secret")
    world.part()
    close(anna, "d", 0o700)
    anna.write("d/new", "a secret")
    anna.write("d/more", "a secret")
    await world.quiet()
    world.join_up()
    await world.converge()
    assert mode(berta, "d") == 0o700
    assert onlooker.read == []


async def test_what_one_closes_while_another_edits_it_is_closed(
    world: World, autojump_clock: MockClock
) -> None:
    machines = await world.sharing("anna", "berta", "clara", files={"f": "text"})
    anna, berta, _clara = machines
    world.part()
    close(anna, "f", 0o600)
    await world.quiet()
    await trio.sleep(1)
    berta.write("f", "edited")
    await world.quiet()
    world.join_up()
    await world.converge()
    assert [mode(machine, "f") for machine in machines] == [0o600] * 3


async def test_loser_that_was_private_is_a_private_copy(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"f": "text"})
    onlooker = Onlooker(berta, "a secret")
    world.part()
    (anna.root / "f").chmod(0o600)
    anna.write("f", "a secret")
    await world.quiet()
    await trio.sleep(1)
    berta.write("f", "edited")
    await world.quiet()
    world.join_up()
    await world.converge()
    (copy,) = berta.copies()
    assert (berta.read(copy), mode(berta, copy), mode(anna, copy)) == ("a secret", 0o600, 0o600)
    assert onlooker.read == []


@pytest.mark.parametrize("permissions", [0o700, 0o755])
async def test_folder_that_lives_for_what_is_in_it_is_what_it_was(
    world: World, autojump_clock: MockClock, permissions: int
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/f": "a secret"})
    close(anna, "d", permissions)
    await world.converge()
    onlooker = Onlooker(anna, "a secret", "edited")
    world.part()
    anna.delete("d/f")
    (anna.root / "d").rmdir()
    anna.look()
    berta.write("d/f", "edited")
    await world.quiet()
    world.join_up()
    await world.converge()
    assert anna.read("d/f") == "edited"
    assert (mode(anna, "d"), mode(berta, "d")) == (permissions, permissions)
    assert (onlooker.read == []) == (permissions == 0o700)


async def test_own_habit_of_private_files_is_nobody_elses(world: World, autojump_clock: MockClock) -> None:
    (anna,) = await world.sharing("anna", files={"f": "text", "d/g": "text"})
    berta = world.machine("berta")
    os.umask(0o077)
    await berta.join(anna)
    await world.converge()
    assert (mode(berta, "d"), mode(berta, "d/g")) == (0o700, 0o600)
    berta.write("d/g", "edited")
    await world.converge()
    berta.rename("f", "d/f")
    await world.converge()
    assert [mode(anna, path) for path in ("d", "d/g")] == [0o755, 0o644]


@pytest.mark.parametrize("mask", [0o022, 0o077])
async def test_private_folder_of_who_joins_is_private_unless_that_is_a_habit(
    world: World, autojump_clock: MockClock, mask: int
) -> None:
    anna = world.machine("anna")
    berta = world.machine("berta")
    for machine, closed in ((anna, 0), (berta, OTHERS)):
        for path in ("f", "d/g"):
            machine.write(path, "text")
            (machine.root / path).chmod(0o644 & ~closed)
        (machine.root / "d").chmod(0o755 & ~closed)
    berta.write("d/new", "a secret")
    await anna.share()
    onlooker = Onlooker(anna, "a secret", "edited")
    os.umask(mask)
    await berta.join(anna)
    await world.converge()
    assert (mode(berta, "f"), mode(berta, "d")) == (0o600, 0o700)
    berta.write("f", "edited")
    await world.converge()
    assert (mode(berta, "f"), mode(berta, "d")) == (0o600, 0o700)
    assert (anna.read("f"), anna.read("d/new")) == ("edited", "a secret")
    if mask == 0o022:
        assert (mode(anna, "f"), mode(anna, "d")) == (0o600, 0o700)
        assert onlooker.read == []
    else:
        assert (mode(anna, "f"), mode(anna, "d")) == (0o644, 0o755)


async def test_what_a_viewer_closes_stays_closed_there(world: World, autojump_clock: MockClock) -> None:
    (anna,) = await world.sharing("anna", files={"f": "text"})
    berta = world.machine("berta")
    await berta.join(anna, role="viewer")
    await world.converge()
    close(berta, "f", 0o600)
    await world.quiet()
    assert (mode(anna, "f"), mode(berta, "f")) == (0o644, 0o600)


async def test_what_is_put_into_a_folder_that_was_just_closed_is_published_after_that(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/f": "text"})
    onlooker = Onlooker(berta, "a secret")
    (anna.root / "d").chmod(0o700)
    anna.write("d/f", "a secret")
    anna.look("d/f")  # and nobody has said anything of the folder
    await world.quiet()
    assert (berta.read("d/f"), mode(berta, "d")) == ("a secret", 0o700)
    assert onlooker.read == []
