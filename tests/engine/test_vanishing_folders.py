"""A folder that goes away file by file deletes nothing elsewhere; what a person deletes goes in its time."""

import shutil

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.limits import BURST_REST_SECONDS
from tests.engine.world import Machine, World

MANY = {f"d{number % 7}/{number:03}.txt": f"file {number}" for number in range(200)}


async def removed_one_by_one(machine: Machine, seconds: float) -> None:
    """As ``rm -rf`` does it: file by file, its directory after them; then the state, then the root."""
    for place in sorted(machine.root.rglob("d*/**"), reverse=True):
        for file in sorted(place.iterdir()):
            file.unlink()
            machine.look(str(file.relative_to(machine.root)))
            await trio.sleep(seconds)
        place.rmdir()
        machine.look(str(place.relative_to(machine.root)))


@pytest.mark.parametrize("seconds", [0.001, 0.1, 1.0])
async def test_a_folder_that_is_removed_file_by_file_deletes_nothing_elsewhere(
    world: World, autojump_clock: MockClock, seconds: float
) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    before = berta.tree()
    await trio.sleep(60)
    await removed_one_by_one(anna, seconds)
    assert anna.drive.deleting.count >= len(MANY) - 7
    shutil.rmtree(anna.root)
    await trio.sleep(60)
    lost = before.keys() - berta.tree().keys()
    assert len(lost) <= 7 if seconds == 1.0 else not lost  # the first few looked like a person's
    assert anna.trouble


@pytest.mark.parametrize("part", ["FORMAT", "index.db", "packs"])
async def test_deletions_are_dropped_where_the_state_went_first(
    world: World, autojump_clock: MockClock, part: str
) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    before = berta.tree()
    for directory in anna.root.glob("d*"):
        shutil.rmtree(directory)
    anna.look()
    await trio.sleep(BURST_REST_SECONDS / 2)
    place = anna.root / ".p2pdrive" / part
    place.rename(anna.root / f".p2pdrive/away {part}")
    await trio.sleep(60)
    assert berta.tree() == before


async def test_a_folder_that_is_renamed_in_the_midst_of_a_removal_deletes_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    before = berta.tree()
    shutil.rmtree(anna.root / "d1")
    anna.look()
    await trio.sleep(1)
    anna.root.rename(anna.root.with_name("elsewhere"))
    await trio.sleep(60)
    assert berta.tree() == before


async def test_all_that_a_person_deletes_in_a_whole_folder_goes_elsewhere_after_a_rest(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    for directory in anna.root.glob("d*"):
        shutil.rmtree(directory)
    began = trio.current_time()
    anna.look()
    await trio.sleep(BURST_REST_SECONDS - 0.5)
    assert len(berta.files()) == len(MANY)
    assert not anna.drive.settled
    assert await world.converge() == {}
    assert trio.current_time() - began < BURST_REST_SECONDS + 2


async def test_one_file_that_a_person_deletes_is_gone_elsewhere_within_a_second(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a", "b.txt": "b"})
    began = trio.current_time()
    anna.delete("a.txt")
    anna.look("a.txt")
    await world.until(lambda: not (berta.root / "a.txt").exists(), "the deletion")
    assert trio.current_time() - began < 1.0


async def test_a_file_that_is_back_in_a_moment_was_edited_and_not_deleted(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "before"})
    anna.delete("a.txt")
    anna.look("a.txt")
    await trio.sleep(0.2)
    anna.write("a.txt", "after")
    anna.look("a.txt")
    await world.converge()
    assert berta.read("a.txt") == "after"
    with anna.replica.reading() as log:
        assert len(list(log.registers.versions("a.txt"))) == 2


async def test_thousands_that_are_moved_are_not_held_up(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    for number in range(7):
        anna.rename(f"d{number}", f"moved/d{number}")
    began = trio.current_time()
    anna.look()
    await world.until(lambda: not list(berta.root.glob("d*/*")), "the move")
    assert trio.current_time() - began < 1.0
    assert len(berta.files()) == len(MANY)


async def test_deletions_that_waited_at_a_restart_are_found_again(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    shutil.rmtree(anna.root / "d3")
    anna.look()
    await trio.sleep(1)
    await anna.restart()
    world.join_up()
    assert len(berta.files()) == len(MANY)
    await world.converge()
    assert not any(path.startswith("d3") for path in berta.tree())


async def test_a_deletion_that_waits_loses_to_an_edit_elsewhere(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files=MANY)
    for path in MANY:
        anna.delete(path)
    anna.look()
    await trio.sleep(1)
    berta.write("d1/001.txt", "edited meanwhile")
    await world.converge()
    assert anna.files() == {"d1/001.txt": "edited meanwhile"}
