"""Small files that came from others stay readable in history, whatever a person here does to them."""

import os
import random
import shutil

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from p2pdrive.limits import MIB, OWNED_FILE_BYTES_MAX
from p2pdrive.model.manifest import Manifest
from p2pdrive.node.reporting import versions
from tests.engine.world import Machine, World


def packs_bytes(machine: Machine) -> int:
    return sum(pack.stat().st_size for pack in (machine.root / ".p2pdrive/packs").iterdir())


def whole(machine: Machine, blocks: list[bytes]) -> bytes | None:
    """What the store of this machine alone makes of these blocks."""
    found = machine.replica.store.read_many(blocks)
    parts = [bytes(part) for part in found if part is not None]
    return b"".join(parts) if len(parts) == len(blocks) else None


def blocks_of(machine: Machine, data: bytes) -> list[bytes]:
    if len(data) <= machine.replica.genesis.chunking.minimum:
        return [blake3(data).digest()]
    left = memoryview(data)

    def read(into: memoryview) -> int:
        nonlocal left
        count = min(len(into), len(left))
        into[:count] = left[:count]
        left = left[count:]
        return count

    manifest: Manifest = machine.replica.chunker.chunk(read)
    return [block for _, block in manifest]


async def received(world: World, data: bytes) -> tuple[Machine, Machine]:
    """A file of anna's that berta has got."""
    anna, berta = await world.sharing("anna", "berta")
    anna.write("r", data)
    await world.converge()
    await trio.sleep(5)
    return anna, berta


def overwrite(machine: Machine) -> None:
    """In place, as `>` does."""
    machine.write("r", "written over by hand")


def delete(machine: Machine) -> None:
    machine.delete("r")


def replace(machine: Machine) -> None:
    """By another file under its name, as editors do."""
    machine.write("r.new", "saved by an editor")
    machine.rename("r.new", "r")


SMALL = b"what anna wrote"
MEDIUM = random.Random(1).randbytes(MIB)


@pytest.mark.parametrize("change", [overwrite, delete, replace], ids=lambda change: change.__name__)
@pytest.mark.parametrize("data", [SMALL, MEDIUM], ids=["small", "of several blocks"])
async def test_received_version_that_is_changed_here_stays_readable_here(
    world: World, autojump_clock: MockClock, change: object, data: bytes
) -> None:
    anna, berta = await received(world, data)
    change(berta)  # type: ignore[operator]
    await world.converge()
    world.part()
    await anna.stop()
    await berta.restart()
    assert whole(berta, blocks_of(berta, data)) == data
    told = versions(berta.replica, "r")
    assert len(told) == 2
    assert all(version.readable for version in told)


async def test_version_of_a_version_of_a_version(world: World, autojump_clock: MockClock) -> None:
    """Changed at both ends in turn: each end keeps all."""
    anna, berta = await received(world, b"version 0")
    for number in range(1, 6):
        (anna if number % 2 else berta).write("r", f"version {number}")
        await world.converge()
        await trio.sleep(5)
    for machine in (anna, berta):
        overwrite(machine)  # nothing may be read from the file itself any more
        for number in range(6):
            data = f"version {number}".encode()
            assert whole(machine, [blake3(data).digest()]) == data


async def test_newcomer_that_overwrites_all_that_it_got(world: World, autojump_clock: MockClock) -> None:
    anna = world.machine("anna")
    files = {f"f{number}": f"content {number % 7}" for number in range(40)}
    for path, text in files.items():
        anna.write(path, text)
    await anna.share()
    await world.quiet()
    clara = world.machine("clara")
    await clara.join(anna)
    await world.converge()
    await trio.sleep(5)
    world.part()
    for path in files:
        clara.write(path, "gone over")
    clara.look()
    await world.quiet()
    for number in range(7):
        data = f"content {number}".encode()
        assert whole(clara, [blake3(data).digest()]) == data


async def test_small_file_that_was_put_together_from_a_large_one_here_is_kept_too(
    world: World, autojump_clock: MockClock
) -> None:
    large = random.Random(2).randbytes(OWNED_FILE_BYTES_MAX + MIB)
    anna, berta = await received(world, large)
    small = large[:MIB]
    sent = anna.sent_bytes
    anna.write("small", small)
    await world.converge()
    await trio.sleep(5)
    assert anna.sent_bytes - sent < MIB  # most of its blocks are in the large file here
    berta.write("small", "written over by hand")
    berta.write("r", "so was the large one")
    await world.converge()
    world.part()
    assert whole(berta, blocks_of(berta, small)) == small


async def test_large_file_that_is_received_does_not_take_the_disk_twice(
    world: World, autojump_clock: MockClock
) -> None:
    _anna, berta = await received(world, random.Random(3).randbytes(OWNED_FILE_BYTES_MAX + 1))
    assert packs_bytes(berta) < MIB


async def test_large_version_that_another_machine_replaces_stays_readable_here(
    world: World, autojump_clock: MockClock
) -> None:
    """It is in no pack until it has to make room."""
    large = random.Random(4).randbytes(OWNED_FILE_BYTES_MAX + 1)
    anna, berta = await received(world, large)
    overwrite(anna)
    await world.converge()
    world.part()
    assert whole(berta, blocks_of(berta, large)) == large


async def test_large_older_version_that_a_joiner_brings_and_nobody_else_has_stays_readable(
    world: World, autojump_clock: MockClock
) -> None:
    data = random.Random(1).randbytes(OWNED_FILE_BYTES_MAX + MIB)
    (anna,) = await world.sharing("anna")
    (anna.root / "r").write_bytes(data)
    os.utime(anna.root / "r", (10**9, 10**9))
    anna.look()
    await world.quiet()
    await trio.sleep(5)
    clara = world.machine("clara")
    shutil.copy2(anna.root / "r", clara.root / "r")
    overwrite(anna)
    anna.look()
    await world.quiet()
    await clara.join(anna)
    world.join_up()
    await world.converge()
    assert clara.files() == {"r": "written over by hand"}
    assert whole(clara, blocks_of(clara, data)) == data
