"""Hard links inside a drive, on a real disk: what is done through one name is done to all of them."""

import os

import pytest
from trio.testing import MockClock

from p2pdrive.folder.files import Stat
from tests.engine.world import Machine, World

NAMES = ("one", "three", "two")


def edit(machine: Machine, path: str, text: str) -> None:
    """Write in place, so that the names stay names of one file."""
    with open(machine.root / path, "r+") as file:
        file.truncate()
        file.write(text)


def inodes(machine: Machine) -> list[int]:
    """How often each file is named, the most often first."""
    found = [(machine.root / name).stat().st_ino for name in machine.files()]
    return sorted((found.count(inode) for inode in set(found)), reverse=True)


async def linked(world: World) -> tuple[Machine, Machine]:
    """Anna, with three names of one file, and berta, in sync."""
    anna, berta = await world.sharing("anna", "berta")
    anna.write("one", "first")
    for name in NAMES[1:]:
        os.link(anna.root / "one", anna.root / name)
    await world.converge()
    return anna, berta


def records(machine: Machine) -> int:
    """How many records there are in the log."""
    return len(machine.dots())


async def test_edit_through_one_name_is_one_of_all_names(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await linked(world)
    edit(anna, "one", "second, longer")
    anna.look("one")
    await world.quiet()
    assert berta.files() == dict.fromkeys(NAMES, "second, longer")
    before = records(anna)
    await world.converge()
    assert records(anna) == before
    assert inodes(anna) == [3]


async def test_time_or_mode_set_through_one_name_is_set_for_all(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await linked(world)
    (anna.root / "two").chmod(0o755)
    os.utime(anna.root / "two", (10**9, 10**9))
    anna.look("two")
    await world.quiet()
    assert {shown[2:] for shown in berta.tree().values()} == {(True, 10**18)}
    assert inodes(anna) == [3]


async def test_edit_elsewhere_of_one_name_leaves_the_others_and_is_no_conflict(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await linked(world)
    (anna.root / "two").chmod(0o755)
    anna.look("two")
    await world.quiet()
    berta.write("one", "by berta")
    await world.converge()
    assert anna.files() == {"one": "by berta", "two": "first", "three": "first"}
    assert inodes(anna) == [2, 1]
    before = records(anna)
    edit(anna, "two", "by anna")
    anna.look("two")
    await world.quiet()
    await world.converge()
    assert berta.files() == {"one": "by berta", "two": "by anna", "three": "by anna"}
    assert records(anna) == before + 2


async def test_one_name_is_renamed_and_another_removed(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await linked(world)
    anna.rename("two", "zwei")
    anna.delete("three")
    before = records(anna)
    await world.converge()
    assert berta.files() == {"one": "first", "zwei": "first"}
    assert records(anna) == before + 3  # there, gone, and gone
    edit(anna, "zwei", "second")
    anna.look("zwei")
    await world.quiet()
    assert berta.files() == {"one": "second", "zwei": "second"}


async def test_another_name_is_no_edit_of_those_that_were_there(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await linked(world)
    before = records(anna)
    os.link(anna.root / "one", anna.root / "four")
    await world.converge()
    assert records(anna) == before + 1
    assert berta.files() == dict.fromkeys((*NAMES, "four"), "first")


async def test_edits_of_two_names_at_once_end_alike(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await linked(world)
    world.part()
    edit(anna, "one", "by anna")
    berta.write("two", "by berta")
    anna.look("one")
    berta.look("two")
    await world.quiet()
    world.connect(anna, berta)
    await world.converge()
    files = anna.files()
    assert files["one"] == files["three"] == "by anna"
    assert {files["two"], *(files[copy] for copy in anna.copies())} == {"by anna", "by berta"}
    assert len(anna.copies()) == 1


async def test_many_names_of_one_file_are_removed_elsewhere_in_one_go(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    anna.write("d/0", "one of many")
    for number in range(1, 40):
        os.link(anna.root / "d/0", anna.root / f"d/{number}")
    await world.converge()
    for number in range(40):
        berta.delete(f"d/{number}")
    (berta.root / "d").rmdir()
    taken: list[str] = []
    remove = anna.replica.files.remove

    def count(path: str, expected: Stat) -> str:
        taken.append(path)
        return remove(path, expected)

    monkeypatch.setattr(anna.replica.files, "remove", count)
    await world.converge()
    assert anna.tree() == {}
    assert len(taken) == 40  # and none is tried again
