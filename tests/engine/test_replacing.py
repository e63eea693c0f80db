"""A path that becomes something of another kind, and files that are here already when a drive is joined."""

import os
import shutil

import pytest
from trio.testing import MockClock

from p2pdrive.errors import NotWritable
from tests.engine.world import Machine, World


def aside_is_wrong() -> None:
    pytest.fail("the person's file is moved aside as if it were in conflict with what it replaced")


@pytest.mark.parametrize("named", [["thing"], [""], ["thing/inside/one", "thing"]], ids=str)
async def test_directory_replaced_by_a_file_is_no_conflict(
    world: World, autojump_clock: MockClock, named: list[str]
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"thing/inside/one": "1", "thing/two": "2"})
    shutil.rmtree(anna.root / "thing")
    anna.write("thing", "a file now")
    inode = (anna.root / "thing").stat().st_ino
    for machine in (anna, berta):
        machine.before["move", "thing"] = aside_is_wrong
    anna.look(*named)
    await world.until(lambda: berta.files() == {"thing": "a file now"}, "the file at the other")
    await world.converge()
    assert anna.files() == berta.files() == {"thing": "a file now"}
    assert (anna.root / "thing").stat().st_ino == inode


async def test_file_replaced_by_a_directory_is_no_conflict(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"thing": "a file"})
    anna.delete("thing")
    anna.write("thing/inside/one", "1")
    for machine in (anna, berta):
        machine.before["move", "thing"] = aside_is_wrong
    anna.look("thing/inside/one")
    await world.until(lambda: berta.files() == {"thing/inside/one": "1"}, "the directory at the other")
    await world.converge()


@pytest.mark.parametrize("to_directory", [True, False], ids=["a file", "a directory"])
async def test_what_made_room_for_what_cannot_be_made_yet_counts_as_deleted_by_nobody(
    world: World, autojump_clock: MockClock, to_directory: bool
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    old, new = (_write, _make_directory) if to_directory else (_make_directory, _write)
    old(anna)
    await world.converge()

    def fail() -> None:
        berta.look("thing")
        raise NotWritable("thing: the disk does not want to")

    berta.before["make_directory" if to_directory else "publish", "thing"] = fail
    anna.delete("thing") if to_directory else (anna.root / "thing").rmdir()
    new(anna)
    anna.look()
    await world.until(lambda: berta.tree() == anna.tree(), "the new one")
    await world.converge()
    assert not [dot for dot in berta.dots() if dot[0] in berta.own_actors()]


def _write(machine: Machine) -> None:
    machine.write("thing", "a file")


def _make_directory(machine: Machine) -> None:
    (machine.root / "thing").mkdir()


async def test_what_a_joining_folder_holds_is_not_fetched_whatever_its_times(
    world: World, autojump_clock: MockClock
) -> None:
    content = os.urandom(3_000_000).hex()  # too large to be kept in packs
    (anna,) = await world.sharing("anna", files={"same": content, "nearly": content + "a little more"})
    berta = world.machine("berta")
    for name in ("same", "nearly"):
        berta.write(name, content)
        os.utime(berta.root / name, (1_000_000_000, 1_000_000_000))
    await join_and_meet(world, anna, berta)
    assert berta.files() == anna.files()
    assert berta.read("same") == content
    assert (berta.root / "same").stat().st_mtime == (anna.root / "same").stat().st_mtime
    assert anna.sent_bytes < 2_000_000


async def join_and_meet(world: World, member: Machine, joiner: Machine) -> None:
    await joiner.join(member)
    await world.converge()


async def test_file_in_place_of_a_directory_inside_which_others_put_a_file_in_place_of_another(
    world: World, autojump_clock: MockClock
) -> None:
    """The one inside cannot be shown for the one above, which must not wait for it to go."""
    anna, berta = await world.sharing("anna", "berta", files={"thing/inside/one": "1"})
    world.part()
    shutil.rmtree(anna.root / "thing/inside")
    anna.write("thing/inside", "a file now")
    anna.look()
    await world.quiet()
    expected = ["a file now", "a file too"]
    await replaced_meanwhile(world, berta, expected)
    assert berta.read("thing/inside") == "a file now"


async def test_file_in_place_of_a_directory_in_which_others_made_a_conflict_copy_their_own(
    world: World, autojump_clock: MockClock
) -> None:
    """Seed '218287255 14557' of the planner: the same, of a copy's name."""
    anna, berta, copy = await world.in_conflict("thing/report.txt")
    world.part()
    anna.write(copy, "edited by anna")
    anna.look()
    await world.quiet()
    await replaced_meanwhile(world, berta, ["a file too", "by berta", "edited by anna"])
    assert berta.read(copy) == "edited by anna"


async def replaced_meanwhile(world: World, berta: Machine, expected: list[str]) -> None:
    """Berta replaces ``thing`` by a file, which is seen with what others did in it; what all show then."""
    shutil.rmtree(berta.root / "thing")
    berta.write("thing", "a file too")
    world.join_up()
    await world.quiet()
    await world.converge()
    assert sorted(berta.files().values()) == expected
    assert not berta.problems
