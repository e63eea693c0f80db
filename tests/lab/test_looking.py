"""What a node sees of the folder while persons write to it, or while the disk fails."""

import errno

import trio
from blake3 import blake3

from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.manifest import Manifest


async def pair(world: World, grain_ns: int = 1) -> tuple[Machine, Machine]:
    """Anna, whose disk tells times by ``grain_ns``, and berta; they share a drive."""
    anna, berta = world.add_machine("anna", grain_ns=grain_ns), world.add_machine("berta")
    await world.share(anna)
    await world.join(berta)
    await world.converge()
    return anna, berta


def versions(machine: Machine, path: str) -> set[bytes]:
    """The roots of all contents that were ever published."""
    assert machine.drive is not None
    with machine.drive.replica.reading() as log:
        return {record.content.root for record in log.registers.versions(path)}


def root(data: bytes) -> bytes:
    return Manifest.single(len(data), blake3(data).digest()).root


def test_file_that_is_read_while_a_program_writes_it_is_published_when_it_is_whole() -> None:
    async def story(world: World) -> None:
        anna, berta = await pair(world)
        anna.disk.write("f", b"old and old")
        await world.converge()

        def write_half(_: str) -> None:
            anna.disk.write("f", b"new and old")

        def write_the_rest(_: str) -> None:
            anna.disk.write("f", b"new and new")

        anna.ambushes.append(Ambush("before", "readinto", 0, write_half))
        anna.ambushes.append(Ambush("before", "fstat", 0, write_the_rest))
        anna.disk.write("f", b"OLD AND OLD")
        await world.converge()
        assert not anna.ambushes
        assert berta.disk.read("f") == b"new and new"
        assert versions(berta, "f") == {root(b"old and old"), root(b"new and new")}

    run_simulated(lambda: within_world(1, story), 1)


def test_second_edit_of_the_same_size_within_one_tick_of_a_coarse_clock_is_seen() -> None:
    async def story(world: World) -> None:
        anna, berta = await pair(world, 2 * 10**9)
        await trio.sleep(2.1 - world.now_ns() / 1e9 % 2)  # just after a tick
        anna.disk.write("f", b"one")
        await trio.sleep(1)
        assert berta.disk.read("f") == b"one"
        before = anna.disk.tree()["f"]
        anna.disk.write("f", b"two")
        assert anna.disk.tree()["f"][2:] == before[2:]
        await world.converge()
        assert berta.disk.read("f") == b"two"

    run_simulated(lambda: within_world(1, story), 1)


def test_file_that_cannot_be_looked_at_for_a_while_counts_as_deleted_by_nobody() -> None:
    async def story(world: World) -> None:
        anna, berta = await pair(world)
        anna.disk.write("f", b"first")
        await world.converge()
        anna.disk.fail("stat", "f", OSError(errno.EIO, "I/O error"), 4)
        anna.disk.write("f", b"second")
        await world.converge()
        assert berta.disk.read("f") == b"second"
        assert versions(berta, "f") == {root(b"first"), root(b"second")}

    run_simulated(lambda: within_world(1, story), 1)
