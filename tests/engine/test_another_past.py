"""A folder with another past (copied, restored, left and shared anew) is taken up by one rule: nothing in it
is deleted; a person chooses what becomes of files that others deleted since."""

import shutil

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.replica import take_up
from p2pdrive.limits import PLAN_PATHS_MAX
from p2pdrive.planning.reconcile import Choice
from tests.engine.world import Machine, World

COUNT = 2 * PLAN_PATHS_MAX + 200
MANY = {f"d{number % 9}/{number:04}.txt": f"file {number}" for number in range(COUNT)}
GONE = sorted(MANY)[::2]


async def taken_up(world: World, files: dict[str, str], gone: list[str]) -> tuple[Machine, Machine]:
    """Anna and berta, who deleted what is ``gone``; anna left hers, and shares a copy with all of it."""
    anna, berta = await world.sharing("anna", "berta", files=files)
    await anna.stop()
    copy = anna.root.with_name("copy")
    shutil.copytree(anna.root, copy, symlinks=True)
    await anna.start()
    world.join_up()
    await world.converge()
    for path in gone:
        anna.delete(path)
    await world.converge()
    await anna.stop()
    anna.root = copy
    take_up(str(copy), anna.services)
    await anna.start()
    world.join_up()
    await world.until(lambda: anna.drive.scanned and not anna.replica.adopting, "the copy is taken up")
    await world.quiet()
    return anna, berta


@pytest.mark.parametrize("choice", [Choice.RESTORE, Choice.CATCH_UP])
async def test_all_of_a_large_copy_is_taken_up_alike(
    world: World, autojump_clock: MockClock, choice: Choice
) -> None:
    anna, berta = await taken_up(world, MANY, GONE)
    await trio.sleep(30)
    assert anna.files() == MANY
    assert berta.files().keys() == MANY.keys() - set(GONE)
    assert anna.replica.count_brought() == len(GONE)
    await anna.restart()
    world.join_up()
    await trio.sleep(30)
    assert anna.files() == MANY
    await anna.drive.choose(choice)
    tree = await world.converge()
    left = MANY.keys() - ({*GONE} if choice is Choice.CATCH_UP else set())
    assert tree.keys() & MANY.keys() == left
    assert anna.replica.count_brought() == 0
    assert anna.replica.choice is Choice.ASK  # the next copy is another question
    world.check_dots()


async def test_what_was_deleted_elsewhere_is_edited_here_and_comes_back(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await taken_up(world, {"a.txt": "a", "d/b.txt": "b", "d/c.txt": "c"}, ["a.txt", "d/b.txt"])
    anna.write("d/b.txt", "edited in the copy")
    anna.look()
    await world.until(lambda: "d/b.txt" in berta.files(), "the edit")
    assert berta.files() == {"d/b.txt": "edited in the copy", "d/c.txt": "c"}
    assert anna.replica.count_brought() == 1


async def test_what_was_deleted_elsewhere_and_is_deleted_here_too_is_asked_for_no_more(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await taken_up(world, {"a.txt": "a", "b.txt": "b"}, ["a.txt"])
    before = len(berta.dots())
    anna.delete("a.txt")
    await world.converge()
    assert anna.replica.count_brought() == 0
    assert len(berta.dots()) == before


async def test_what_comes_from_others_arrives_while_a_choice_is_awaited(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await taken_up(world, {"a.txt": "a", "b.txt": "b"}, ["a.txt"])
    berta.write("new.txt", "new")
    berta.write("b.txt", "edited")
    berta.look()
    await world.until(lambda: anna.files().get("new.txt") == "new", "the new file")
    await world.quiet()
    assert anna.files() == {"a.txt": "a", "b.txt": "edited", "new.txt": "new"}
    berta.write("a.txt", "made anew elsewhere")
    await world.converge()
    assert anna.files()["a.txt"] == "made anew elsewhere"
    assert anna.replica.count_brought() == 0


async def test_a_backup_is_known_though_this_device_has_written_nothing_since(
    world: World, autojump_clock: MockClock
) -> None:
    """What its log lacks is only what others wrote."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a", "b.txt": "b"})
    await anna.stop()
    backup = anna.root.with_name("backup")
    shutil.copytree(anna.root, backup, symlinks=True)
    await anna.start()
    world.join_up()
    berta.delete("a.txt")
    await world.converge()
    await anna.stop()
    shutil.rmtree(anna.root)
    backup.rename(anna.root)
    await anna.start()
    world.join_up()
    await trio.sleep(10)
    assert anna.files() == {"a.txt": "a", "b.txt": "b"}
    assert anna.replica.count_brought() == 1
    await anna.drive.choose(Choice.RESTORE)
    assert (await world.converge()).keys() == {"a.txt", "b.txt"}


async def test_a_copy_of_a_conflict_that_was_settled_since_is_not_deleted_unasked(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, copy = await world.in_conflict()
    await anna.stop()
    backup = anna.root.with_name("backup")
    shutil.copytree(anna.root, backup, symlinks=True)
    await anna.start()
    world.join_up()
    berta.delete(copy)
    await world.converge()
    await anna.stop()
    shutil.rmtree(anna.root)
    backup.rename(anna.root)
    await anna.start()
    world.join_up()
    await trio.sleep(10)
    assert anna.copies() == [copy]
    assert berta.copies() == []
    await anna.drive.choose(Choice.CATCH_UP)
    await world.converge()
    assert anna.copies() == []


async def test_a_viewer_keeps_what_was_deleted_elsewhere_and_restores_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    (anna,) = await world.sharing("anna", files={"a.txt": "a", "b.txt": "b"})
    anna.delete("a.txt")
    anna.look()
    await trio.sleep(5)
    clara = world.machine("clara")
    clara.write("a.txt", "a")
    await clara.join(anna, "viewer")
    await trio.sleep(10)
    await clara.drive.choose(Choice.RESTORE)
    await trio.sleep(10)
    assert clara.files() == {"a.txt": "a", "b.txt": "b"}
    assert anna.files() == {"b.txt": "b"}
