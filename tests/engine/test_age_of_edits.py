"""How old an edit is that was made while the node was off."""

import os

from trio.testing import MockClock

from p2pdrive.model.clock import milliseconds
from tests.engine.world import Machine, World

DAY_NS = 86_400 * 10**9


def save(machine: Machine, path: str, text: str, age_ns: int) -> None:
    """Write a file as it was written ``age_ns`` ago."""
    machine.write(path, text)
    then = machine.world.now_ns() - age_ns
    os.utime(machine.root / path, ns=(then, then))


def clocks(machine: Machine, path: str) -> list[int]:
    """Milliseconds since 1970 of all versions of a path, the oldest first."""
    with machine.replica.reading() as log:
        return sorted(milliseconds(record.clock) for record in log.registers.versions(path))


async def at_rest(world: World) -> tuple[Machine, Machine]:
    """Anna and berta with a document of two days ago."""
    anna, berta = await world.sharing("anna", "berta")
    await anna.stop()
    save(anna, "report", "old", 2 * DAY_NS)
    await anna.start()
    await world.converge()
    return anna, berta


async def test_edit_of_yesterday_made_offline_leaves_the_name_to_one_of_today(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await at_rest(world)
    await anna.stop()
    berta.write("report", "today")
    berta.look("report")
    await world.quiet()
    save(anna, "report", "yesterday", DAY_NS)
    await anna.start()
    await world.converge()
    assert anna.read("report") == "today"
    (copy,) = anna.copies()
    assert anna.read(copy) == "yesterday"


async def test_edit_of_today_made_offline_takes_the_name_from_one_of_yesterday(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await at_rest(world)
    await anna.stop()
    await berta.stop()
    save(berta, "report", "yesterday", DAY_NS)
    save(anna, "report", "today", 0)
    await anna.start()
    await berta.start()
    await world.converge()
    assert anna.read("report") == "today"


async def test_two_files_of_one_name_made_offline_leave_it_to_the_newer(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await at_rest(world)
    await anna.stop()
    await berta.stop()
    save(berta, "notes", "newer", DAY_NS)
    save(anna, "notes", "older", 3 * DAY_NS)
    await berta.start()
    await anna.start()
    await world.converge()
    assert anna.read("notes") == "newer"


async def test_what_a_watcher_names_is_as_old_as_now_whatever_its_time_says(
    world: World, autojump_clock: MockClock
) -> None:
    anna, _ = await at_rest(world)
    before = world.now_ns() // 1_000_000
    save(anna, "report", "brought back", 3 * DAY_NS)
    anna.look("report")
    await world.quiet()
    assert clocks(anna, "report")[-1] >= before


async def test_what_is_found_is_never_older_than_what_it_follows_and_never_in_the_future(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await at_rest(world)
    await anna.stop()
    save(anna, "report", "older than what it follows", 30 * DAY_NS)
    save(anna, "later", "from the future", -30 * DAY_NS)
    await anna.start()
    await world.converge()
    first, second = clocks(berta, "report")
    assert first <= second
    with anna.replica.reading() as log:
        (head,) = log.registers.heads("report")
        assert head.clock == 1 + max(
            record.clock for record in log.registers.versions("report") if record != head
        )
    assert clocks(berta, "later")[0] <= world.now_ns() // 1_000_000


async def test_copy_that_was_deleted_offline_leaves_the_name_to_an_edit_made_meanwhile(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await at_rest(world)
    await berta.stop()
    anna.write("report", "by anna")
    anna.look("report")
    await world.quiet()
    save(berta, "report", "by berta, yesterday", DAY_NS)
    await berta.start()
    await world.converge()
    (copy,) = anna.copies()
    await anna.stop()
    anna.delete(copy)
    berta.write("report", "edited on")
    berta.look("report")
    await world.quiet()
    await anna.start()
    await world.converge()
    assert berta.read("report") == "edited on"
