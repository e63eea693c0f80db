"""Drives on small disks, full ones too: history yields to the folder, and the drive goes on."""

import os
import random
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.recover import recover
from p2pdrive.engine.replica import Replica
from p2pdrive.engine.room import make_room
from p2pdrive.errors import DiskFull
from p2pdrive.history.log import Ingested
from p2pdrive.index.archived import Archived
from p2pdrive.limits import MIB
from p2pdrive.model.batch import Batch
from tests.engine.test_archive import archive, rows, temporaries
from tests.engine.test_received_versions import blocks_of, packs_bytes, whole
from tests.engine.world import Machine, World

Mount = Callable[[Machine, int], Machine]


@pytest.fixture
def on_small_disk() -> Iterator[Mount]:
    """Gives a machine a disk of that many bytes for its folder."""
    places: list[Path] = []

    def mount(machine: Machine, size: int) -> Machine:
        options = ("-t", "tmpfs", "-o", f"size={size}", "none")
        if os.geteuid() != 0 or _run("mount", *options, machine.root):
            pytest.skip("this account may not mount")
        places.append(machine.root)
        return machine

    yield mount
    for place in places:
        _run("umount", "-l", place)


def _run(*command: str | Path) -> int:
    return subprocess.run(command, check=False, capture_output=True).returncode


def photo(number: int, size: int = MIB) -> bytes:
    return random.Random(number).randbytes(size)


def free(machine: Machine) -> int:
    return machine.replica.files.free_bytes()


def fill(machine: Machine, left: int = 0) -> Path:
    """Another program takes all of the disk but ``left`` bytes."""
    place = machine.root / ".p2pdrive/by another program"
    found = os.statvfs(machine.root)
    with open(place, "ab") as file:
        os.posix_fallocate(file.fileno(), file.tell(), max(found.f_bavail * found.f_frsize - left, 1))
    return place


async def sharing(world: World, small: Machine, photos: int) -> Machine:
    """Anna, with a disk for all, who has let ``small`` in."""
    anna = world.machine("anna")
    for number in range(photos):
        anna.write(f"p{number}.jpg", photo(number))
    await anna.share()
    await world.quiet()
    await small.join(anna)
    world.join_up()
    await world.converge()
    return anna


async def test_joiner_on_a_disk_that_is_more_than_half_full_gets_all(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 40 * MIB)
    await sharing(world, berta, 28)
    assert len(berta.tree()) == 28
    assert packs_bytes(berta) == 0
    assert berta.problems == {}


async def test_deletion_elsewhere_needs_no_room_and_gives_some(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 16)
    fill(berta)
    assert free(berta) == 0
    for number in range(12):
        anna.delete(f"p{number}.jpg")
    anna.write("news", "two bytes")
    await world.converge()
    await trio.sleep(20)
    assert berta.tree().keys() == {"news", "p12.jpg", "p13.jpg", "p14.jpg", "p15.jpg"}
    assert berta.problems == {}
    assert free(berta) >= 32 * MIB // 20
    assert temporaries(berta) == []
    assert 0 < len(archive(berta)) < 12
    assert rows(berta) == {int(kept.name, 16) for kept in archive(berta)}


async def test_oldest_of_history_yields_to_what_comes(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 16)
    for number in range(16):
        anna.delete(f"p{number}.jpg")
        anna.look()
        await world.converge()
        await trio.sleep(1)
    assert len(archive(berta)) == 16
    anna.write("film", photo(99, 18 * MIB))
    anna.look()
    await world.converge()
    kept = [whole(berta, blocks_of(berta, photo(number))) is not None for number in range(16)]
    assert kept == sorted(kept), "what is younger went before what is older"
    assert 0 < sum(kept) < 16
    assert berta.problems == {}


async def test_history_does_not_yield_to_a_file_that_is_larger_than_the_disk(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 4)
    for number in range(4):
        anna.delete(f"p{number}.jpg")
    anna.look()
    await world.until(lambda: len(archive(berta)) == 4, "the history")
    anna.write("film", photo(99, 40 * MIB))
    anna.look()
    await world.until(lambda: "film" in berta.problems, "that it does not fit")
    await trio.sleep(60)
    assert len(archive(berta)) == 4


async def test_packs_yield_too(world: World, autojump_clock: MockClock, on_small_disk: Mount) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 1)
    for number in range(8):
        await trio.sleep(5)
        berta.write("own.jpg", photo(100 + number))
        await world.converge()
    assert packs_bytes(berta) > 6 * MIB
    fill(berta)
    anna.write("p0.jpg", "an edit")
    anna.look()
    await world.converge()
    await trio.sleep(20)
    assert packs_bytes(berta) == 0
    assert berta.problems == {}
    for number in range(3):
        await trio.sleep(5)
        berta.write("own.jpg", photo(200 + number, 100_000))  # history begins anew
        await world.converge()
    assert whole(berta, blocks_of(berta, photo(201, 100_000))) is not None
    await berta.restart()
    assert whole(berta, blocks_of(berta, photo(201, 100_000))) is not None
    assert berta.replica.store.problems() == []


async def test_full_disk_without_history_is_a_problem_of_what_comes_until_there_is_room(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 2)
    taken = fill(berta)
    anna.write("film", photo(99, 8 * MIB))
    anna.look()
    await trio.sleep(30)
    assert "full" in berta.problems["film"]
    anna.delete("p0.jpg")
    anna.look()
    await trio.sleep(30)
    assert "p0.jpg" not in berta.tree()
    taken.unlink()
    await world.converge()
    assert berta.problems == {}


async def test_drive_is_opened_on_a_disk_with_no_byte_free(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 4)
    await trio.sleep(20)
    await berta.stop()
    fill(berta)
    await berta.start()
    world.join_up()
    anna.delete("p0.jpg")
    anna.write("news", "two bytes")
    await world.converge()
    assert berta.problems == {}


async def test_drive_without_a_reserve_is_opened_at_the_cost_of_its_history(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await sharing(world, berta, 4)
    anna.delete("p0.jpg")
    await world.converge()
    await berta.stop()
    assert len(archive(berta)) == 1
    (berta.root / ".p2pdrive/reserve").unlink()
    fill(berta)
    replica = Replica(str(berta.root), berta.services, berta.marks.get(berta.root, {}))
    try:
        assert archive(berta) == []
        recover(replica)
        with replica.reading() as log:
            assert Archived(log.connection).numbers() == set()
    finally:
        replica.close()


async def with_packs(world: World, berta: Machine) -> Machine:
    """Anna; what berta, who is stopped, has of history is in packs."""
    anna = await sharing(world, berta, 2)
    for number in range(3):
        await trio.sleep(5)
        berta.write("own.jpg", photo(100 + number))
        await world.converge()
    assert whole(berta, blocks_of(berta, photo(101))) is not None
    await berta.stop()
    assert archive(berta) == []
    assert packs_bytes(berta) > MIB
    return anna


def fill_with_the_reserve(machine: Machine) -> None:
    """Nothing is set aside, and no byte free."""
    (machine.root / ".p2pdrive/reserve").unlink()
    fill(machine)
    assert os.statvfs(machine.root).f_bavail == 0


async def test_drive_without_a_reserve_is_opened_at_the_cost_of_its_packs(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await with_packs(world, berta)
    fill_with_the_reserve(berta)
    replica = Replica(str(berta.root), berta.services, berta.marks.get(berta.root, {}))
    try:
        assert packs_bytes(berta) == 0
        assert replica.store.held(blocks_of(anna, photo(101))) == set()
        assert replica.store.problems() == []
    finally:
        replica.close()
    await berta.start()
    world.join_up()
    anna.write("p0.jpg", "an edit")
    await world.converge()
    await trio.sleep(20)
    assert berta.problems == {}
    assert (berta.root / "own.jpg").read_bytes() == photo(102)
    await berta.restart()
    assert berta.replica.store.problems() == []


async def test_packs_yield_where_not_even_the_index_can_be_told(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await with_packs(world, berta)
    (berta.root / ".p2pdrive/reserve").unlink()
    fill(berta, 40 * 1024)  # of which SQLite takes 32 KiB to open the index
    await berta.start()
    world.join_up()
    anna.write("p0.jpg", "an edit")
    await world.converge()
    await trio.sleep(20)
    assert packs_bytes(berta) == 0
    assert berta.problems == {}
    assert berta.replica.store.held(blocks_of(berta, photo(101))) == set()


async def test_pack_that_alone_has_what_is_to_come_does_not_yield_to_the_opening(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    berta = on_small_disk(world.machine("berta"), 32 * MIB)
    anna = await with_packs(world, berta)
    packed = packs_bytes(berta)
    anna.write("again", photo(101))
    anna.look()
    await world.quiet()
    with anna.replica.reading() as log:
        batches, _ = log.batches_after({}, 1 << 20, {a: s for a, (s, _) in log.frontier().items()})
    marks = berta.marks.get(berta.root, {})
    replica = Replica(str(berta.root), berta.services, marks)
    with replica.writing() as log:
        for data in batches:
            log.ingest(Batch.decode(data), Ingested(), set())
    replica.close()
    fill_with_the_reserve(berta)
    with pytest.raises(DiskFull):
        Replica(str(berta.root), berta.services, marks)
    assert packs_bytes(berta) == packed


async def test_history_yields_to_a_quota_that_the_disk_does_not_tell_of(
    world: World, autojump_clock: MockClock
) -> None:
    """There is room on the disk, and a write is refused all the same."""
    anna, berta = await world.sharing("anna", "berta")
    for name in ("r", "s", "t"):
        anna.write(name, photo(ord(name)))
        await world.converge()
        anna.delete(name)
        await world.converge()
    assert len(archive(berta)) == 3
    assert not make_room(berta.replica, 1)
    assert make_room(berta.replica, 1, MIB + 1)
    assert len(archive(berta)) == 1
    assert whole(berta, blocks_of(berta, photo(ord("t")))) is not None


async def test_what_only_history_has_of_a_version_to_come_does_not_yield(
    world: World, autojump_clock: MockClock
) -> None:
    """Nobody else may have it."""
    anna, berta = await world.sharing("anna", "berta")
    for name, data in (("r", photo(1)), ("s", photo(2))):
        anna.write(name, data)
        await world.converge()
        anna.delete(name)
        await world.converge()
    assert len(archive(berta)) == 2
    world.part()
    anna.write("again", photo(1))
    anna.look()
    await world.quiet()
    with anna.replica.reading() as log:
        batches, _ = log.batches_after({}, 1 << 20, {a: s for a, (s, _) in log.frontier().items()})
    with berta.replica.writing() as log:
        for data in batches:
            log.ingest(Batch.decode(data), Ingested(), set())
    make_room(berta.replica, 1 << 60)
    assert whole(berta, blocks_of(berta, photo(2))) is None
    assert whole(berta, blocks_of(berta, photo(1))) == photo(1)
