"""What persons do on machines of a simulated world, with the oracle watching."""

from collections.abc import Callable

import trio

from p2pdrive.lab.machine import Machine
from p2pdrive.lab.world import World
from p2pdrive.model.record import Record

#: Between anna and berta, both ways.
WAYS = [("anna", "berta"), ("berta", "anna")]


async def two_that_share(world: World, role: str = "editor") -> tuple[Machine, Machine]:
    """Anna and berta, in sync; ``role`` is berta's."""
    anna, berta = world.add_machine("anna"), world.add_machine("berta", role)
    await world.share(anna)
    await world.join(berta)
    await world.converge()
    return anna, berta


def write(machine: Machine, path: str, data: bytes) -> None:
    before = machine.disk.read(path) if machine.disk.exists(path) else None
    machine.disk.write(path, data)
    machine.world.oracle.wrote(machine.name, path, data, before)


def delete(machine: Machine, path: str) -> None:
    data = machine.disk.read(path)
    machine.disk.delete(path)
    machine.world.oracle.deleted(machine.name, path, data)


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
