"""A kill right after something was shown: it is no person's edit, whatever comes.

What it is was noted before (index/arriving.py), so the next start knows it again.
"""

import pytest
import trio

from p2pdrive.errors import NotWritable
from p2pdrive.index.arriving import Arriving
from p2pdrive.index.entries import Entries
from p2pdrive.lab.files import SimulatedFiles
from p2pdrive.lab.machine import Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import (
    LARGE,
    WAYS,
    about_to_be_shown,
    begin_to_receive,
    delete,
    killed_as,
    old_file,
    rename,
    started_again,
    two_that_share,
    until,
    versions,
    write,
)


def go_on(anna: Machine, deleted: bool, path: str) -> None:
    """The path moves on."""
    if deleted:
        for each in list(anna.disk.tree()):
            delete(anna, each)
    else:
        write(anna, path, b"the next version")


async def showed_large_file(
    world: World, anna: Machine, berta: Machine, *, deleted: bool | None, path: str = "f"
) -> None:
    """Berta was killed right after she showed it; by then it was deleted, or edited, or neither (None).

    It is anna's second version: packs keep that, so that berta gets it though anna has moved on.
    """
    world.network.block(WAYS)
    write(anna, path, b"a beginning")
    await trio.sleep(5)
    write(anna, path, LARGE)
    await trio.sleep(5)
    begin_to_receive(world)
    await trio.sleep(5)
    if deleted is not None:
        go_on(anna, deleted, path)
    await killed_as(world, berta, "publish")
    assert berta.disk.read(path) == LARGE


@pytest.mark.parametrize("before", ["nothing", "file", "loser", "directory"])
@pytest.mark.parametrize("deleted", [False, True])
def test_file_that_has_moved_on_meanwhile_is_no_edit(before: str, deleted: bool) -> None:
    """It came back after its deletion, or as a copy beside its next version."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        if before in ("file", "loser"):
            write(anna, "f", b"first")
        elif before == "directory":
            anna.disk.make_directory("f")
        await world.converge()
        world.network.block(WAYS)
        if before == "loser":
            write(berta, "f", b"earlier, so it loses")
        elif before == "directory":
            anna.disk.remove_directory("f")
        await trio.sleep(5)
        await showed_large_file(world, anna, berta, deleted=deleted)
        records = versions(anna, "f")
        await started_again(world, berta)
        assert versions(anna, "f") == records
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("deleted", [False, True])
def test_conflict_copy_that_others_edited_and_that_has_moved_on_is_no_edit(deleted: bool) -> None:
    """Seed 3574261933: the index had the copy, and took its next version for an edit of it."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        world.network.block(WAYS)
        for machine in (anna, berta):
            write(machine, "f", machine.name.encode())
        await trio.sleep(5)
        world.network.unblock(WAYS)
        await world.converge()
        (copy,) = anna.disk.tree().keys() - {"f"}
        await showed_large_file(world, anna, berta, deleted=deleted, path=copy)
        records = versions(anna, copy)
        await started_again(world, berta, copy)
        assert versions(anna, copy) == records
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


#: Step after which berta is killed, by what anna made.
STEPS = {"link": "publish", "directory": "make_directory", "rename": "move"}


def make(machine: Machine, what: str, path: str) -> None:
    """A link or a directory, or the old file ``f`` under another name."""
    if what == "rename":
        rename(machine, "f", path)
    elif what == "link":
        machine.disk.symlink(path, "target")
        machine.world.oracle.linked(machine.name, path, "target")
    else:
        machine.disk.make_directory(path)
        machine.world.oracle.made_directory(machine.name, path)


def take_away(machine: Machine, path: str) -> None:
    """Whatever it is."""
    remove = (
        machine.disk.remove_directory if machine.disk.tree()[path][0] == "directory" else machine.disk.delete
    )
    remove(path)
    machine.world.oracle.deleted(machine.name, path, None)


@pytest.mark.parametrize("what", STEPS)
def test_what_else_has_moved_on_meanwhile_is_no_edit(what: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        world.network.block(WAYS)
        make(anna, what, "g")
        await about_to_be_shown(world, anna)
        take_away(anna, "g")
        await killed_as(world, berta, STEPS[what])
        assert berta.disk.exists("g")
        records = versions(anna, "g")
        await started_again(world, berta)
        assert not anna.disk.exists("g")
        assert versions(anna, "g") == records

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("what", ["link", "directory"])
def test_what_took_the_place_of_a_file_and_has_moved_on_is_no_edit(what: str, deleted: bool) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "g", b"first")
        await world.converge()
        world.network.block(WAYS)
        delete(anna, "g")
        make(anna, what, "g")
        await about_to_be_shown(world, anna)
        take_away(anna, "g")
        if not deleted:
            write(anna, "g", b"the next version")
        await killed_as(world, berta, STEPS[what])
        records = versions(anna, "g")
        await started_again(world, berta)
        assert versions(anna, "g") == records
        assert anna.disk.exists("g") != deleted

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("deleted", [False, True])
def test_mode_without_the_time_that_belongs_to_it_is_no_edit(deleted: bool) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        world.network.block(WAYS)
        anna.disk.chmod("f", True)
        anna.disk.touch("f", anna.now_ns() - 5_000_000_000)
        world.oracle.chmodded("anna", "f")
        await about_to_be_shown(world, anna)
        if deleted:
            delete(anna, "f")
        await killed_as(world, berta, "set_metadata:time", when="before")
        records = versions(anna, "f")
        await started_again(world, berta)
        assert versions(anna, "f") == records
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("deleted", [False, True])
@pytest.mark.parametrize("what", ["time", "mode"])
def test_time_or_mode_of_what_has_moved_on_is_no_edit(what: str, deleted: bool) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"first")
        await world.converge()
        await trio.sleep(10)
        world.network.block(WAYS)
        if what == "time":
            anna.disk.touch("f", anna.now_ns() - 5_000_000_000)
        else:
            anna.disk.chmod("f", True)
        world.oracle.chmodded("anna", "f")
        await about_to_be_shown(world, anna)
        if deleted:
            delete(anna, "f")
        else:
            write(anna, "f", b"the next version")
        await killed_as(world, berta, "set_metadata")
        records = versions(anna, "f")
        await started_again(world, berta)
        assert versions(anna, "f") == records
        assert anna.disk.exists("f") != deleted

    run_simulated(lambda: within_world(1, story), 1)


def test_mode_that_a_person_gives_it_after_the_kill_is_theirs() -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await showed_large_file(world, anna, berta, deleted=None)
        berta.disk.chmod("f", True)
        world.oracle.chmodded("berta", "f")
        await started_again(world, berta)
        assert berta.disk.tree()["f"][2] is True
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("before", [b"", b"first"])
@pytest.mark.parametrize("deleted", [False, True])
def test_file_that_cannot_be_read_at_first_is_known_when_it_can(before: bytes, deleted: bool) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        if before:
            write(anna, "f", before)
        await world.converge()
        await showed_large_file(world, anna, berta, deleted=deleted)
        records = versions(anna, "f")
        await started_again(world, berta, "f")
        assert versions(anna, "f") == records
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("anew", [False, True])
def test_older_version_that_a_person_brings_back_is_kept(anew: bool) -> None:
    """Into the very file, or as a new one that has its inode number."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"old")
        await world.converge()
        delete(anna, "f")
        await world.converge()
        await showed_large_file(world, anna, berta, deleted=None)
        if anew:
            delete(berta, "f")
        write(berta, "f", b"old")
        await started_again(world, berta)
        assert b"old" in [shown[1] for shown in berta.disk.tree().values()]

    run_simulated(lambda: within_world(1, story), 1)


def test_it_is_forgotten_as_soon_as_it_is_noted() -> None:
    """Or a person who deletes it, and takes it out of the bin later, would see it removed again."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await showed_large_file(world, anna, berta, deleted=None)
        await berta.start()
        await berta.opened()
        assert berta.drive is not None
        database = berta.drive.replica.database

        def noted() -> bool:
            with database.read() as connection:
                entry = Entries(connection).get("f")
                assert (entry is None) == bool(Arriving(connection).among(["f"]))
                return entry is not None

        await until(noted)

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("own", ["edited", "deleted"])
def test_on_a_viewers_device_no_copy_is_left_of_it(own: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world, "viewer")
        write(anna, "f", b"first")
        await world.converge()
        world.network.block(WAYS)
        if own == "edited":
            write(berta, "f", b"the viewer's own")
        else:
            delete(berta, "f")
        await trio.sleep(10)
        await showed_large_file(world, anna, berta, deleted=False)
        await berta.start()
        await trio.sleep(30)
        await world.heal()
        await trio.sleep(300)
        shown = {data for _, data, *_ in berta.disk.tree().values()}
        assert shown == {b"the next version", *([b"the viewer's own"] if own == "edited" else [])}

    run_simulated(lambda: within_world(1, story), 1)


def test_error_just_after_it_got_its_name_makes_no_edit_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = SimulatedFiles.publish
    failed: list[str] = []

    def publish(files: SimulatedFiles, name: str, path: str, expected: object) -> object:
        published = real(files, name, path, expected)  # type: ignore[arg-type]
        if published.stat.size == len(LARGE) and not failed:
            failed.append(path)
            raise NotWritable("f: Input/output error")
        return published

    async def story(world: World) -> None:
        anna, _ = await two_that_share(world)
        world.network.block(WAYS)
        write(anna, "f", b"a beginning")  # packs keep the second version, though anna moves on
        await trio.sleep(5)
        write(anna, "f", LARGE)
        await trio.sleep(5)
        monkeypatch.setattr(SimulatedFiles, "publish", publish)
        begin_to_receive(world)
        await trio.sleep(5)
        write(anna, "f", b"the next version")
        await trio.sleep(20)
        records = versions(anna, "f")
        await trio.sleep(100)
        await world.heal()
        await world.converge()
        assert failed == ["f"]
        assert versions(anna, "f") == records

    run_simulated(lambda: within_world(1, story), 1)
