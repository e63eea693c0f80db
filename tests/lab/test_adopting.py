"""A folder that is joined with what a person had in it: what others know of it comes first."""

import pytest
import trio

from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.paths import IGNORE_FILE
from tests.lab.deeds import WAYS, delete, two_that_share, until, versions, write


@pytest.mark.parametrize("own_rules", [False, True])
def test_what_the_others_rules_hide_is_not_published_by_who_joins(own_rules: bool) -> None:
    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        write(anna, IGNORE_FILE, b"away/\n")
        await world.converge()
        dora = world.add_machine("dora")
        write(dora, "away/secret", b"secret")
        write(dora, "f", b"plain")
        if own_rules:
            await trio.sleep(10)
            write(dora, IGNORE_FILE, b"away/secret\n")
        await world.join(dora)
        await until(lambda: anna.disk.exists("f"))
        await world.converge()
        assert not versions(anna, "away/secret")
        assert dora.disk.read("away/secret") == b"secret"

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_that_nobody_can_give_keep_nobody_from_joining() -> None:
    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        world.network.block(WAYS)
        write(anna, IGNORE_FILE, b"away/\n")
        await trio.sleep(5)
        anna.disk.forbid(IGNORE_FILE, reading=True)
        dora = world.add_machine("dora")
        write(dora, "f", b"plain")
        await world.join(dora)
        await until(lambda: anna.disk.exists("f"))
        anna.permit_all()
        await world.heal()
        await world.converge()
        assert dora.disk.read(IGNORE_FILE) == b"away/\n"

    run_simulated(lambda: within_world(1, story), 1)


def test_what_others_deleted_in_a_folder_that_cannot_be_read_yet_does_not_come_back() -> None:
    """The folder is looked into in more than one step; each left more of it to be taken for new."""

    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        names = [f"d/{number}" for number in range(600)]
        for name in names:
            write(anna, name, name.encode())
        await world.converge()
        for name in names:
            delete(anna, name)
        await world.converge()
        dora = world.add_machine("dora")
        for name in names:
            write(dora, name, name.encode())
        dora.forbid("d", reading=True)
        await world.join(dora)
        await until(lambda: dora.drive is not None and not dora.drive.replica.adopting)
        dora.permit_all()
        await trio.sleep(60)
        await world.converge()
        assert dora.disk.tree().keys() <= {"d"}
        assert all(len(versions(anna, name)) == 2 for name in names)
        assert dora.drive is not None
        assert not dora.drive.replica.left_to_adopt

    run_simulated(lambda: within_world(1, story), 1)
