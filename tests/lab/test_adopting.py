"""A folder that is joined with what a person had in it: what others know of it comes first."""

import errno

import pytest
import trio

from p2pdrive.lab.machine import Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.planning.reconcile import Choice
from tests.lab.deeds import WAYS, delete, two_that_share, until, versions, write

#: Seconds after which the pause until a next try is as long as it gets.
_LONG = 1300
#: They are read from their file when they are asked for, and from no pack.
_LARGE_RULES = b"away/\n".ljust(900_000, b"#")


async def about_to_join(world: World) -> tuple[Machine, Machine]:
    """Anna, whose rules hide ``away``, and dora, who is no member yet."""
    anna, _ = await two_that_share(world)
    write(anna, IGNORE_FILE, b"away/\n")
    await world.converge()
    return anna, world.add_machine("dora")


@pytest.mark.parametrize("own_rules", [None, b"away/secret\n"])
def test_what_the_others_rules_hide_is_not_published_by_who_joins(own_rules: bytes | None) -> None:
    async def story(world: World) -> None:
        anna, dora = await about_to_join(world)
        write(dora, "away/secret", b"secret")
        write(dora, "f", b"plain")
        if own_rules is not None:
            await trio.sleep(10)
            write(dora, IGNORE_FILE, own_rules)
        await world.join(dora)
        await until(lambda: anna.disk.exists("f"))
        await world.converge()
        assert not versions(anna, "away/secret")
        assert dora.disk.read("away/secret") == b"secret"

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_that_cannot_be_written_for_a_moment_are_waited_for() -> None:
    async def story(world: World) -> None:
        anna, dora = await about_to_join(world)
        write(dora, "away/secret", b"secret")
        write(dora, "f", b"plain")
        dora.disk.fail("publish", IGNORE_FILE, OSError(errno.EROFS, "read-only"), 4)
        await world.join(dora)
        await until(lambda: anna.disk.exists("f"))
        await world.converge()
        assert not versions(anna, "away/secret")

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("odd", ["unreadable", "pipe"])
def test_only_member_restores_a_backup_where_the_rules_cannot_be_read(odd: str) -> None:
    """It waited for what nobody else could bring, and recorded nothing any more."""

    async def story(world: World) -> None:
        anna = world.add_machine("anna")
        await world.share(anna)
        write(anna, IGNORE_FILE, b"*.tmp\n")
        await trio.sleep(5)
        backup = anna.back_up()
        write(anna, "f", b"later")
        await trio.sleep(5)
        anna.put_back(backup)
        await trio.sleep(1)
        if odd == "unreadable":
            anna.forbid(IGNORE_FILE, reading=True)
        else:
            delete(anna, IGNORE_FILE)
            anna.disk.make_other(IGNORE_FILE)
        await anna.start()
        await anna.opened()
        write(anna, "new", b"new")
        await until(lambda: versions(anna, "new"))

    run_simulated(lambda: within_world(1, story), 1)


def test_who_joined_and_waits_offline_for_the_rules_is_at_rest() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        world.network.block(WAYS)
        write(anna, IGNORE_FILE, _LARGE_RULES)
        await trio.sleep(5)
        anna.forbid(IGNORE_FILE, reading=True)
        dora = world.add_machine("dora")
        write(dora, "own", b"own")
        await world.join(dora)
        await until(lambda: dora.drive is not None and dora.drive.exchange.caught_up.is_set())
        await anna.stop()
        await berta.stop()
        await trio.sleep(_LONG)
        assert dora.drive is not None
        steps = 0

        def count() -> None:
            nonlocal steps
            steps += 1

        dora.drive._changed = count
        await trio.sleep(_LONG)
        assert steps < 30, steps
        assert not versions(dora, "own")

    run_simulated(lambda: within_world(1, story), 1)


def test_what_is_put_back_where_a_file_was_in_the_way_during_a_join_stays() -> None:
    """The path of the file was left to adopt, and all in the directory that came instead with it."""

    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        write(anna, "d/f", b"old")
        write(anna, "d/g", b"other")
        await world.converge()
        delete(anna, "d/f")
        await world.converge()
        dora = world.add_machine("dora")
        write(dora, "d", b"mine")
        dora.disk.hold_open("d")
        await world.join(dora)
        await until(lambda: dora.drive is not None and not dora.drive.replica.adopting)
        dora.disk.let_go("d")
        await trio.sleep(100)
        await world.converge()
        write(dora, "d/f", b"old")
        await world.converge()
        assert anna.disk.read("d/f") == b"old"

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_that_cannot_be_shown_for_long_keep_nobody_from_joining() -> None:
    async def story(world: World) -> None:
        anna, dora = await about_to_join(world)
        write(dora, "f", b"plain")
        dora.disk.fail("publish", IGNORE_FILE, OSError(errno.EROFS, "read-only"), 1000)
        await world.join(dora)
        await until(lambda: anna.disk.exists("f"))
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
        assert dora.drive is not None
        assert dora.drive.replica.count_brought() == len(names)  # all of it awaits her choice
        await dora.drive.choose(Choice.CATCH_UP)
        await world.converge()
        assert dora.disk.tree().keys() <= {"d"}
        assert all(len(versions(anna, name)) == 2 for name in names)
        assert not dora.drive.replica.is_adopting("d/0")

    run_simulated(lambda: within_world(1, story), 1)
