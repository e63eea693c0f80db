"""A program holds a file open for writing that others have changed: it is left alone until it is closed."""

import os
import shutil
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.limits import HELD_PATIENCE_SECONDS, HELD_RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from tests.engine.world import Machine, World

pytestmark = pytest.mark.skipif(
    not SystemCalls.detect().leases, reason="this platform cannot tell who writes"
)

#: Seconds between two looks whether something is due.
TICK = 1.0
#: Seconds that the file is held.
LONG = 120.0


class Tries:
    """When an operation on a path was tried."""

    def __init__(self, machine: Machine, operation: str, path: str) -> None:
        self.at: list[float] = []
        self._machine = machine
        self._key = (operation, path)
        machine.before[self._key] = self._note

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.at)]

    def _note(self) -> None:
        self.at.append(trio.current_time())
        self._machine.before[self._key] = self._note


def replaced_by_a_directory(machine: Machine) -> None:
    machine.delete("d/r.txt")
    machine.write("d/r.txt/inside", "second")


CHANGES: list[tuple[str, Callable[[Machine], Any]]] = [
    ("publish", lambda machine: machine.write("d/r.txt", "second")),
    ("remove", lambda machine: machine.delete("d/r.txt")),
    ("remove", lambda machine: shutil.rmtree(machine.root / "d")),
    ("remove", replaced_by_a_directory),
    ("set_metadata", lambda machine: (machine.root / "d/r.txt").chmod(0o755)),
    ("move", lambda machine: machine.rename("d/r.txt", "d/renamed.txt")),
    ("move", lambda machine: (machine.root / "d").rename(machine.root / "renamed")),
]


@pytest.mark.parametrize(("operation", "change"), CHANGES)
async def test_file_held_open_is_left_alone_and_shown_once_it_is_closed(
    world: World, autojump_clock: MockClock, operation: str, change: Callable[[Machine], Any]
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/r.txt": "first", "other.txt": "other"})
    await trio.sleep(5)
    tries = Tries(berta, operation, "d/r.txt")
    held = berta.root / "d/r.txt"
    before = held.stat()
    with held.open("r+b"):
        change(anna)
        anna.look()
        await world.until(lambda: tries.at, "a try")
        await world.quiet()
        assert "d/r.txt" not in berta.problems, "it may be closed in a moment"
        begun = tries.at[0]
        await world.until(lambda: "d/r.txt" in berta.problems, "the problem")
        waited = trio.current_time() - begun
        assert HELD_PATIENCE_SECONDS <= waited <= HELD_PATIENCE_SECONDS + HELD_RETRY_SECONDS_MAX + TICK
        assert "is open in another program" in berta.problems["d/r.txt"]
        berta.write("other.txt", "edited")
        berta.look("other.txt")
        await world.until(lambda: anna.read("other.txt") == "edited", "the rest goes on")
        await trio.sleep(LONG)
        after = held.stat()
        assert (after.st_ino, after.st_ctime_ns) == (before.st_ino, before.st_ctime_ns)
        assert all(pause >= RETRY_SECONDS_MIN / 2 for pause in tries.pauses)
        assert LONG / (HELD_RETRY_SECONDS_MAX + TICK) < len(tries.at) < LONG / 2
    closed = trio.current_time()
    await world.until(lambda: berta.tree() == anna.tree(), "what anna made of it")
    assert trio.current_time() - closed <= HELD_RETRY_SECONDS_MAX + 2 * TICK
    await world.converge()
    assert berta.problems == {}


async def test_file_that_is_closed_soon_is_no_problem(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(5)
    tries = Tries(berta, "publish", "r.txt")
    with (berta.root / "r.txt").open("r+b"):
        anna.write("r.txt", "second")
        anna.look()
        await world.until(lambda: tries.at, "a try")
    while berta.read("r.txt") != "second":
        assert not berta.problems
        await trio.sleep(0.1)
    await world.quiet()
    assert trio.current_time() - tries.at[0] < RETRY_SECONDS_MIN + 2 * TICK


async def test_content_for_a_file_held_open_is_fetched_once(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"large": "first"})
    await trio.sleep(5)
    tries = Tries(berta, "publish", "large")
    size = 8 * 1024 * 1024  # more than packs keep of a file that is there
    with (berta.root / "large").open("r+b"):
        anna.write("large", anna.random.randbytes(size))
        anna.look()
        before = anna.sent_bytes
        await world.until(lambda: len(tries.at) > 4, "some tries")
    await world.converge()
    assert anna.sent_bytes - before < 1.5 * size


async def test_edit_by_the_program_that_held_the_file_is_beside_what_others_made(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(5)
    tries = Tries(berta, "publish", "r.txt")
    with (berta.root / "r.txt").open("r+b") as program:
        anna.write("r.txt", "by anna")
        anna.look()
        await world.until(lambda: len(tries.at) > 3, "some tries")
        program.write(b"by the program")
    await world.converge()
    assert sorted(anna.files().values()) == ["by anna", "by the program"]
    assert berta.problems == {}


@pytest.mark.parametrize("role", ["editor", "viewer"])
async def test_loser_of_a_conflict_that_a_program_holds_open_keeps_its_name_until_it_is_closed(
    world: World, autojump_clock: MockClock, role: str
) -> None:
    """Moved aside, it went on being written under the name of the copy; a viewer's own version likewise."""
    anna, berta = world.machine("anna"), world.machine("berta")
    anna.write("r.txt", "first")
    await anna.share()
    await berta.join(anna, role)
    world.join_up()
    await world.converge()
    world.part()
    berta.write("r.txt", "by berta")
    berta.look()
    await world.quiet()
    await trio.sleep(1)
    anna.write("r.txt", "by anna, later")
    anna.look()
    await world.quiet()
    with (berta.root / "r.txt").open("r+b") as program:
        number = os.fstat(program.fileno()).st_ino
        world.join_up()
        await world.until(lambda: "r.txt" in berta.problems, "the problem")
        await trio.sleep(LONG)
        assert (berta.root / "r.txt").stat().st_ino == number
        assert berta.copies() == []
        program.seek(0, os.SEEK_END)
        program.write(b", and more")
    berta.look()
    both = ["by anna, later", "by berta, and more"]
    await world.until(lambda: sorted(berta.files().values()) == both, "the two versions")
