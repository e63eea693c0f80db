"""What persons do on machines of a simulated world, with the oracle watching."""

from collections.abc import Callable
from random import Random

import trio

from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.network import Quality
from p2pdrive.lab.world import World
from p2pdrive.model.record import Record

#: It takes its time over a slow link.
LARGE = Random(3).randbytes(3_900_000)

#: Between anna and berta, both ways.
WAYS = [("anna", "berta"), ("berta", "anna")]


async def two_that_share(world: World, role: str = "editor") -> tuple[Machine, Machine]:
    """Anna and berta, in sync; ``role`` is berta's."""
    anna, berta = world.add_machine("anna"), world.add_machine("berta", role)
    await world.share(anna)
    await world.join(berta)
    await world.converge()
    return anna, berta


async def about_to_lose(world: World, wins: str) -> tuple[Machine, Machine]:
    """Anna, and berta whose ``f`` loses to what anna made there; they are parted."""
    anna, berta = await two_that_share(world)
    world.network.block(WAYS)
    write(berta, "f", b"by berta")
    await trio.sleep(5)
    if wins == "directory":
        anna.disk.make_directory("f")
    else:
        write(anna, "f" if wins == "file" else "f/x", b"by anna")
    await trio.sleep(5)
    return anna, berta


def write(machine: Machine, path: str, data: bytes) -> None:
    before = machine.disk.read(path) if machine.disk.exists(path) else None
    machine.disk.write(path, data)
    machine.world.oracle.wrote(machine.name, path, data, before)


def delete(machine: Machine, path: str) -> None:
    data = machine.disk.read(path)
    machine.disk.delete(path)
    machine.world.oracle.deleted(machine.name, path, data)


def remove_directory(machine: Machine, path: str) -> None:
    machine.disk.remove_directory(path)
    machine.world.oracle.deleted(machine.name, path, None)


def rename(machine: Machine, old: str, new: str) -> None:
    machine.disk.rename(old, new)
    machine.world.oracle.renamed(machine.name, old, new)


def versions(machine: Machine, path: str) -> list[Record]:
    """All that the machine's log has of the path."""
    assert machine.drive is not None
    with machine.drive.replica.reading() as log:
        return sorted(log.registers.versions(path), key=lambda record: (record.actor, record.seq))


async def until(condition: Callable[[], object], pause: float = 0.001) -> None:
    """Wait for it by the virtual clock, two minutes at most; ``pause`` seconds between two looks."""
    with trio.fail_after(120):
        while not condition():  # noqa: ASYNC110 - nothing tells
            await trio.sleep(pause)


def begin_to_receive(world: World) -> None:
    """What anna did goes to berta now, slowly."""
    world.network.set_quality("anna", "berta", Quality(0.01, 0.0, 1e5))
    world.network.unblock(WAYS)


async def killed_as(world: World, berta: Machine, step: str, when: str = "after") -> None:
    """Wait until berta was killed right after ``step`` (or before), and part her from anna."""
    berta.ambushes.append(Ambush(when, step, 0, lambda _: berta.kill()))
    await trio.sleep(100)
    assert not berta.alive
    world.network.block(WAYS)


async def started_again(world: World, killed: Machine, *unreadable: str) -> None:
    """It looks at its folder first, but for what it cannot read yet, and hears of the others then."""
    for path in unreadable:
        killed.forbid(path, reading=True)
    await killed.start()
    await trio.sleep(30)
    killed.permit_all()
    await world.heal()
    await world.converge()


async def old_file(world: World, anna: Machine, path: str) -> None:
    """So old when it is first looked at that a rename of it is known as one."""
    await anna.stop()
    write(anna, path, b"old")
    await trio.sleep(10)
    await anna.start()
    await world.converge()


def show_late(machine: Machine, seconds: float) -> None:
    """What it has decided to show is shown so much later: its disk is busy, say."""
    assert machine.drive is not None
    materialiser = machine.drive.materialiser
    offload = materialiser._offload

    async def late(work: Callable[..., object], *arguments: object) -> object:
        if work == materialiser._shower.show:
            await trio.sleep(seconds)
        return await offload(work, *arguments)

    materialiser._offload = late  # type: ignore[assignment]


async def about_to_be_shown(world: World, anna: Machine) -> None:
    """What anna did last is recorded, and berta has decided to show it."""
    await trio.sleep(5)
    write(anna, "large", LARGE)
    await trio.sleep(5)
    show_late(world.machine("berta"), 30)
    begin_to_receive(world)
    await trio.sleep(5)
