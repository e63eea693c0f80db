"""What the ignore rules hide is not published, whatever becomes of the file that they are in."""

import errno
from collections.abc import Callable

import pytest
import trio

from p2pdrive.engine.replica import Replica
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.model.record import Kind
from tests.lab.deeds import WAYS, delete, remove_directory, two_that_share, until, versions, write


async def rules_in_conflict(world: World) -> tuple[Machine, Machine]:
    """Anna and berta edit the rules while they are parted; both versions hide berta's secret."""
    anna, berta = await two_that_share(world)
    write(anna, IGNORE_FILE, b"secret\n")
    await world.converge()
    write(berta, "secret", b"very secret")
    await trio.sleep(20)
    world.network.block(WAYS)
    write(berta, IGNORE_FILE, b"secret\n# by berta\n")
    await trio.sleep(5)
    write(anna, IGNORE_FILE, b"secret\n# by anna\n")
    await trio.sleep(5)
    return anna, berta


@pytest.mark.parametrize("how", [Machine.kill, Machine.power_loss])
def test_node_is_stopped_as_the_losing_rules_are_aside_and_the_others_not_there(
    how: Callable[[Machine], None],
) -> None:
    async def story(world: World) -> None:
        _, berta = await rules_in_conflict(world)
        berta.ambushes.append(Ambush("after", "move", 0, lambda _: how(berta)))
        world.network.unblock(WAYS)
        await trio.sleep(60)
        assert not berta.alive
        world.network.block(WAYS)
        await berta.start()
        await trio.sleep(30)
        await world.heal()
        await world.converge()
        assert not versions(berta, "secret")

    run_simulated(lambda: within_world(2, story), 2)


def test_others_rules_cannot_be_written_once_the_losing_ones_are_aside() -> None:
    async def story(world: World) -> None:
        _, berta = await rules_in_conflict(world)
        berta.disk.fail("publish", IGNORE_FILE, OSError(errno.EROFS, "read-only"), 4)
        world.network.unblock(WAYS)
        await trio.sleep(60)
        await world.heal()
        await world.converge()
        assert not versions(berta, "secret")

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("operation", ["stat", "open", "readinto"])
def test_who_joins_cannot_read_the_others_rules_for_a_moment(operation: str) -> None:
    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        write(anna, IGNORE_FILE, b"away/\n")
        write(anna, "f", b"plain")
        await world.converge()
        dora = world.add_machine("dora")
        write(dora, "away/secret", b"secret")
        write(dora, "g", b"plain")

        def fail(_: str) -> None:
            dora.disk.fail(operation, IGNORE_FILE, OSError(errno.EIO, "I/O error"), 5)

        await world.join(dora)
        dora.ambushes.append(Ambush("after", "publish", 0, fail))
        await until(lambda: anna.disk.exists("g"))
        assert not dora.ambushes
        await world.heal()
        await world.converge()
        assert not versions(anna, "away/secret")

    run_simulated(lambda: within_world(1, story), 1)


def test_who_shares_a_folder_cannot_read_its_rules() -> None:
    async def story(world: World) -> None:
        anna = world.add_machine("anna")
        write(anna, IGNORE_FILE, b"away/\n")
        write(anna, "away/secret", b"secret")
        write(anna, "f", b"plain")
        anna.forbid(IGNORE_FILE, reading=True)
        await world.share(anna)
        await trio.sleep(30)
        anna.permit_all()
        await until(lambda: versions(anna, "f"))
        assert not versions(anna, "away/secret")

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_are_written_during_a_long_scan() -> None:
    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        await anna.stop()
        for number in range(1500):
            write(anna, f"a/{number:04}", b"%d" % number)
        write(anna, "z/keep", b"keep")

        def hide(_: str) -> None:
            write(anna, IGNORE_FILE, b"z/\n")
            write(anna, "z/secret", b"secret")

        anna.ambushes.append(Ambush("before", "readinto", 20, hide))
        await anna.start()
        await trio.sleep(60)
        assert not anna.ambushes
        await world.converge()
        assert not versions(anna, "z/secret")

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_that_a_drive_is_opened_with_count_as_followed() -> None:
    """Seed 3866129263: they changed back before the first scan; what they had hidden was shown no more."""

    async def story(world: World) -> None:
        _, berta = await two_that_share(world)
        assert berta.drive is not None
        root = berta.drive.replica.root
        await berta.stop()
        write(berta, IGNORE_FILE, b"f\n")
        replica = Replica(root, berta.services, {})
        delete(berta, IGNORE_FILE)
        assert replica.reload_ignore()
        replica.close()

    run_simulated(lambda: within_world(1, story), 1)


def test_file_in_place_of_a_hidden_directory_is_in_sight() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "d/f", b"some")
        await world.converge()
        write(anna, IGNORE_FILE, b"d/\n")
        await world.converge()
        await trio.sleep(10)
        delete(anna, "d/f")
        remove_directory(anna, "d")
        write(anna, "d", b"a file")
        await until(lambda: any(version.content.kind is Kind.FILE for version in versions(berta, "d")))

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("rules", [b"", b"a/**/b/**/c/**/d\n"])
def test_others_rules_that_cannot_be_written_for_a_moment_are_followed_soon(rules: bytes) -> None:
    """A line that cannot be followed is a problem of the same path, which was no more tried for it."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, IGNORE_FILE, rules)
        await world.converge()
        await trio.sleep(10)
        berta.disk.fail("publish", IGNORE_FILE, OSError(errno.EROFS, "read-only"), 1)
        write(anna, IGNORE_FILE, rules + b"secret\n")
        await until(lambda: berta.disk.read(IGNORE_FILE).endswith(b"secret\n"))

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_that_could_be_read_again_just_when_others_rules_came_are_followed() -> None:
    """Seed 2083574787: those before were followed for an hour, as the problem was over and nobody looked."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, IGNORE_FILE, b"*.bin\n")
        write(anna, "f.bin", b"hidden")
        await world.converge()
        berta.disk.fail("open", IGNORE_FILE, OSError(errno.EIO, "I/O error"), 1000)
        berta.clock_offset_ns = 60 * 10**9  # so that hers win
        write(berta, IGNORE_FILE, b"*.txt\n")
        drive = berta.drive
        assert drive is not None
        await until(lambda: drive.problems.paths() and drive.settled)
        berta.disk.work()
        write(anna, IGNORE_FILE, b"*.bin\n# still\n")
        await world.converge()
        assert berta.drive is drive
        assert anna.disk.read(IGNORE_FILE) == b"*.txt\n"
        assert drive.replica.ignore.lines == ("*.txt",)
        assert berta.disk.read("f.bin") == b"hidden"

    run_simulated(lambda: within_world(1, story), 1)


def test_rules_that_are_being_written_hide_what_the_last_ones_hid() -> None:
    """As by ``find . -size +1G > .p2pdriveignore``, which empties the file at first."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, IGNORE_FILE, b"secret\n")
        await world.converge()
        write(anna, "secret", b"secret")
        await trio.sleep(20)
        anna.disk.hold_open(IGNORE_FILE)
        anna.disk.write_held(IGNORE_FILE, b"")
        await trio.sleep(5)
        anna.disk.write_held(IGNORE_FILE, b"other\nsecret\n")
        anna.disk.let_go(IGNORE_FILE)
        await world.converge()
        assert not berta.disk.exists("secret")

    run_simulated(lambda: within_world(1, story), 1)
