"""Edits that keep size and time, made to what the node had just put there when it was killed."""

import pytest
import trio

from p2pdrive.lab.evidence import files_in
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import WAYS, old_file, rename, two_that_share, write


def edit_as_it_was(machine: Machine, path: str, data: bytes) -> None:
    """Write in place as many bytes as there were, and set the time back."""
    _, was, _, mtime_ns = machine.disk.tree()[path]
    assert isinstance(was, bytes) and isinstance(mtime_ns, int) and len(was) == len(data)
    write(machine, path, data)
    machine.disk.touch(path, mtime_ns)


@pytest.mark.parametrize(("when", "step"), [("after", "move"), ("before", "sync_directories")])
def test_file_that_was_renamed_here_before_the_kill_is_read(when: str, step: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        await berta.stop()
        await trio.sleep(5)
        await berta.start()
        await world.converge()
        berta.ambushes.append(Ambush(when, step, 0, lambda _: berta.kill()))
        rename(anna, "f", "g")
        await trio.sleep(60)
        assert not berta.alive
        assert files_in(berta.disk.tree()) == {"g": b"old"}
        edit_as_it_was(berta, "g", b"new")
        await berta.start()
        await world.heal()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        assert b"new" in files_in(anna.disk.tree()).values()

    run_simulated(lambda: within_world(1, story), 1)


def test_loser_that_was_moved_aside_before_the_kill_is_read() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"first")
        await world.converge()
        world.network.block(WAYS)
        write(berta, "f", b"earlier")
        await trio.sleep(5)
        write(anna, "f", b"later, so it wins")
        await trio.sleep(5)
        berta.ambushes.append(Ambush("before", "publish", 0, lambda _: berta.kill()))
        world.network.unblock(WAYS)
        await trio.sleep(60)
        assert not berta.alive
        (copy,) = files_in(berta.disk.tree())
        edit_as_it_was(berta, copy, b"EARLIER")
        await berta.start()
        await world.heal()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        assert b"EARLIER" in files_in(anna.disk.tree()).values()

    run_simulated(lambda: within_world(1, story), 1)
