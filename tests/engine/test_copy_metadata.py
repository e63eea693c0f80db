"""A third machine, which had neither edit, shows winner and copy as the others do: exec bit and time too."""

import os

import trio
from trio.testing import MockClock

from tests.engine.world import World


async def test_a_copy_that_was_the_old_version_gets_the_losers_exec_bit(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"report.txt": "first"})
    world.part()
    await trio.sleep(1)
    os.chmod(anna.root / "report.txt", 0o755)
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    berta.write("report.txt", "by two")
    berta.look()
    await world.quiet()
    world.join_up(anna, berta)
    await world.converge(anna, berta)
    world.join_up()
    await world.converge()
    (copy,) = anna.copies()
    modes = [os.stat(machine.root / copy).st_mode & 0o100 for machine in (anna, berta, clara)]
    assert modes == [0o100] * 3
