"""Conflict copies that the index does not know: a kill left them, or a person brought them back."""

from itertools import permutations

import pytest
import trio

from p2pdrive.lab.machine import Ambush
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import delete, rename, two_that_share, versions, write


async def in_conflict(world: World, ignorant: str) -> str:
    """The copy of berta's version that berta or anna, and clara show; anna's is later. The third is
    ``ignorant`` of the conflict. All are parted."""
    anna, berta = await two_that_share(world)
    clara = world.add_machine("clara")
    await world.join(clara)
    await world.converge()
    for parted in permutations(("anna", "berta", "clara"), 2):
        world.network.block([parted])
    for machine in (berta, anna):
        write(machine, "f", b"by " + machine.name.encode())
        await trio.sleep(5)
    for machine in sorted((anna, berta), key=lambda machine: machine.name != ignorant):
        world.network.unblock([(machine.name, "clara"), ("clara", machine.name)])
        await trio.sleep(60)
        world.network.block([(machine.name, "clara"), ("clara", machine.name)])
    (copy,) = clara.disk.tree().keys() - {"f"}
    return str(copy)


@pytest.mark.parametrize("where", ["in the drive", "out of it"])
@pytest.mark.parametrize("name", ["anna", "berta"])
def test_copy_that_a_person_takes_away_and_brings_back_is_there_again(where: str, name: str) -> None:
    """Seed 459712659: it was removed again at once, as the conflict was settled by taking it away."""

    async def story(world: World) -> None:
        copy = await in_conflict(world, "anna")
        person = world.machine(name)
        person.disk.make_directory("away")
        world.oracle.made_directory(name, "away")
        write(person, ".p2pdriveignore", b"away/\n")
        await world.heal()
        await world.converge()
        place = "elsewhere" if where == "in the drive" else "away/f"
        rename(person, copy, place)
        await world.converge()
        assert not any(machine.disk.exists(copy) for machine in world.machines)
        rename(person, place, copy)
        await world.converge()
        for machine in world.machines:
            assert machine.disk.read(copy) == b"by berta"
            assert not machine.disk.exists("elsewhere")

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("name", ["anna", "berta"])
def test_copy_made_just_before_a_kill_and_settled_meanwhile_is_no_file_of_its_own(name: str) -> None:
    """Anna makes it anew; berta moves her own version there."""

    async def story(world: World) -> None:
        copy = await in_conflict(world, name)
        killed, clara = world.machine(name), world.machine("clara")
        killed.ambushes.append(Ambush("after", "publish", 0, lambda _: killed.kill()))
        world.network.unblock([(name, "clara"), ("clara", name)])
        await trio.sleep(60)
        assert not killed.alive
        assert killed.disk.tree().keys() == {"f", copy}
        delete(clara, copy)
        await trio.sleep(5)
        for path in ("f", copy):
            killed.forbid(path, reading=True)  # so that it hears of that first
        await killed.start()
        await trio.sleep(30)
        killed.permit_all()
        await world.heal()
        await world.converge()
        assert all(machine.disk.tree().keys() == {"f"} for machine in world.machines)
        assert versions(clara, copy) == []

    run_simulated(lambda: within_world(1, story), 1)
