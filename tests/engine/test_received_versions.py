"""What p2pdrive replaces stays readable in history: of what a person replaces, with the other members."""

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
async def test_received_version_that_is_changed_here_stays_readable_where_p2pdrive_replaces_it(
    world: World, autojump_clock: MockClock, change: object, data: bytes
) -> None:
    anna, berta = await received(world, data)
    change(berta)  # type: ignore[operator]
    await world.converge()
    world.part()
    await berta.stop()
    await anna.restart()
    assert whole(anna, blocks_of(anna, data)) == data
    told = versions(anna.replica, "r")
    assert len(told) == 2
    assert all(version.readable for version in told)


async def test_version_of_a_version_of_a_version(world: World, autojump_clock: MockClock) -> None:
    """Changed at both ends in turn: together they keep all."""
    anna, berta = await received(world, b"version 0")
    for number in range(1, 6):
        (anna if number % 2 else berta).write("r", f"version {number}")
        await world.converge()
        await trio.sleep(5)
    for machine in (anna, berta):
        overwrite(machine)  # nothing may be read from the file itself any more
    for number in range(6):
        data = f"version {number}".encode()
        assert data in {whole(machine, [blake3(data).digest()]) for machine in (anna, berta)}


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
    for path in files:
        clara.write(path, "gone over")
    clara.look()
    await world.converge()
    for number in range(7):
        data = f"content {number}".encode()
        assert whole(anna, [blake3(data).digest()]) == data


@pytest.mark.parametrize("data", [SMALL, MEDIUM], ids=["small", "of several blocks"])
async def test_first_version_takes_no_disk_but_its_own_on_either_machine(
    world: World, autojump_clock: MockClock, data: bytes
) -> None:
    for machine in await received(world, data):
        assert packs_bytes(machine) == 0


async def test_second_version_of_a_persons_own_outlives_their_third(
    world: World, autojump_clock: MockClock
) -> None:
    (anna,) = await world.sharing("anna", files={"r": "first"})
    for text in ("second", "third"):
        await trio.sleep(5)
        anna.write("r", text)
        anna.look()
        await world.quiet()
    assert whole(anna, [blake3(b"second").digest()]) == b"second"
    assert whole(anna, [blake3(b"first").digest()]) is None


async def test_large_version_that_another_machine_replaces_stays_readable_here(
    world: World, autojump_clock: MockClock
) -> None:
    """It is in no pack: the file itself is kept."""
    large = random.Random(4).randbytes(OWNED_FILE_BYTES_MAX + 1)
    anna, berta = await received(world, large)
    overwrite(anna)
    await world.converge()
    world.part()
    assert whole(berta, blocks_of(berta, large)) == large
    assert packs_bytes(berta) == 0


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
