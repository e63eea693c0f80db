"""A path that becomes something of another kind, and files that are here already when a drive is joined."""

import os
import shutil

import pytest
from trio.testing import MockClock

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
