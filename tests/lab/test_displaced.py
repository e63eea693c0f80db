"""What a person does to a path in the middle of a write of ours."""

import errno

import pytest
import trio

from p2pdrive.lab.evidence import content_of, files_in, readable
from p2pdrive.lab.machine import Ambush
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import (
    LARGE,
    WAYS,
    begin_to_receive,
    delete,
    old_file,
    remove_directory,
    rename,
    two_that_share,
    write,
)


@pytest.mark.parametrize("by", ["file", "link"])
@pytest.mark.parametrize("restarted", [False, True])
def test_edit_whose_directory_is_something_else_by_then_is_put_elsewhere(by: str, restarted: bool) -> None:
    """It stayed displaced for ever."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/f", b"first")
        await world.converge()

        def replace_directory(_: str) -> None:
            remove_directory(berta, "d")
            if by == "file":
                write(berta, "d", b"a file")
            else:
                berta.disk.symlink("d", "e")
                world.oracle.linked("berta", "d", "e")

        berta.ambushes.append(Ambush("before", "remove:take", 0, lambda _: write(berta, "d/f", b"edit")))
        berta.ambushes.append(Ambush("before", "remove:judge", 0, replace_directory))
        delete(anna, "d/f")
        await trio.sleep(60)
        assert not berta.ambushes
        if restarted:
            berta.kill()
            await berta.start()
        await world.converge()
        assert b"edit" in [shown[1] for shown in anna.disk.tree().values() if shown[0] == "file"]

    run_simulated(lambda: within_world(1, story), 1)


def test_file_that_cannot_be_read_as_it_is_replaced_keeps_nothing_else_from_being_shown() -> None:
    """The drive as a whole ended in an error, and what was shown in the same run was not noted."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"first")
        await world.converge()
        drive = berta.drive

        def forbid(_: str) -> None:
            berta.forbid("f", reading=True)

        berta.ambushes.append(Ambush("before", "publish:exchange", 0, forbid))
        write(anna, "f", b"second")
        await trio.sleep(60)
        assert not berta.ambushes
        assert berta.drive is drive
        assert berta.disk.read("f") == b"second"

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("role", ["editor", "viewer"])
@pytest.mark.parametrize("data", [b"by berta", LARGE])
def test_move_aside_that_an_old_disk_can_neither_do_nor_undo_is_no_deletion(role: str, data: bytes) -> None:
    """What stood there was in the history alone."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world, role)
        berta.disk.modern = False
        world.network.block(WAYS)
        write(berta, "f", data)
        await trio.sleep(5)
        write(anna, "f", b"by anna")
        await trio.sleep(5)
        berta.disk.fail("publish", "*", OSError(errno.EIO, "I/O error"), 100_000)
        begin_to_receive(world)
        await trio.sleep(60)
        berta.disk.work()
        await trio.sleep(60)
        await world.converge()
        assert sorted(files_in(berta.disk.tree()).values()) == sorted([b"by anna", data])
        assert role == "viewer" or berta.disk.tree() == anna.disk.tree()
        assert berta.drive is not None
        assert not berta.drive.replica.files.displaced()  # its blocks are kept for the others

    run_simulated(lambda: within_world(1, story), 1)


def test_rename_that_an_old_disk_can_neither_do_nor_undo_is_done_later() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        berta.disk.modern = False
        await old_file(world, anna, "f")
        berta.disk.fail("publish", "*", OSError(errno.EIO, "I/O error"), 100_000)
        rename(anna, "f", "g")
        await trio.sleep(60)
        anna.kill()
        berta.disk.work()
        await trio.sleep(600)
        assert files_in(berta.disk.tree()) == {"g": b"old"}

    run_simulated(lambda: within_world(1, story), 1)


def test_files_that_are_read_in_parts_still_hold_their_blocks() -> None:
    """What was read short counted as edited, and its blocks were nowhere any more."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        anna.disk.short_reads = True
        for number in range(8):
            write(anna, f"f{number}", b"%d" % number * 5000)
        await world.converge()
        assert readable(anna, contents := [content_of(b"%d" % number * 5000) for number in range(8)]) == {
            content.root for content in contents
        }
        assert files_in(berta.disk.tree()) == files_in(anna.disk.tree())

    run_simulated(lambda: within_world(1, story), 1)


def test_version_that_is_removed_while_reads_are_short_stays_in_the_history() -> None:
    """Seed 8: what was read short counted as edited, and the only copy of the version was let go."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"the only version" * 100)
        await world.converge()
        berta.disk.short_reads = True
        delete(anna, "f")
        await world.converge()
        content = content_of(b"the only version" * 100)
        assert readable(berta, [content]) == {content.root}

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("kept", ["shown", "archived"])
def test_file_that_is_read_short_is_still_what_the_index_has_of_it(kept: str) -> None:
    """What was read short counted as edited, and was not read from there any more."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", LARGE)
        await world.converge()
        if kept == "archived":
            delete(anna, "f")
            await world.converge()
        berta.disk.short_reads = True
        content = content_of(LARGE)
        for _ in range(3):
            assert readable(berta, [content]) == {content.root}

    run_simulated(lambda: within_world(1, story), 1)
