"""Programs that write to files for a while: what is published of them, when, and what is said meanwhile."""

import mmap
import os

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.status import DriveState
from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.limits import BUSY_SECONDS, OPEN_PATIENCE_SECONDS
from p2pdrive.node.reporting import drive_state
from tests.engine.world import Machine, World

leases = pytest.mark.skipif(not SystemCalls.detect().leases, reason="this platform cannot tell who writes")


def versions(machine: Machine, path: str) -> int:
    with machine.replica.reading() as log:
        return sum(1 for _ in log.registers.versions(path))


def state(machine: Machine) -> DriveState:
    (missing,) = machine.query("SELECT count(*) FROM unshown")[0]
    return drive_state(machine.drive, missing)


def busy(machine: Machine) -> list[str]:
    return [each.path for each in machine.drive.waiting.patience.busy(trio.current_time())]


@leases
@pytest.mark.parametrize("new", [False, True])
async def test_document_that_a_program_is_writing_is_published_once_it_is_closed(
    world: World, autojump_clock: MockClock, new: bool
) -> None:
    anna, berta = await world.sharing(
        "anna", "berta", files={"other.txt": "x"} if new else {"doc.txt": "old"}
    )
    await trio.sleep(5)
    before = berta.tree()
    with (anna.root / "doc.txt").open("w") as program:
        for _ in range(20):
            anna.look("doc.txt")
            await trio.sleep(2)
        program.write("the beginning, ")
        program.flush()
        for _ in range(20):
            anna.look("doc.txt")
            await trio.sleep(2)
        assert berta.tree() == before
        assert busy(anna) == ["doc.txt"]
        assert state(anna) == state(berta) == DriveState.IN_SYNC, "all else is"
        program.write("and the end")
    anna.look("doc.txt")
    closed = trio.current_time()
    await world.until(lambda: berta.files().get("doc.txt") == "the beginning, and the end", "the document")
    assert trio.current_time() - closed < 1
    await world.converge()
    assert versions(berta, "doc.txt") == (1 if new else 2)
    assert busy(anna) == []


@leases
async def test_file_that_is_written_by_way_of_memory_counts_as_open(
    world: World, autojump_clock: MockClock
) -> None:
    """Its program may have closed it long ago."""
    anna, berta = await world.sharing("anna", "berta", files={"f": "first"})
    await trio.sleep(5)
    with (anna.root / "f").open("r+b") as program:
        memory = mmap.mmap(program.fileno(), 0)
    memory[:5] = b"half "
    memory.flush()
    anna.look("f")
    await trio.sleep(OPEN_PATIENCE_SECONDS / 2)
    assert berta.read("f") == "first"
    memory[:5] = b"whole"
    memory.close()
    anna.look("f")
    await world.until(lambda: berta.read("f") == "whole", "what was written")


@leases
async def test_all_names_of_a_new_file_are_published_as_soon_as_it_is_closed(
    world: World, autojump_clock: MockClock
) -> None:
    """The watcher tells by which name it was closed, and of no other."""
    anna, berta = await world.sharing("anna", "berta", files={"other.txt": "x"})
    await trio.sleep(5)
    with (anna.root / "one").open("w") as program:
        os.link(anna.root / "one", anna.root / "two")
        anna.look()
        await trio.sleep(30)
        assert busy(anna) == ["one", "two"]
        program.write("all of it")
    anna.look("one")
    closed = trio.current_time()
    await world.until(lambda: {"one", "two"} <= berta.files().keys(), "both names")
    assert trio.current_time() - closed < 1
    assert busy(anna) == []


async def test_log_that_is_appended_to_all_the_time_makes_few_versions_and_ends_whole(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"log": "", "other": "x"})
    await trio.sleep(5)
    for number in range(600):
        anna.write("log", f"{anna.read('log')}{number}\n")
        anna.look("log")
        await trio.sleep(0.1)
        if number == 300:
            assert busy(anna) == ["log"]
            assert state(anna) == state(berta) == DriveState.IN_SYNC
            anna.write("other", "edited meanwhile")
            anna.look("other")
            await world.until(lambda: berta.read("other") == "edited meanwhile", "the rest goes on")
    await world.until(lambda: berta.read("log") == anna.read("log"), "its last state")
    assert versions(berta, "log") < 12
    await world.converge()


@pytest.mark.parametrize("renamed", [False, True])
async def test_log_that_waits_and_goes_is_gone_at_once(
    world: World, autojump_clock: MockClock, renamed: bool
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"log": ""})
    await trio.sleep(5)
    for number in range(100):
        anna.write("log", f"{anna.read('log')}{number}\n")
        anna.look("log")
        await trio.sleep(0.1)
    text = anna.read("log")
    assert berta.read("log") != text
    if renamed:
        anna.rename("log", "log.1")
    else:
        anna.delete("log")
    anna.look("log", "log.1")
    went = trio.current_time()
    await world.until(lambda: berta.files() == ({"log.1": text} if renamed else {}), "that it went")
    assert trio.current_time() - went < 2
    assert anna.drive.waiting.patience.all() == set()


@leases
async def test_edit_of_others_waits_for_a_document_that_is_being_written_and_both_are_kept(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"doc": "first"})
    await trio.sleep(5)
    with (berta.root / "doc").open("w") as program:
        berta.look("doc")
        anna.write("doc", "by anna")
        anna.look("doc")
        await trio.sleep(BUSY_SECONDS)
        assert berta.read("doc") == ""
        assert "is open in another program" in berta.problems["doc"]
        program.write("by berta")
    berta.look("doc")
    await world.converge()
    assert sorted(anna.files().values()) == ["by anna", "by berta"]
    assert berta.problems == {}
