"""What kept something from being shown or looked at is over: the node acts at once, not at its next try."""

import errno
from collections.abc import Callable

import pytest
import trio

from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.model.record import Grant, Role
from tests.lab.deeds import (
    delete,
    old_file,
    remove_directory,
    rename,
    show_late,
    two_that_share,
    until,
    versions,
    write,
)

#: Seconds after which the pause until the next try is as long as it gets.
_LONG = 1300
_SOON = 20


async def soon(condition: Callable[[], object]) -> None:
    with trio.fail_after(_SOON):
        await until(condition, 0.1)


def is_well(machine: Machine) -> bool:
    return machine.drive is not None and not machine.drive.problems.all()


def test_directory_may_be_read_again() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/f", b"old")
        await world.converge()
        berta.forbid("d", reading=True)
        await trio.sleep(_LONG)
        assert not is_well(berta)
        berta.permit_all()
        await soon(lambda: is_well(berta))

    run_simulated(lambda: within_world(1, story), 1)


def test_hidden_file_goes_for_which_a_directory_deleted_elsewhere_stayed() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, IGNORE_FILE, b"*.tmp\n")
        write(anna, "d/f", b"old")
        await world.converge()
        write(berta, "d/x.tmp", b"own")
        delete(anna, "d/f")
        remove_directory(anna, "d")
        await trio.sleep(_LONG)
        assert not is_well(berta)
        delete(berta, "d/x.tmp")
        await soon(lambda: not berta.disk.exists("d"))

    run_simulated(lambda: within_world(1, story), 1)


def test_viewer_whose_edit_waits_becomes_an_editor() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world, "viewer")
        write(anna, "f", b"one")
        await world.converge()
        write(berta, "f", b"two")
        await trio.sleep(_LONG)
        assert anna.drive is not None
        assert berta.drive is not None
        replica, device = anna.drive.replica, berta.drive.replica.services.identity.device
        with replica.writing() as log, replica.author.writing(log) as pen:
            pen.admit(Grant(device, Role.EDITOR, "berta"))
        anna.drive.exchange.announce()
        await soon(lambda: anna.disk.read("f") == b"two")

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("path", ["d", "d/f"])
def test_pipe_goes_where_a_file_of_others_waits(path: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        berta.disk.make_other("d")
        await trio.sleep(10)
        write(anna, path, b"new")
        await trio.sleep(_LONG)
        assert not is_well(berta)
        berta.disk.delete("d")
        await soon(lambda: berta.disk.exists(path))

    run_simulated(lambda: within_world(1, story), 1)


def test_directory_that_a_viewer_could_not_read_goes_with_the_one_that_it_is_in() -> None:
    async def story(world: World) -> None:
        _, berta = await two_that_share(world, "viewer")
        write(berta, "a/d/f", b"own")
        berta.forbid("a/d", reading=True)
        await trio.sleep(_LONG)
        assert not is_well(berta)
        berta.permit_all()
        delete(berta, "a/d/f")
        for directory in ("a/d", "a"):
            remove_directory(berta, directory)
        await soon(lambda: is_well(berta))

    run_simulated(lambda: within_world(1, story), 1)


def test_old_name_of_a_rename_that_came_to_nothing_late_is_removed() -> None:
    """The rename had claimed it, so that its removal was passed over; and nobody woke for it."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        await trio.sleep(10)

        def copy(_: str) -> None:
            write(berta, "g", b"old")
            berta.disk.volume.find("g").mtime_ns = berta.disk.volume.find("f").mtime_ns

        show_late(berta, 1)
        berta.ambushes.append(Ambush("before", "move:rename", 0, copy))
        rename(anna, "f", "g")
        await soon(lambda: not berta.disk.exists("f"))
        assert not berta.ambushes

    run_simulated(lambda: within_world(1, story), 1)


def test_hidden_file_that_gets_a_name_in_sight_is_deleted_nowhere() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f.log")
        write(anna, IGNORE_FILE, b"*.log\n")
        await world.converge()
        await trio.sleep(10)
        rename(anna, "f.log", "g")
        await soon(lambda: berta.disk.exists("g"))
        await world.converge()
        assert len(versions(anna, "f.log")) == 1
        assert berta.disk.read("f.log") == b"old"

    run_simulated(lambda: within_world(1, story), 1)


def test_directory_that_could_not_be_listed_and_had_another_problem_meanwhile_is_looked_into_again() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/x", b"x")
        await world.converge()
        await berta.stop()
        write(berta, "d/z", b"new by berta")
        berta.disk.fail("list", "d", OSError(errno.EIO, "I/O error"), 100_000)
        await berta.start()
        await trio.sleep(30)
        delete(anna, "d/x")
        remove_directory(anna, "d")  # it cannot go, as it holds another file
        await trio.sleep(30)
        write(anna, "d/y", b"y")  # it need not go any more
        await trio.sleep(30)
        berta.disk.work()
        await trio.sleep(600)
        assert anna.disk.exists("d/z")

    run_simulated(lambda: within_world(1, story), 1)
