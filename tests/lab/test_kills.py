"""A kill between two steps that belong together; each was a bug that the simulated world found."""

import pytest
import trio

from p2pdrive.lab.evidence import files_in
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.record import Kind
from tests.lab.deeds import (
    LARGE,
    WAYS,
    about_to_lose,
    begin_to_receive,
    delete,
    remove_directory,
    rename,
    show_late,
    started_again,
    two_that_share,
    until,
    versions,
    write,
)


async def killed_as_its_version_lost(world: World, when: str, step: str) -> tuple[Machine, Machine]:
    """Anna, and berta whose version of ``f`` lost to anna's, and who was killed as that was to be shown."""
    anna, berta = await two_that_share(world)
    write(anna, "f", b"first")
    await world.converge()
    world.network.block(WAYS)
    write(berta, "f", b"earlier, so it loses")
    await trio.sleep(5)
    write(anna, "f", b"later, so it wins")
    await trio.sleep(5)
    berta.ambushes.append(Ambush(when, step, 0, lambda _: berta.kill()))
    world.network.unblock(WAYS)
    await trio.sleep(60)
    assert not berta.alive
    return anna, berta


@pytest.mark.parametrize("step", ["move:judge", "publish"])
def test_kill_between_keeping_a_losing_version_aside_and_noting_it_deletes_nothing(step: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await killed_as_its_version_lost(world, "before", step)
        world.network.block(WAYS)
        await berta.start()
        await trio.sleep(30)
        world.network.unblock(WAYS)
        await world.heal()
        await world.converge()

        contents = sorted(files_in(berta.disk.tree()).values())
        assert contents == [b"earlier, so it loses", b"later, so it wins"]
        assert anna.disk.tree() == berta.disk.tree()
        known = [record for path in berta.disk.tree() for record in versions(berta, path)]
        assert all(record.content.kind is not Kind.DELETED for record in known)
        assert {record.path for record in known} == {"f"}

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("seed", range(8))
def test_edit_after_a_kill_that_left_a_losing_version_aside_replaces_what_was_there_and_not_that(
    seed: int,
) -> None:
    """Seed 2724184641: it was taken for an edit of the losing version, whose copy was then removed."""

    async def story(world: World) -> None:
        anna, berta = await killed_as_its_version_lost(world, "after", "publish")
        assert berta.disk.read("f") == b"later, so it wins"
        write(berta, "f", b"an edit of that")
        berta.slow = 10.0
        await berta.start()
        await world.heal()
        await world.converge()
        shown = {content[1] for content in berta.disk.tree().values()}
        assert shown >= {b"earlier, so it loses", b"an edit of that"}
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(4))  # in some of them the copy is settled before its path
@pytest.mark.parametrize("anew", [False, True])
@pytest.mark.parametrize("wins", ["file", "directory", "inside"])
def test_copy_that_was_made_right_before_a_kill_and_edited_since_is_no_deletion_of_its_path(
    wins: str, anew: bool, seed: int
) -> None:
    """Seed 3525523583."""

    async def story(world: World) -> None:
        anna, berta = await about_to_lose(world, wins)
        berta.ambushes.append(Ambush("before", "move:judge", 0, lambda _: berta.kill()))
        world.network.unblock(WAYS)
        await trio.sleep(30)
        assert not berta.alive
        (copy,) = berta.disk.tree()
        if anew:
            delete(berta, copy)
        write(berta, copy, b"an edit of the copy")
        await berta.start()
        await world.heal()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        shown = sorted(files_in(berta.disk.tree()).values())
        assert shown == [b"an edit of the copy", *([] if wins == "directory" else [b"by anna"])]
        assert all(record.content.kind is not Kind.DELETED for record in versions(berta, "f"))

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(6))
def test_kill_as_a_file_makes_room_for_what_others_put_into_a_directory_there_deletes_nothing(
    seed: int,
) -> None:
    """The path has one head, the file, and is a directory by what is in it alone."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f/x", b"one")
        await world.converge()
        world.network.block(WAYS)
        delete(berta, "f/x")
        remove_directory(berta, "f")
        write(berta, "f", b"a file of berta")
        await trio.sleep(10)
        write(anna, "f/y", b"two")
        await trio.sleep(10)
        berta.ambushes.append(Ambush("before", "make_directory", 0, lambda _: berta.kill()))
        world.network.unblock(WAYS)
        await trio.sleep(60)
        assert not berta.alive
        world.network.block(WAYS)
        berta.slow = 10.0
        await berta.start()
        await trio.sleep(30)
        world.network.unblock(WAYS)
        await world.heal()
        await world.converge()
        assert sorted(files_in(berta.disk.tree()).values()) == [b"a file of berta", b"two"]

    run_simulated(lambda: within_world(seed, story), seed)


def test_folder_restored_right_after_it_was_announced_takes_a_new_actor() -> None:
    """Seed 6: what the home noted of our log every 30 s was too late."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        backup = anna.back_up()
        write(anna, "f", b"after the backup")
        await world.converge()
        known = anna.dots()
        world.network.block(WAYS)
        anna.put_back(backup)
        await anna.start()
        write(anna, "g", b"after the restore")
        await trio.sleep(30)
        for dot, record in anna.dots().items():
            assert known.get(dot, record) == record
        world.network.unblock(WAYS)
        await world.heal()
        await world.converge()
        assert anna.disk.tree().keys() == berta.disk.tree().keys() == {"f", "g"}
        for dot, record in (anna.dots() | berta.dots()).items():
            assert known.get(dot, record) == record

    run_simulated(lambda: within_world(1, story), 1)


def test_directory_that_is_removed_as_soon_as_it_is_made_does_not_part_the_trees() -> None:
    """Seed 711: it was noted as deleted, and neither published nor shown again."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)

        def remove(path: str) -> None:
            berta.disk.remove_directory(path)
            world.oracle.deleted(berta.name, path, None)

        berta.ambushes.append(Ambush("after", "make_directory", 0, remove))
        anna.disk.make_directory("new")
        world.oracle.made_directory(anna.name, "new")
        await trio.sleep(10)
        assert not berta.ambushes
        await world.heal()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


def test_kill_before_a_file_that_was_brought_along_got_its_mode_does_not_leave_it_without() -> None:
    """Seed 3235800698: it was noted as what the heads say, and looked at as such ever after."""

    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna"), world.add_machine("berta")
        await world.share(anna)
        write(anna, "f", b"the same")
        write(berta, "f", b"the same")
        berta.disk.chmod("f", executable=True)
        world.oracle.chmodded("berta", "f")
        await world.join(berta)
        berta.ambushes.append(Ambush("before", "set_metadata", 0, lambda _path: berta.kill()))
        await until(lambda: not berta.alive)
        await berta.start()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


def test_file_renamed_there_and_back_as_it_is_looked_at_is_not_published_as_deleted() -> None:
    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        await anna.stop()
        write(anna, "f", b"old when it is first looked at, so that a rename is known as one")
        await trio.sleep(10)
        await anna.start()
        await world.converge()
        await anna.stop()
        rename(anna, "f", "g")
        anna.ambushes.append(Ambush("before", "sync_files", 0, lambda _: rename(anna, "g", "f")))
        await anna.start()
        await trio.sleep(30)
        await world.converge()
        assert [record.content.live for record in (*versions(anna, "f"), *versions(anna, "g"))] == [True]

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("step", ["make_directory", "publish"])
def test_directory_made_for_what_is_in_it_right_before_a_kill_does_not_come_back_for_all(step: str) -> None:
    """It was shown late, and others deleted it meanwhile."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        world.network.block(WAYS)
        write(anna, "c", LARGE * 3)
        write(anna, "d/f", LARGE[:1_200_000][::-1])
        await trio.sleep(5)
        show_late(berta, 60)
        begin_to_receive(world)
        berta.ambushes.append(Ambush("after", step, 0, lambda _: berta.kill()))
        await trio.sleep(30)
        delete(anna, "d/f")
        remove_directory(anna, "d")
        await trio.sleep(200)
        assert not berta.alive
        assert berta.disk.exists("d")
        world.network.block(WAYS)
        await started_again(world, berta)
        assert anna.disk.tree().keys() == berta.disk.tree().keys() == {"c"}

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("long", [False, True])
@pytest.mark.parametrize("what", ["edited", "deleted"])
def test_kill_before_a_displaced_version_with_a_long_path_is_put_away(long: bool, what: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        path = "/".join(["a directory with a long name of some forty letters"] * 5 + ["f"]) if long else "d/f"
        write(anna, path, b"first")
        await world.converge()
        world.network.block(WAYS)
        if what == "edited":
            write(anna, path, b"second")
        else:
            delete(anna, path)
        await trio.sleep(5)
        berta.ambushes.append(
            Ambush("after", "publish" if what == "edited" else "remove", 0, lambda _: berta.kill())
        )
        world.network.unblock(WAYS)
        await trio.sleep(60)
        assert not berta.alive
        await berta.start()
        await world.heal()
        await world.converge()
        assert sorted(files_in(anna.disk.tree())) == ([path] if what == "edited" else [])

    run_simulated(lambda: within_world(1, story), 1)
