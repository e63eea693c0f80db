"""Power cuts just when something moves, or takes the place of something else: what was recorded stays."""

import errno

import pytest
import trio

from p2pdrive.lab.evidence import entries_of, files_in
from p2pdrive.lab.files import SimulatedFiles
from p2pdrive.lab.machine import Ambush
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import WAYS, delete, rename, two_that_share, until, versions, write


@pytest.mark.parametrize("seed", range(6))
def test_power_cut_after_a_file_was_renamed_just_before_it_was_synced_leaves_what_was_recorded(
    seed: int,
) -> None:
    """Seed 2922687981: a torn file was left, and published as an edit of what others had."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await anna.stop()
        write(anna, "f", b"what anna wrote")
        await trio.sleep(5)
        anna.ambushes.append(Ambush("before", "sync_files", 0, lambda path: rename(anna, path, "renamed")))
        await anna.start()
        await until(lambda: anna.drive and (versions(anna, "f") or versions(anna, "renamed")))
        anna.power_loss()
        await world.heal()
        await world.converge()
        assert [shown[1] for shown in berta.disk.tree().values()] == [b"what anna wrote"]
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(6))
def test_power_cut_after_a_directory_was_renamed_just_before_it_was_synced_leaves_what_was_recorded(
    seed: int,
) -> None:
    """Its file was recorded where it had been, with no durable name, and published as deleted."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)

        def act(path: str) -> None:
            if path == "d":
                rename(anna, path, "renamed")

        anna.disk.make_directory("d")
        write(anna, "d/f", b"what anna wrote")
        anna.ambushes += [Ambush("before", "sync_directories", count, act) for count in (0, 1)]
        await until(lambda: versions(anna, "d/f") or versions(anna, "renamed/f"))
        anna.power_loss()
        await world.heal()
        await world.converge()
        assert b"what anna wrote" in files_in(berta.disk.tree()).values()
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(6))
def test_power_cut_after_a_directory_was_renamed_as_something_was_shown_in_it_deletes_nothing(
    seed: int,
) -> None:
    """What was shown had no durable name, and was published as deleted."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        anna.disk.make_directory("d")
        await world.converge()

        def act(path: str) -> None:
            if path == "d":
                rename(berta, path, "renamed")

        berta.ambushes += [Ambush("before", "sync_directories", count, act) for count in (0, 1)]
        write(anna, "d/f", b"what anna wrote")
        await until(lambda: entries_of(berta).keys() & {"d/f", "renamed/f"})
        berta.power_loss()
        await world.heal()
        await world.converge()
        assert b"what anna wrote" in files_in(anna.disk.tree()).values()
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(6))
def test_power_cut_after_a_new_file_took_the_inode_of_the_old_one_leaves_what_was_recorded(seed: int) -> None:
    """Seed 932589843: its name was not made durable, and the old file was torn."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"first")
        await world.converge()
        before = SimulatedFiles(anna.disk).stat("f")
        await anna.stop()
        write(anna, "f", b"never synced")
        delete(anna, "f")
        write(anna, "f", b"last")
        after = SimulatedFiles(anna.disk).stat("f")
        assert before is not None and after is not None and before.inode == after.inode
        await anna.start()
        await trio.sleep(5)
        assert berta.disk.read("f") == b"last"
        anna.power_loss()
        await world.heal()
        await world.converge()
        assert anna.disk.read("f") == berta.disk.read("f") == b"last"

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("before", ["link", "file"])
def test_power_cut_after_a_link_took_the_inode_of_what_was_there_leaves_what_was_recorded(
    seed: int, before: str
) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        if before == "link":
            anna.disk.symlink("f", "first")
        else:
            anna.disk.write("f", b"first")
        await world.converge()
        anna.disk.sync()
        old = SimulatedFiles(anna.disk).stat("f")
        await anna.stop()
        anna.disk.delete("f")
        anna.disk.symlink("f", "last")
        new = SimulatedFiles(anna.disk).stat("f")
        assert old is not None and new is not None and old.inode == new.inode
        await anna.start()
        await trio.sleep(5)
        anna.power_loss()
        await world.heal()
        await world.converge()
        assert anna.disk.tree()["f"][1] == berta.disk.tree()["f"][1] == "last"

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(6))
def test_power_cut_while_the_removal_of_a_directory_is_published_brings_nothing_back(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its names cannot be synced any more; its own removal is settled in a later run."""
    monkeypatch.setattr("p2pdrive.engine.drive.PLAN_PATHS_MAX", 3)
    names = [f"d/{number}" for number in range(6)]

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        for name in names:
            anna.disk.write(name, name.encode())
        await world.converge()
        anna.disk.sync()
        await anna.stop()
        anna.disk.remove_tree("d")
        anna.slow = 10.0
        await anna.start()
        await anna.opened()
        await until(lambda: any(not record.content.live for record in versions(anna, names[0])))
        gone = [name for name in names if any(not one.content.live for one in versions(anna, name))]
        anna.power_loss()
        await world.heal()
        await world.converge()
        assert not [name for name in gone if berta.disk.exists(name)]

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("wins", ["file", "directory"])
def test_power_cut_after_what_was_to_be_shown_failed_undoes_nothing_that_was_noted(
    wins: str, seed: int
) -> None:
    """Seed 2958160293: what had made room for it was noted, and its move not made durable."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(berta, "d/f", b"first")
        await world.converge()
        berta.disk.sync()
        world.network.block(WAYS)
        if wins == "file":
            write(berta, "d/f", b"by berta, earlier")
        await trio.sleep(5)
        delete(anna, "d/f")
        write(anna, "d/f" if wins == "file" else "d/f/x", b"by anna")
        await trio.sleep(5)
        failing = "publish" if wins == "file" else "make_directory"
        berta.disk.fail(failing, "d/f", OSError(errno.EIO, "I/O error"), 1000)
        world.network.unblock(WAYS)
        await until(lambda: "d/f" not in entries_of(berta))
        noted = set(entries_of(berta))
        assert noted <= berta.disk.tree().keys()
        berta.power_loss()
        assert noted <= berta.disk.tree().keys()
        assert not berta.disk.exists("d/f")
        await world.heal()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(seed, story), seed)


def test_power_cut_while_a_node_is_about_to_end_kills_it() -> None:
    """Seed 3399542016: what was left of its work passed for a failure."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)

        def end(_: str) -> None:
            berta.begin_to_stop()
            berta.power_loss()

        berta.ambushes.append(Ambush("before", "stat", 0, end))
        write(berta, "f", b"f")
        await trio.sleep(10)
        assert not berta.ambushes
        assert not berta.alive
        await berta.start()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)
