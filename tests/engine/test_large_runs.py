"""Many files of some size at once are settled in runs of a bounded number of bytes, and none is left out."""

import random
import tracemalloc
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.limits import MIB, PLAN_BYTES_MAX
from tests.engine.world import Machine, World

SIZE = 50_000
#: Bytes of a run in these tests, so that a few small files fill several.
RUN = 4 * SIZE


@pytest.fixture
def small_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("p2pdrive.engine.settle.PLAN_BYTES_MAX", RUN)


def content(number: int, size: int = SIZE) -> bytes:
    """Nothing that compresses, or is in two files."""
    return random.Random(number).randbytes(size)


def write_all(machine: Machine, count: int) -> dict[str, bytes]:
    written = {f"d{number % 3}/f{number:03}": content(number) for number in range(count)}
    for path, data in written.items():
        machine.write(path, data)
    return written


def shown(machine: Machine) -> dict[str, bytes]:
    return {path: found[1] for path, found in machine.tree().items() if found[0] == "file"}


async def test_all_of_many_files_are_published_and_arrive(
    world: World, autojump_clock: MockClock, small_runs: None
) -> None:
    """Of one look, and of one call of the watcher that names them all."""
    anna, berta = await world.sharing("anna", "berta")
    await trio.sleep(5)
    written = write_all(anna, 30)
    await world.converge()
    assert shown(berta) == written
    assert len(anna.dots()) >= 30

    more = {f"named/{number}": content(100 + number) for number in range(30)}
    for path, data in more.items():
        anna.write(path, data)
    anna.look(*more)
    await world.quiet()
    await world.until(lambda: len(shown(berta)) == 60, "all that was named")
    await world.quiet()
    assert shown(berta) == written | more
    assert anna.problems == berta.problems == {}


async def test_edits_deletions_and_renames_among_them_are_all_published(
    world: World, autojump_clock: MockClock, small_runs: None
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    written = write_all(anna, 24)
    await world.converge()
    await trio.sleep(5)
    await world.converge()
    paths = list(written)
    for number, path in enumerate(paths):
        match number % 4:
            case 0:
                anna.write(path, content(200 + number))
            case 1:
                anna.delete(path)
            case 2:
                anna.rename(path, f"renamed/{number}")
    await world.converge()
    assert len(shown(berta)) == 18
    assert shown(berta) == shown(anna)
    assert not anna.copies()


async def test_folder_with_the_same_files_is_joined_without_a_transfer(
    world: World, autojump_clock: MockClock, small_runs: None
) -> None:
    """What is there is read, in several runs, before anything is asked for."""
    anna, berta = world.machine("anna"), world.machine("berta")
    written = write_all(anna, 30)
    write_all(berta, 30)
    await anna.share()
    await berta.join(anna)
    await world.converge()
    assert shown(berta) == written
    assert anna.sent_bytes < 30 * SIZE // 10
    assert berta.own_actors() == []


async def test_files_that_a_person_brought_along_before_they_came_are_all_taken_as_they_are(
    world: World, autojump_clock: MockClock, small_runs: None
) -> None:
    """Here they are first looked at when the log says that they should be there."""
    anna, berta = await world.sharing("anna", "berta")
    write_all(berta, 30)  # no watcher says so
    sent = anna.sent_bytes
    written = write_all(anna, 30)
    anna.look()
    await world.until(lambda: len(berta.dots()) >= 30, "the log")
    await world.until(lambda: not berta.query("SELECT key FROM unshown"), "all of them")
    assert shown(berta) == written
    assert anna.sent_bytes - sent < 30 * SIZE // 10
    assert berta.own_actors() == []


async def test_a_file_larger_than_a_run_is_one_by_itself(
    world: World, autojump_clock: MockClock, small_runs: None
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    for number in range(5):
        anna.write(f"f{number}", content(number, 3 * RUN))
        anna.write(f"f{number} small", content(10 + number, 10))
    await world.converge()
    assert len(shown(berta)) == 10


async def test_what_is_under_way_while_the_rest_is_settled_is_edited_and_nothing_is_lost(
    world: World, autojump_clock: MockClock, small_runs: None
) -> None:
    """The peer's edits of the same files come in between two runs."""
    anna, berta = await world.sharing("anna", "berta")
    written = write_all(anna, 24)
    await world.converge()
    await trio.sleep(5)
    for path in written:
        anna.write(path, b"by anna: " + path.encode())
        berta.write(path, b"by berta: " + path.encode())
    await world.converge()
    everything = set(shown(anna).values())
    for path in written:
        assert {b"by anna: " + path.encode(), b"by berta: " + path.encode()} <= everything
    assert len(shown(anna)) == 48


async def test_memory_does_not_grow_with_what_is_settled_at_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    """With the true bound: content that packs are to keep is held for one run only."""
    files, size = 40, 3 * MIB
    assert files * size > 3 * PLAN_BYTES_MAX
    async with trio.open_nursery() as nursery:
        world = World(tmp_path, nursery)
        anna = world.machine("anna")
        await anna.share()
        await world.quiet()
        for number in range(files):
            (anna.root / f"f{number}").write_bytes(content(number, size))
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        anna.look()
        await world.quiet()
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak - before < PLAN_BYTES_MAX + 24 * MIB
        assert len(anna.dots()) == files
        await world.close()
        nursery.cancel_scope.cancel()
