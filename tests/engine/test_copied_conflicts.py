"""A folder with a conflict copy in it, restored from a backup or brought to another device."""

import shutil
import time
from pathlib import Path

import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World


async def test_conflict_copy_in_a_restored_folder_is_not_published(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    anna, berta, copy = await world.in_conflict()
    await anna.stop()
    shutil.copytree(anna.root, tmp_path / "backup", symlinks=True)
    await anna.start()
    anna.write("more.txt", "more")
    await world.converge()
    await anna.stop()
    shutil.rmtree(anna.root)
    shutil.copytree(tmp_path / "backup", anna.root, symlinks=True)
    await anna.start()
    world.join_up()
    await world.converge()
    expected = {"report.txt": "by berta", copy: "by anna", "more.txt": "more"}
    assert berta.files() == anna.files() == expected
    for machine in (anna, berta):
        with machine.replica.reading() as log:
            assert log.registers.heads(copy) == ()
            assert len(log.registers.heads("report.txt")) == 2


async def test_conflict_copy_in_a_restored_folder_that_others_edited_since_is_an_old_version(
    world: World, autojump_clock: MockClock, tmp_path: Path
) -> None:
    anna, berta, copy = await world.in_conflict()
    await anna.stop()
    shutil.copytree(anna.root, tmp_path / "backup", symlinks=True)
    await anna.start()
    world.join_up()
    await trio.sleep(1)
    anna.write(copy, "by anna, and an ordinary file now")
    await world.converge()
    await anna.stop()
    shutil.rmtree(anna.root)
    shutil.copytree(tmp_path / "backup", anna.root, symlinks=True)
    await anna.start()
    world.join_up()
    await world.converge()
    expected = {"report.txt": "by berta", copy: "by anna, and an ordinary file now"}
    assert berta.files() == anna.files() == expected


async def test_copy_edited_on_two_machines_at_once_has_a_copy_itself(
    world: World, autojump_clock: MockClock
) -> None:
    """One of them hears of the other's edit before it has looked at its own."""
    anna, berta, copy = await world.in_conflict()
    anna.write(copy, "edited by anna")
    berta.write(copy, "edited by berta")
    berta.look()
    expected = ["by berta", "edited by anna", "edited by berta"]
    await world.until(lambda: sorted(anna.files().values()) == expected, "anna shows both")
    await world.converge()
    assert sorted(berta.files().values()) == expected


async def test_renaming_the_winner_shows_the_loser_in_its_place(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, _ = await world.in_conflict()
    await trio.sleep(5)
    anna.look()  # its time is no longer of just now: a rename can be told
    await world.quiet()
    anna.rename("report.txt", "moved.txt")
    anna.look("moved.txt")
    expected = {"report.txt": "by anna", "moved.txt": "by berta"}
    await world.until(lambda: anna.files() == expected, "anna shows the loser")
    assert await world.converge()
    assert berta.files() == expected


async def test_copy_that_two_others_edited_at_once_has_a_copy_here_too(
    world: World, autojump_clock: MockClock
) -> None:
    """Seed 5062: a third machine showed the one, and took the path for done."""
    anna, berta, copy = await world.in_conflict()
    clara = world.machine("clara")
    await clara.join(anna)
    world.join_up()
    await world.converge()
    world.part()
    anna.write(copy, "edited by anna")
    berta.write(copy, "edited by berta")
    for machine in (anna, berta):
        machine.look()
    await world.quiet()
    world.connect(anna, berta)
    await world.converge(anna, berta)
    world.join_up()
    await world.converge()
    assert sorted(clara.files().values()) == ["by berta", "edited by anna", "edited by berta"]


async def test_copy_is_shown_once_an_ordinary_file_of_its_name_is_deleted(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, copy = await with_a_hidden_copy(world)
    anna.delete(copy)
    await world.converge()
    assert anna.files() == berta.files() == {"report.txt": "by anna, who saw berta's", copy: "by anna"}


async def test_copy_is_shown_once_an_ordinary_file_of_its_name_is_renamed(
    tmp_path: Path, nursery: trio.Nursery
) -> None:
    """In threads, so that the file is still being moved when its old path is asked for."""
    world = World(tmp_path, nursery, threads=True)
    anna, berta, copy = await with_a_hidden_copy(world)
    anna.rename(copy, "kept.txt")
    berta.before["move", copy] = lambda: time.sleep(0.3)
    await world.converge()
    kept = {"report.txt": "by anna, who saw berta's", "kept.txt": "an ordinary file"}
    assert anna.files() == berta.files() == kept | {copy: "by anna"}
    await world.close()
    nursery.cancel_scope.cancel()


async def with_a_hidden_copy(world: World) -> tuple[Machine, Machine, str]:
    """Anna and berta, who both show an ordinary file where the copy of anna's version belongs."""
    anna, berta, copy = await world.in_conflict()
    world.part()
    berta.delete("report.txt")  # so that the loser has its path
    berta.look()
    await world.quiet()
    berta.write(copy, "an ordinary file")
    berta.look()
    await world.quiet()
    anna.write("report.txt", "by anna, who saw berta's")
    anna.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    await trio.sleep(1)
    anna.look()  # its time is no longer of just now: a rename can be told
    await world.quiet()
    assert anna.files() == {"report.txt": "by anna, who saw berta's", copy: "an ordinary file"}
    return anna, berta, copy
