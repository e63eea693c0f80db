"""A hostile peer in a simulated world: whatever it does, the honest ones keep all promises."""

from random import Random

import pytest
import trio

from p2pdrive.lab.attacks import ATTACKS, attack
from p2pdrive.lab.checkers import Violation, checkers, unobtainable
from p2pdrive.lab.hostile import Mallory
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.wire.messages import Blocks, GetBlocks, Pull


async def shared(world: World) -> None:
    anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
    await world.share(anna)
    await world.join(berta)
    anna.disk.write("a.txt", b"a")
    world.oracle.wrote("anna", "a.txt", b"a", None)
    await world.converge()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_harms_nobody(name: str) -> None:
    async def story(world: World) -> None:
        await shared(world)
        them = checkers()
        for number in range(3):
            victim = world.machines[number % 2]
            assert await attack(world, victim, Random(f"{name} {number}"), name) == name
            for one in them:
                one.during(world)
        world.machines[1].disk.write("b.txt", b"life goes on")
        world.oracle.wrote("berta", "b.txt", b"life goes on", None)
        await trio.sleep(60)
        assert world.machines[0].disk.read("b.txt") == b"life goes on"
        assert all(path.startswith("mallory") for path in unobtainable(world))
        for one in them:
            one.at_rest(world)
        for one in them:
            one.after(world)
        world.failures.check()

    run_simulated(lambda: within_world(1, story), 1)


def test_a_world_that_is_attacked_is_not_at_rest() -> None:
    """Seed 993522779: what a member at odds with the others wrote came 12 s after all had converged."""

    async def story(world: World) -> None:
        await shared(world)
        victim = world.machines[0]
        world.nursery.start_soon(attack, world, victim, Random(2), "lie about blocks")
        await trio.sleep(0.1)
        assert world.attacks == 1
        await world.converge()
        assert world.attacks == 0

    run_simulated(lambda: within_world(1, story), 1)


def test_a_stranger_that_was_given_anything_is_told_on() -> None:
    async def story(world: World) -> None:
        await shared(world)
        async with trio.open_nursery() as nursery:
            mallory = Mallory(world, world.machines[0], Random(1), nursery)
            assert await mallory.enter("viewer")
            mallory.member = False  # it only says so
            await mallory.send(Pull(mallory.tag, 1, ()))
            await mallory.until(lambda: world.oracle.seen.leaks)
            nursery.cancel_scope.cancel()
        with pytest.raises(Violation, match="Batches"):
            next(one for one in checkers() if one.name == "Authority").during(world)

    run_simulated(lambda: within_world(1, story), 1)


def test_a_member_is_served() -> None:
    """So that the attacks that are to fail do not fail for another reason."""

    async def story(world: World) -> None:
        await shared(world)
        async with trio.open_nursery() as nursery:
            mallory = Mallory(world, world.machines[0], Random(1), nursery)
            assert await mallory.enter("viewer")
            drive = world.machines[0].drive
            assert drive is not None
            with drive.replica.reading() as log:
                (block,) = log.connection.execute("SELECT block FROM borrowed").fetchone()
            await mallory.send(GetBlocks(mallory.tag, 1, (block,)))
            assert await mallory.until(lambda: mallory.heard(Blocks))
            assert mallory.heard(Blocks)[0].pieces == ((0, 1),)
            nursery.cancel_scope.cancel()

    run_simulated(lambda: within_world(1, story), 1)
