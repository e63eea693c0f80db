"""A directory that a node may not read holds nothing else up, and nothing in it counts as gone."""

import pytest
import trio

from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.paths import IGNORE_FILE
from tests.lab.deeds import (
    WAYS,
    about_to_be_shown,
    killed_as,
    old_file,
    rename,
    two_that_share,
    until,
    versions,
    write,
)


async def goes_on(world: World, anna: Machine, berta: Machine) -> None:
    """Berta's drive takes in what anna does elsewhere; and all is well once berta may read everything."""
    world.network.unblock(WAYS)
    write(anna, "other", b"other")
    await until(lambda: berta.disk.exists("other"))
    berta.permit_all()
    await world.heal()
    await world.converge()


@pytest.mark.parametrize("who", ["anna", "berta"])
def test_rules_come_to_hide_what_is_in_it(who: str) -> None:
    """The drive ended in an error, and met it again at each start."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/f.bin", b"some")
        await world.converge()
        drive = berta.drive
        berta.forbid("d", reading=True)
        await trio.sleep(10)
        write(world.machine(who), IGNORE_FILE, b"*.bin\n")
        await trio.sleep(20)
        await goes_on(world, anna, berta)
        assert berta.drive is drive

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("executable", [False, True])
@pytest.mark.parametrize(("old", "new"), [("f", "d/g"), ("d/f", "g")])
def test_node_is_killed_between_a_rename_and_noting_it(old: str, new: str, executable: bool) -> None:
    """``executable``: the file got that with its new name."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/beside", b"beside")
        await old_file(world, anna, old)
        world.network.block(WAYS)
        rename(anna, old, new)
        if executable:
            anna.disk.chmod(new, True)
            world.oracle.chmodded("anna", new)
        await about_to_be_shown(world, anna)
        await killed_as(world, berta, "set_metadata" if executable else "move")
        records = [versions(anna, path) for path in (old, new)]
        assert berta.disk.exists(new)
        berta.forbid("d", reading=True)
        await berta.start()
        await trio.sleep(5)
        await goes_on(world, anna, berta)
        assert berta.disk.exists(new)
        assert [versions(anna, path) for path in (old, new)] == records

    run_simulated(lambda: within_world(1, story), 1)


def test_it_is_closed_while_a_conflict_in_it_is_settled() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/f", b"first")
        await world.converge()
        await trio.sleep(10)
        drive = berta.drive
        world.network.block(WAYS)
        write(anna, "d/f", b"by anna")
        await trio.sleep(1)
        write(berta, "d/f", b"by berta")
        await trio.sleep(5)
        berta.ambushes.append(
            Ambush("before", "sync_directories", 0, lambda _: berta.forbid("d", reading=True))
        )
        await goes_on(world, anna, berta)
        assert not berta.ambushes
        assert berta.drive is drive
        assert len(berta.disk.tree()) == 4  # d, f, its copy, and the other

    run_simulated(lambda: within_world(1, story), 1)
