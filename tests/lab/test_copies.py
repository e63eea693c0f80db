"""Conflict copies that the index does not know: a kill left them, or a person brings them back or along.

And those that a person puts back before what won is shown.
"""

import errno
from itertools import permutations
from random import Random

import pytest
import trio

from p2pdrive.lab.evidence import files_in
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.limits import EAGER_FILE_BYTES_MAX
from p2pdrive.planning.conflicts import copy_path
from p2pdrive.planning.reconcile import Choice
from tests.lab.deeds import (
    WAYS,
    about_to_lose,
    delete,
    rename,
    started_again,
    two_that_share,
    versions,
    write,
)

#: So large that it is read apart.
LARGE = Random(3).randbytes(EAGER_FILE_BYTES_MAX)


async def in_conflict(world: World, ignorant: str) -> str:
    """The copy of berta's version that berta or anna, and clara show; anna's is later. The third is
    ``ignorant`` of the conflict. All are parted."""
    anna, berta = await two_that_share(world)
    clara = world.add_machine("clara")
    await world.join(clara)
    await world.converge()
    for parted in permutations(("anna", "berta", "clara"), 2):
        world.network.block([parted])
    for machine in (berta, anna):
        write(machine, "f", b"by " + machine.name.encode())
        await trio.sleep(5)
    for machine in sorted((anna, berta), key=lambda machine: machine.name != ignorant):
        world.network.unblock([(machine.name, "clara"), ("clara", machine.name)])
        await trio.sleep(60)
        world.network.block([(machine.name, "clara"), ("clara", machine.name)])
    (copy,) = clara.disk.tree().keys() - {"f"}
    return str(copy)


@pytest.mark.parametrize("where", ["in the drive", "out of it"])
@pytest.mark.parametrize("name", ["anna", "berta"])
def test_copy_that_a_person_takes_away_and_brings_back_is_there_again(where: str, name: str) -> None:
    """Seed 459712659: it was removed again at once, as the conflict was settled by taking it away."""

    async def story(world: World) -> None:
        copy = await in_conflict(world, "anna")
        person = world.machine(name)
        person.disk.make_directory("away")
        world.oracle.made_directory(name, "away")
        write(person, ".p2pdriveignore", b"away/\n")
        await world.heal()
        await world.converge()
        place = "elsewhere" if where == "in the drive" else "away/f"
        rename(person, copy, place)
        await world.converge()
        assert not any(machine.disk.exists(copy) for machine in world.machines)
        rename(person, place, copy)
        await world.converge()
        for machine in world.machines:
            assert machine.disk.read(copy) == b"by berta"
            assert not machine.disk.exists("elsewhere")

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("name", ["anna", "berta", "clara"])
def test_copy_that_a_person_brings_back_when_its_version_has_won_is_there_again(name: str) -> None:
    async def story(world: World) -> None:
        copy = await in_conflict(world, "anna")
        person = world.machine(name)
        await world.heal()
        await world.converge()
        delete(person, "f")
        await world.converge()
        assert all(machine.disk.tree().keys() == {"f"} for machine in world.machines)
        write(person, copy, b"by berta")
        write(person, "f", b"by anna")
        await world.converge()
        assert all(machine.disk.tree().keys() == {"f", copy} for machine in world.machines)

    run_simulated(lambda: within_world(1, story), 1)


async def killed_as_it_made(world: World, copy: str, name: str) -> Machine:
    """The machine of that name, stopped as soon as it had both; anna makes the copy anew, berta moves her own
    version there."""
    killed = world.machine(name)
    killed.ambushes.append(Ambush("after", "publish", 0, lambda _: killed.kill()))
    world.network.unblock([(name, "clara"), ("clara", name)])
    await trio.sleep(60)
    assert not killed.alive
    assert killed.disk.exists(copy)
    return killed


@pytest.mark.parametrize("name", ["anna", "berta"])
def test_copy_made_just_before_a_kill_and_settled_meanwhile_is_no_file_of_its_own(name: str) -> None:
    async def story(world: World) -> None:
        copy = await in_conflict(world, name)
        killed = await killed_as_it_made(world, copy, name)
        delete(world.machine("clara"), copy)
        await trio.sleep(5)
        await started_again(world, killed, "f", copy)
        assert all(machine.disk.tree().keys() == {"f"} for machine in world.machines)
        assert versions(killed, copy) == []

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("name", ["anna", "berta"])
def test_copy_made_just_before_a_kill_where_a_file_was_once_is_no_file_of_its_own(name: str) -> None:
    async def story(world: World) -> None:
        copy = await in_conflict(world, name)
        write(world.machine(name), copy, b"an ordinary file")
        await trio.sleep(10)
        delete(world.machine(name), copy)
        await trio.sleep(10)
        records = versions(world.machine(name), copy)
        killed = await killed_as_it_made(world, copy, name)
        await started_again(world, killed)
        assert all(machine.disk.tree().keys() == {"f", copy} for machine in world.machines)
        assert versions(killed, copy) == records

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("name", ["anna", "berta"])
def test_copy_made_just_before_a_kill_and_taken_away_by_a_person_may_come_back(name: str) -> None:
    async def story(world: World) -> None:
        copy = await in_conflict(world, name)
        person = world.machine(name)
        person.disk.make_directory("away")
        world.oracle.made_directory(name, "away")
        write(person, ".p2pdriveignore", b"away/\n")
        await trio.sleep(5)
        await killed_as_it_made(world, copy, name)
        rename(person, copy, "away/f")
        delete(world.machine("clara"), copy)
        await trio.sleep(5)
        await started_again(world, person, "f")
        assert not any(machine.disk.exists(copy) for machine in world.machines)
        rename(person, "away/f", copy)
        await world.converge()
        assert all(machine.disk.read(copy) == b"by berta" for machine in world.machines)

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("size", [20, 5_000_000])
@pytest.mark.parametrize("look", [1, 2])
def test_edit_of_an_ordinary_file_is_not_replaced_by_the_copy_that_its_name_is_of(
    look: int, size: int
) -> None:
    """Others deleted it, and made the loser whose copy has its name: the edit was gone, history included."""
    edit = Random(5).randbytes(size)

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"first")
        await world.converge()
        world.network.block(WAYS)
        write(berta, "f", b"by berta")
        await trio.sleep(10)
        write(anna, "f", b"by anna")
        loser = next(version for version in versions(berta, "f") if version.content.size == 8)
        copy = copy_path(loser, "berta")
        write(anna, copy, b"ordinary")
        await trio.sleep(10)
        world.network.unblock(WAYS)
        await world.converge()
        assert berta.disk.read(copy) == b"ordinary"

        world.network.block(WAYS)
        delete(anna, copy)
        write(anna, "f", b"by anna again")
        await trio.sleep(10)
        looks: list[str] = []

        def glance(path: str) -> None:
            looks.extend([path] if path == copy else [])
            if len(looks) == look:
                write(berta, copy, edit)
            else:
                berta.ambushes.append(Ambush("before", "stat", 0, glance))

        berta.ambushes.append(Ambush("before", "stat", 0, glance))
        world.network.unblock(WAYS)
        await trio.sleep(100)
        assert len(looks) == look
        await world.converge()
        assert edit in [shown[1] for shown in anna.disk.tree().values() if shown[0] == "file"]

    run_simulated(lambda: within_world(1, story), 1)


async def with_old_versions(world: World, data: bytes) -> str:
    """Anna and berta deleted ``g`` and the copy of a loser, both of ``data``. Returns the copy's name."""
    anna, berta = await two_that_share(world)
    write(anna, "g", data)
    await world.converge()
    world.network.block(WAYS)
    write(berta, "f", data)
    await trio.sleep(60)
    write(anna, "f", b"by anna")
    await trio.sleep(5)
    await world.heal()
    await world.converge()
    (copy,) = anna.disk.tree().keys() - {"f", "g"}
    for path in (copy, "g"):
        delete(anna, path)
    await world.converge()
    return str(copy)


async def joined_while_writing(world: World, dora: Machine, path: str, data: bytes) -> None:
    """Dora's folder has been adopted, but for the file that she writes; she has just closed that."""
    write(dora, path, data)
    dora.disk.hold_open(path)
    await world.join(dora)
    while dora.drive is None or not dora.drive.scanned or dora.drive.replica.adopting:
        dora.disk.write_held(path, data)
        await trio.sleep(min(0.1 * dora.slow, 5))
    assert path in dora.drive.replica.left_to_adopt
    dora.disk.let_go(path)


async def catch_up(world: World, dora: Machine, path: str) -> None:
    """The old version at ``path`` awaits Dora's choice, and she lets go of it."""
    assert dora.drive is not None
    assert dora.drive.replica.brought("") == [path]
    assert dora.disk.exists(path)
    await dora.drive.choose(Choice.CATCH_UP)
    await world.converge()


@pytest.mark.parametrize("what", ["copy", "file"])
def test_old_version_brought_along_that_cannot_be_read_at_a_join_is_no_edit(what: str) -> None:
    async def story(world: World) -> None:
        copy = await with_old_versions(world, b"old")
        dora, path = world.add_machine("dora"), copy if what == "copy" else "g"
        known = versions(world.machine("anna"), path)
        write(dora, path, b"old")
        dora.forbid(path, reading=True)
        await world.join(dora)
        await trio.sleep(120)
        dora.permit_all()
        await trio.sleep(60)
        await catch_up(world, dora, path)
        assert all(machine.disk.tree().keys() == {"f"} for machine in world.machines)
        assert versions(world.machine("anna"), path) == known

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("what", ["copy", "file"])
@pytest.mark.parametrize("slow", [1.0, 1000.0])
def test_old_version_that_is_being_brought_along_at_a_join_is_no_edit(what: str, slow: float) -> None:
    """A slow machine notices that it is still being written while it looks at the rest."""

    async def story(world: World) -> None:
        copy = await with_old_versions(world, LARGE)
        dora, path = world.add_machine("dora"), copy if what == "copy" else "g"
        known = versions(world.machine("anna"), path)
        dora.slow = slow
        for number in range(5):
            write(dora, f"other {number}", b"new")
        await joined_while_writing(world, dora, path, LARGE)
        await trio.sleep(600)
        await catch_up(world, dora, path)
        assert not any(machine.disk.exists(path) for machine in world.machines)
        assert versions(world.machine("anna"), path) == known

    run_simulated(lambda: within_world(1, story), 1)


def test_copy_that_was_being_brought_along_and_came_only_later_is_a_file_of_its_own() -> None:
    async def story(world: World) -> None:
        copy = await with_old_versions(world, LARGE)
        dora = world.add_machine("dora")
        await joined_while_writing(world, dora, copy, LARGE)
        delete(dora, copy)
        await trio.sleep(60)
        write(dora, copy, LARGE)
        await trio.sleep(60)
        await world.converge()
        assert all(machine.disk.tree().keys() == {"f", copy} for machine in world.machines)

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("seed", [2, 10, 13, 15])  # in some of them the path is settled before its copy
@pytest.mark.parametrize("touched", [False, True])
@pytest.mark.parametrize("wins", ["file", "directory", "inside"])
def test_copy_that_a_person_gives_its_name_back_as_soon_as_it_is_made_is_not_dismissed(
    wins: str, touched: bool, seed: int
) -> None:
    """Seed 278386596: what was to be shown there then replaced it, and only the history had it."""

    async def story(world: World) -> None:
        anna, berta = await about_to_lose(world, wins)

        def rename_back(_: str) -> None:
            (copy,) = berta.disk.tree()
            rename(berta, copy, "f")
            if touched:
                berta.disk.touch("f", 10**18)
                world.oracle.chmodded("berta", "f")

        step = "publish" if wins == "file" else "make_directory"
        berta.ambushes.append(Ambush("before", step, 0, rename_back))
        world.network.unblock(WAYS)
        await trio.sleep(30)
        assert not berta.ambushes
        await world.converge()
        assert berta.disk.tree() == anna.disk.tree()
        shown = sorted(files_in(berta.disk.tree()).values())
        assert shown == ([b"by berta"] if wins == "directory" else [b"by anna", b"by berta"])

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize(("wins", "pause"), [("file", 0), ("file", 20), ("inside", 0)])
def test_copy_that_is_copied_back_and_deleted_before_the_winner_can_be_shown_is_not_dismissed(
    wins: str, pause: int
) -> None:
    """Its version was in the history alone."""

    async def story(world: World) -> None:
        anna, berta = await about_to_lose(world, wins)
        for operation in ("publish", "make_directory"):
            berta.disk.fail(operation, "f", OSError(errno.EIO, "I/O error"), 100_000)
        world.network.unblock(WAYS)
        await trio.sleep(20)
        (copy,) = berta.disk.tree()
        write(berta, "f", b"by berta")
        await trio.sleep(pause)
        delete(berta, copy)
        await trio.sleep(20)
        berta.disk.work()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        assert sorted(files_in(berta.disk.tree()).values()) == [b"by anna", b"by berta"]

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("name", ["f.doc", "Mr. X (final)"])
def test_copy_that_an_ordinary_file_hid_is_shown_when_that_goes(name: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        world.network.block(WAYS)
        write(berta, name, b"by berta")
        await trio.sleep(5)
        write(anna, name, b"by anna")
        (loser,) = versions(berta, name)
        copy = copy_path(loser, "berta")
        write(anna, copy, b"a file of its own")
        await trio.sleep(5)
        world.network.unblock(WAYS)
        await world.converge()
        delete(anna, copy)
        await world.converge()
        assert (
            files_in(anna.disk.tree()) == files_in(berta.disk.tree()) == {name: b"by anna", copy: b"by berta"}
        )

    run_simulated(lambda: within_world(1, story), 1)
