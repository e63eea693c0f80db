"""Folders that hold something already when they join, and copies that two devices lost together."""

import os

import trio
from trio.testing import MockClock

from tests.engine.world import World


async def test_loser_found_while_joining_is_a_copy_of_one_name_everywhere(
    world: World, autojump_clock: MockClock
) -> None:
    (anna,) = await world.sharing("anna", files={"report.txt": "of anna"})
    berta = world.machine("berta")
    berta.write("report.txt", "of berta, older")
    os.utime(berta.root / "report.txt", (1_000_000_000, 1_000_000_000))
    await berta.join(anna)
    await world.converge()
    (copy,) = anna.copies()
    assert copy.endswith(" from berta).txt")
    assert berta.files() == anna.files() == {"report.txt": "of anna", copy: "of berta, older"}


async def test_deleting_the_copy_of_what_two_wrote_settles_both(
    world: World, autojump_clock: MockClock
) -> None:
    machines = await world.sharing("anna", "berta", "clara", files={"report.txt": "first"})
    anna, berta, clara = machines
    world.part()
    for machine, text in ((anna, "lost"), (berta, "lost"), (clara, "won")):
        await trio.sleep(1)
        machine.write("report.txt", text)
        machine.look()
        await world.quiet()
    world.join_up()
    await world.converge()
    (copy,) = clara.copies()
    clara.delete(copy)
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "won"}


async def test_file_of_the_year_2400_is_shared(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    anna.write("far.txt", "from far")
    os.utime(anna.root / "far.txt", ns=(13_569_465_600 * 10**9,) * 2)
    anna.look()
    await world.until(lambda: berta.files() == {"far.txt": "from far"}, "the file from the future")
