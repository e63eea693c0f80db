"""Names that no drive can have: reported for as long as they are there, and no longer."""

import os

import trio
from trio.testing import MockClock

from tests.engine.world import World


async def test_name_that_is_not_utf8_is_a_problem_until_it_is_gone(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"folder/fine.txt": "fine"})
    odd = os.fsencode(anna.root) + b"/folder/odd \xff"
    os.close(os.open(odd, os.O_CREAT))
    anna.look("folder")
    await world.quiet()
    (path,) = anna.problems
    assert path.startswith("folder/odd")
    await trio.sleep(100)  # it is tried again now and then
    assert list(anna.problems) == [path]

    os.unlink(odd)
    anna.look("folder")
    await world.until(lambda: not anna.problems, "the end of the problem")
    await world.converge()
    assert berta.files() == {"folder/fine.txt": "fine"}
