"""A folder that is restored from a backup or copied: a new actor, no deletion invented, no dot reused."""

import shutil
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.planning.reconcile import Choice
from tests.engine.world import Machine, World

LARGE = "".join(f"{number:x} " for number in range(60_000))


async def back_up(machine: Machine) -> Path:
    backup = machine.root.with_name("backup")
    await machine.stop()
    shutil.copytree(machine.root, backup, symlinks=True)
    await machine.start()
    return backup


async def restore(machine: Machine, backup: Path, *, home_too: bool) -> None:
    """``home_too``: what the home remembers of our actors is of that time, too."""
    await machine.stop()
    if home_too:
        machine.marks.clear()
    shutil.rmtree(machine.root)
    shutil.copytree(backup, machine.root, symlinks=True)
    await machine.start()


@pytest.mark.parametrize("home_too", [False, True])
async def test_a_restored_folder_catches_up_and_deletes_nothing(
    world: World, autojump_clock: MockClock, home_too: bool
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"a.txt": "a", "old.txt": "o"})
    berta.write("b.txt", "b")
    await world.converge()
    backup = await back_up(berta)
    await trio.sleep(1)
    berta.write("b.txt", "b, edited after the backup")
    berta.write("later.txt", "made after the backup")
    anna.write("a.txt", "a, edited after the backup")
    clara.delete("old.txt")
    await world.converge()
    world.check_dots()
    actors = berta.own_actors()

    world.cut_off(berta)
    await restore(berta, backup, home_too=home_too)
    world.join_up()
    await trio.sleep(10)
    assert berta.files()["old.txt"] == "o"
    assert "old.txt" not in clara.files()
    await berta.drive.choose(Choice.CATCH_UP)
    await world.converge()
    expected = {
        "a.txt": "a, edited after the backup",
        "b.txt": "b, edited after the backup",
        "later.txt": "made after the backup",
    }
    assert clara.files() == expected
    berta.write("new.txt", "written by the restored machine")
    await world.converge()
    world.check_dots()
    assert clara.files() == {**expected, "new.txt": "written by the restored machine"}
    assert not set(actors) & set(berta.own_actors())


@pytest.mark.parametrize("home_too", [False, True])
async def test_edits_found_in_a_restored_folder_are_concurrent(
    world: World, autojump_clock: MockClock, home_too: bool
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    berta.write("b.txt", "b")
    await world.converge()
    backup = await back_up(berta)
    await trio.sleep(1)
    berta.write("b.txt", "b, after the backup")
    await world.converge()
    world.check_dots()
    (backup / "b.txt").write_text("b, edited in the backup")
    world.cut_off(berta)
    await restore(berta, backup, home_too=home_too)
    world.join_up()
    await world.converge()
    world.check_dots()
    assert sorted(anna.files().values()) == ["a", "b, after the backup", "b, edited in the backup"]


async def test_a_restored_machine_that_writes_before_it_meets_anyone(
    world: World, autojump_clock: MockClock
) -> None:
    """Nothing tells it that it was restored: its log forks, which all notice, and no edit is lost."""
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"a.txt": "a"})
    berta.write("b.txt", "b")
    await world.converge()
    backup = await back_up(berta)
    await trio.sleep(1)
    berta.write("later.txt", "made after the backup")
    await world.converge()
    world.cut_off(berta)
    await restore(berta, backup, home_too=True)
    await world.quiet()
    berta.write("offline.txt", "written before it met anyone")
    berta.delete("a.txt")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.until(lambda: "offline.txt" in clara.files(), "the edit of the restored machine")
    await world.quiet()
    for machine in (anna, berta, clara):
        assert machine.files()["offline.txt"] == "written before it met anyone"
        assert machine.files()["later.txt"] == "made after the backup"
        assert machine.files()["b.txt"] == "b"
    berta.write("more.txt", "more")
    berta.look()
    await world.until(lambda: "more.txt" in anna.files() and "more.txt" in clara.files(), "the next edit")


async def test_a_directory_brought_along_that_was_deleted_and_holds_an_ignored_file_stays_here_alone(
    world: World, autojump_clock: MockClock
) -> None:
    (anna,) = await world.sharing("anna", files={".p2pdriveignore": "*.tmp", "d/a.txt": "a"})
    anna.delete("d/a.txt")
    (anna.root / "d").rmdir()
    anna.look()
    await world.quiet()
    clara = world.machine("clara")
    clara.write(".p2pdriveignore", "*.tmp")
    clara.write("d/own.tmp", "never synced")
    await clara.join(anna)
    await trio.sleep(60)
    assert clara.files().keys() == {".p2pdriveignore", "d/own.tmp"}
    assert not (anna.root / "d").exists()


async def test_a_folder_copied_to_another_machine_joins_without_a_transfer(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"large.txt": LARGE, "d/small.txt": "small"})
    berta.write("b.txt", "b")
    await world.converge()
    actors = berta.own_actors()
    clara = world.machine("clara")
    await berta.stop()
    world.cut_off(berta)
    shutil.rmtree(clara.root)
    shutil.copytree(berta.root, clara.root, symlinks=True)
    (clara.root / "d/small.txt").write_text("edited in the copy")
    (clara.root / "b.txt").unlink()
    await berta.start()
    await trio.sleep(1)
    await clara.join(anna)
    world.join_up()
    await world.converge()
    world.check_dots()
    assert sorted(clara.files().values()) == sorted([LARGE, "edited in the copy", "b"])
    assert not set(actors) & set(clara.own_actors())
    assert anna.sent_bytes < len(LARGE) // 10
    clara.write("c.txt", "c")
    berta.write("b.txt", "bb")
    await world.converge()
    world.check_dots()
    assert anna.read("b.txt") == "bb"


async def test_a_backup_that_is_restored_twice_reuses_no_dot(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    backup = await back_up(berta)
    berta.write("b.txt", "after the backup")
    await world.converge()
    world.check_dots()
    world.cut_off(berta)
    for _ in range(2):
        await restore(berta, backup, home_too=False)
        await world.quiet()
    berta.write("c.txt", "before it meets anyone")
    berta.look()
    world.join_up()
    await world.converge()
    world.check_dots()
    assert anna.files() == {"a.txt": "a", "b.txt": "after the backup", "c.txt": "before it meets anyone"}
