"""What could not be done is tried again by itself, soon at first and then more and more seldom."""

import os
import shutil
from collections.abc import Callable
from itertools import pairwise

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.problems import Kind, Problems
from p2pdrive.errors import NotWritable, Unreadable
from p2pdrive.limits import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from p2pdrive.model.problem import Problem
from p2pdrive.wire.messages import GetBlocks
from tests.engine.hostile import Mallory, content_of
from tests.engine.world import EPOCH_NS, Machine, World

#: Seconds between two looks whether something is due.
TICK = 1.0


class Stubborn:
    """A change of the folder that fails a number of times; ``tried`` is when."""

    def __init__(self, machine: Machine, operation: str, path: str, failures: int) -> None:
        self.tried: list[float] = []
        self._machine = machine
        self._key = (operation, path)
        self._failures = failures
        machine.before[self._key] = self._meet

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.tried)]

    def _meet(self) -> None:
        self.tried.append(trio.current_time())
        if len(self.tried) <= self._failures:
            self._machine.before[self._key] = self._meet
            raise NotWritable(f"{self._key[1]}: the disk does not want to")


def expected_pause(number: int) -> float:
    return min(RETRY_SECONDS_MAX, RETRY_SECONDS_MIN * 2**number)


# --- whole drives


async def test_file_that_could_not_be_written_comes_by_itself_when_the_disk_is_well(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(1)
    stubborn = Stubborn(berta, "publish", "r.txt", failures=4)
    anna.write("r.txt", "second")
    anna.look()
    await world.until(lambda: "r.txt" in berta.problems, "the problem")
    assert "does not want to" in berta.problems["r.txt"]
    await world.until(lambda: berta.read("r.txt") == "second", "the file")
    await world.quiet()
    assert berta.problems == {}
    assert len(stubborn.tried) == 5
    assert trio.current_time() - stubborn.tried[0] < 4 * (expected_pause(3) + TICK)


async def test_pauses_between_tries_grow_and_have_an_end(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(1)
    stubborn = Stubborn(berta, "publish", "r.txt", failures=14)
    anna.write("r.txt", "second")
    anna.look()
    await trio.sleep(2 * RETRY_SECONDS_MAX)
    assert set(berta.problems) == {"r.txt"}
    await trio.sleep(6 * RETRY_SECONDS_MAX)
    assert berta.read("r.txt") == "second"
    assert len(stubborn.tried) == 15
    for number, pause in enumerate(stubborn.pauses):
        assert expected_pause(number) <= pause <= expected_pause(number) + 2 * TICK


@pytest.mark.parametrize(
    ("operation", "change"),
    [
        ("remove", lambda machine: machine.delete("d/r.txt")),
        ("set_metadata", lambda machine: (machine.root / "d/r.txt").chmod(0o755)),
    ],
)
async def test_other_changes_are_tried_again_too(
    world: World, autojump_clock: MockClock, operation: str, change: Callable[[Machine], None]
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/r.txt": "first", "d/other.txt": "other"})
    await trio.sleep(5)
    stubborn = Stubborn(berta, operation, "d/r.txt", failures=3)
    change(anna)
    anna.look()
    await world.until(lambda: berta.problems, "the problem")
    await world.until(lambda: anna.tree() == berta.tree(), "the change")
    await world.quiet()
    assert berta.problems == {}
    assert len(stubborn.tried) >= 4


def make_unreadable(machine: Machine, directory: str) -> None:
    """Until what is in ``before`` is taken away."""

    def refuse() -> None:
        make_unreadable(machine, directory)
        raise Unreadable(f"{directory}: permission denied")

    machine.before["list", directory] = refuse


async def test_directory_that_cannot_be_read_is_a_problem_of_its_own_path(
    world: World, autojump_clock: MockClock
) -> None:
    """Whoever names it: the watcher's word is no other than a scan's."""
    _, berta = await world.sharing("anna", "berta", files={"d/r.txt": "first", "other.txt": "other"})
    await trio.sleep(1)
    drive = berta.drive
    make_unreadable(berta, "d")
    berta.look("d")
    await world.until(lambda: "d" in berta.problems, "the problem")
    berta.write("other.txt", "edited")
    berta.look("other.txt")
    await world.until(lambda: "edited" in world.machines[0].files().values(), "the rest goes on")
    del berta.before["list", "d"]
    await world.until(lambda: not berta.problems, "the directory is read again")
    assert berta.drive is drive


async def test_directory_that_cannot_be_read_and_goes_is_no_problem_any_more(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/e/r.txt": "first", "d/other.txt": "other"})
    os.utime(anna.root / "d/other.txt", (1, 1))  # so long ago that berta knows its own doing again
    await world.converge()
    make_unreadable(berta, "d/e")
    berta.look("d/e")
    await world.until(lambda: "d/e" in berta.problems, "the problem")
    shutil.rmtree(anna.root / "d/e")
    anna.look()
    await world.until(lambda: not (berta.root / "d/e").exists(), "the removal")
    await world.until(lambda: not berta.problems, "the end of the problem")


async def test_directory_that_waits_for_a_file_that_cannot_be_removed_gives_peace(
    world: World, autojump_clock: MockClock
) -> None:
    """It is not found to be not empty three times a second, with a drive that never is at rest."""
    anna, berta = await world.sharing("anna", "berta", files={"d/e/r.txt": "first", "other.txt": "other"})
    await trio.sleep(5)
    stubborn = Stubborn(berta, "remove", "d/e/r.txt", failures=7)
    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: "d/e/r.txt" in berta.problems, "the problem")
    await world.quiet()
    for _ in range(20):
        await trio.sleep(1.1)
        await world.quiet()
        assert berta.drive.settled
    assert "see the problems there" in berta.problems["d/e"]
    await world.until(lambda: not (berta.root / "d/e/r.txt").exists(), "the removal")
    await world.until(lambda: not (berta.root / "d").exists(), "the end of both directories")
    assert trio.current_time() - stubborn.tried[-1] < 5
    await world.converge()
    assert berta.problems == {}


async def test_the_rest_does_not_wait_for_what_fails(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    stubborn = Stubborn(berta, "publish", "b.txt", failures=1000)
    for name in ("a.txt", "b.txt", "c.txt"):
        anna.write(name, name)
    anna.look()
    await world.until(lambda: berta.files() == {"a.txt": "a.txt", "c.txt": "c.txt"}, "the others")
    await trio.sleep(35)
    assert len(stubborn.tried) == 6  # and the next try is half a minute away
    anna.write("b.txt", "news of it")
    anna.look()
    tries, now = len(stubborn.tried), trio.current_time()
    await world.until(lambda: len(stubborn.tried) > tries, "a try at once, as there is news")
    assert trio.current_time() - now < 2


async def test_blocks_that_nobody_had_are_asked_for_again(world: World, autojump_clock: MockClock) -> None:
    anna, _berta = await world.sharing("anna", "berta", files={"a.txt": "a"})
    mallory = Mallory(world, anna)
    await mallory.enter()
    content = content_of(b"found after all")
    await mallory.publish(mallory.scribe.batch(mallory.scribe.record("x.txt", content)))
    await world.until(lambda: "x.txt" in anna.problems, "the problem")
    await trio.sleep(20)
    asked = len(mallory.heard(GetBlocks))
    assert 4 <= asked <= 6
    mallory.blocks[content.root] = b"found after all"
    await world.until(lambda: anna.files().get("x.txt") == "found after all", "the bytes")
    assert len(mallory.heard(GetBlocks)) == asked + 1
    await world.quiet()
    assert anna.problems == {}


async def test_what_cannot_be_synced_is_looked_at_again_by_itself(
    world: World, autojump_clock: MockClock
) -> None:
    """No watcher need say that the name is in order now."""
    anna, berta = await world.sharing("anna", "berta", files={"d/a.txt": "a"})
    os.mkfifo(anna.root / "d/pipe")
    anna.look()
    await world.until(lambda: "d/pipe" in anna.problems, "the problem")
    await trio.sleep(10)
    assert "d/pipe" in anna.problems
    (anna.root / "d/pipe").unlink()
    anna.write("d/pipe", "a file now")
    await world.until(lambda: berta.files().get("d/pipe") == "a file now", "the file")
    await world.until(lambda: not anna.problems, "the end of the problem")


async def test_file_comes_once_nothing_that_cannot_be_synced_is_in_its_place(
    world: World, autojump_clock: MockClock
) -> None:
    """Only a scan tells that the problem is over, and that has nothing to settle there."""
    anna, berta = await world.sharing("anna", "berta", files={"other.txt": "other"})
    os.mkfifo(berta.root / "pipe")
    berta.look()
    await world.until(lambda: "pipe" in berta.problems, "the problem")
    anna.write("pipe", "a file")
    anna.look()
    await trio.sleep(60)
    assert "pipe" in berta.problems
    (berta.root / "pipe").unlink()
    await world.until(lambda: berta.files().get("pipe") == "a file", "the file")
    assert not berta.problems


# --- the list of problems


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0
        self.problems = Problems(lambda: EPOCH_NS + int(self.seconds * 1e9), lambda: self.seconds)

    def due(self) -> tuple[list[str], list[str]]:
        return self.problems.due()


def test_problem_is_due_until_it_is_reported_again_or_resolved() -> None:
    clock = Clock()
    clock.problems.report(Problem("a", "first"))
    assert clock.problems.waits("a") and clock.due() == ([], [])
    clock.seconds += RETRY_SECONDS_MIN
    assert not clock.problems.waits("a")
    assert clock.due() == clock.due() == (["a"], [])  # asking does not postpone it
    clock.problems.report(Problem("a", "again"))
    assert clock.problems.waits("a") and clock.due() == ([], [])
    assert clock.problems.all() == [("a", "again", EPOCH_NS + 100 * 10**9)]  # since the first time
    clock.seconds += 2 * RETRY_SECONDS_MIN
    assert clock.due() == (["a"], [])
    clock.problems.resolve("a")
    assert clock.due() == ([], []) and clock.problems.all() == []


def test_directory_of_a_problem_that_a_scan_met_is_due_once() -> None:
    """It is looked into anew, which may take long: only the scan's end says whether the problem stays."""
    clock = Clock()
    clock.problems.report_scanned("", [Problem("d/a", "no file")])
    clock.seconds += RETRY_SECONDS_MIN
    assert clock.due() == ([], ["d"])
    assert clock.due() == ([], [])
    clock.seconds += 2 * RETRY_SECONDS_MIN
    assert clock.due() == ([], ["d"])
    assert clock.problems.report_scanned("d", [])
    assert clock.problems.all() == []
    assert not clock.problems.report_scanned("d", [])


def test_what_lasts_is_never_due() -> None:
    clock = Clock()
    clock.problems.report(Problem("", "two logs"), Kind.LASTING)
    clock.seconds += 10 * RETRY_SECONDS_MAX
    clock.problems.resolve("")
    assert clock.due() == ([], []) and len(clock.problems.all()) == 1


def test_news_end_the_pause_and_a_problem_that_comes_back_begins_anew() -> None:
    clock = Clock()
    for _ in range(8):
        clock.problems.report(Problem("a", "again and again"))
    assert clock.problems.waits("a")
    clock.problems.hurry(["a", "of no concern"])
    assert clock.due() == (["a"], [])
    clock.problems.resolve("a")
    clock.problems.report(Problem("a", "anew"))
    clock.seconds += RETRY_SECONDS_MIN
    assert clock.due() == (["a"], [])
