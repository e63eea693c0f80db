"""A connection that only one of the two still believes in."""

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.limits import LINK_DEAD_SECONDS, PROBE_SECONDS
from tests.engine.world import World


@pytest.mark.parametrize(("first", "second"), [("laptop", "desktop"), ("desktop", "laptop")])
async def test_who_comes_back_after_a_sleep_is_let_in_soon(
    world: World, autojump_clock: MockClock, first: str, second: str
) -> None:
    """Whichever of the two opened the link that the other still holds, and whichever has the smaller id."""
    laptop, desktop = await world.sharing(first, second, files={"photo": "sunset"})
    world.part()
    await world.quiet()
    world.connect(laptop, desktop)
    await world.converge()
    (stale,) = laptop.connections.links.values()

    world.stall(laptop, desktop)
    await desktop.stop()
    desktop.connections.close_all()
    began = trio.current_time()
    await desktop.start()
    while stale in laptop.connections.links.values():
        world.connect(desktop, laptop)
        await trio.sleep(1)
    assert trio.current_time() - began < PROBE_SECONDS + 3 < LINK_DEAD_SECONDS
    world.connect(desktop, laptop)
    desktop.write("new", "after the sleep")
    await world.converge()
    assert laptop.read("new") == "after the sleep"
