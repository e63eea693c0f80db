"""Names that no drive can have: reported for as long as they are there, and no longer."""

import os
import shutil

import trio
from trio.testing import MockClock

from p2pdrive.limits import PATH_NAMES_MAX
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


async def test_folders_that_are_too_deep_are_one_problem_and_the_rest_is_synced(
    world: World, autojump_clock: MockClock
) -> None:
    """Made while the drive runs, so that the watcher may name what is in them too."""
    anna, berta = await world.sharing("anna", "berta", files={"fine.txt": "fine"})
    levels = ["/".join(["d"] * depth) for depth in range(1, 300)]
    for directory in levels:
        anna.write(f"{directory}/f", "deep")
    anna.look("d", *levels[PATH_NAMES_MAX:], *(f"{directory}/f" for directory in levels[PATH_NAMES_MAX:]))
    await world.quiet()
    first = {levels[PATH_NAMES_MAX], f"{levels[PATH_NAMES_MAX - 1]}/f"}  # the first of each branch
    assert anna.problems.keys() == first
    assert all(f"more than {PATH_NAMES_MAX} names" in what for what in anna.problems.values())
    shown = {"fine.txt", *(f"{directory}/f" for directory in levels[: PATH_NAMES_MAX - 1])}
    assert berta.files().keys() == shown

    sent = anna.sent_bytes
    for _ in range(10):
        anna.look(f"{levels[-1]}/f")
        await trio.sleep(100)
    assert anna.problems.keys() == first
    assert anna.sent_bytes - sent < 10_000  # keepalives

    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: not anna.problems, "the end of the problems")
    await world.converge()
    assert berta.files() == {"fine.txt": "fine"}


async def test_folders_that_were_too_deep_from_the_beginning_are_one_problem(
    world: World, autojump_clock: MockClock
) -> None:
    levels = ["/".join(["d"] * depth) for depth in range(1, 300)]
    (anna,) = await world.sharing("anna", files=dict.fromkeys([f"{levels[-1]}/f", "fine.txt"], "text"))
    assert list(anna.problems) == [levels[PATH_NAMES_MAX]]
    assert [*anna.query("SELECT count(*) FROM entries")] == [(PATH_NAMES_MAX + 1,)]
    anna.rename("d/d", "e")
    shutil.rmtree(anna.root / "e/d/d/d")
    anna.look()
    await world.quiet()
    assert not anna.problems
