"""Renames that others made, carried out here."""

from typing import Any

import pytest
import trio

from p2pdrive.engine.observe import Observed, Observer
from p2pdrive.engine.settle import Settler
from p2pdrive.engine.show import Shower
from p2pdrive.engine.tasks import Settled, Task
from p2pdrive.lab.checkers.books import Books
from p2pdrive.lab.checkers.deletes import NoSpuriousDelete
from p2pdrive.lab.evidence import files_in
from p2pdrive.lab.machine import Ambush, Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.paths import IGNORE_FILE
from p2pdrive.planning.patience import Patience
from tests.lab.deeds import (
    WAYS,
    about_to_be_shown,
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


@pytest.mark.parametrize("fresh", [False, True])
@pytest.mark.parametrize("unreadable", [[], ["g"]])
def test_old_path_of_a_rename_that_shows_what_is_new_is_kept(unreadable: list[str], fresh: bool) -> None:
    """Seed 1781128149: the old path was missed, though its file had gone to where we had moved it."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        if fresh:  # on berta's machine: too young for its inode to tell
            write(anna, "f", b"old")
            await world.converge()
            await anna.stop()
            await anna.start()
            await world.converge()
        else:
            await old_file(world, anna, "f")
        world.network.block(WAYS)
        rename(anna, "f", "g")
        await trio.sleep(5)
        write(anna, "f", b"new")
        await about_to_be_shown(world, anna)
        await killed_as(world, berta, "move")
        assert berta.disk.read("g") == b"old"
        records = versions(anna, "f"), versions(anna, "g")
        await started_again(world, berta, *unreadable)
        assert (versions(anna, "f"), versions(anna, "g")) == records
        assert anna.disk.tree() == berta.disk.tree()

    run_simulated(lambda: within_world(1, story), 1)


def test_source_of_a_rename_that_cannot_be_looked_at_holds_up_nothing_else() -> None:
    """Its directory is closed while the rest of the run is on its way."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        anna.disk.make_directory("d")
        world.oracle.made_directory("anna", "d")
        await old_file(world, anna, "d/f")
        world.network.block(WAYS)
        rename(anna, "d/f", "g")
        await about_to_be_shown(world, anna)
        drive = berta.drive
        assert drive is not None and drive.materialiser.busy
        berta.forbid("d", reading=True)
        await until(lambda: berta.disk.exists("large"))
        assert berta.drive is drive

    run_simulated(lambda: within_world(1, story), 1)


def test_source_of_a_rename_that_shows_another_version_by_now_is_not_moved() -> None:
    """Seed 2917179284: it was noted as what was wanted, so that version was gone from all folders."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, "f", b"wanted")
        await world.converge()
        assert berta.drive is not None
        replica = berta.drive.replica
        with replica.reading() as log:
            (wanted,) = log.registers.heads("f")
        write(anna, "f", b"shown since")
        await world.converge()
        task = Task("g", wanted.content, wanted.vector, None, None, moved_from="f")
        assert Shower(replica).show([task]).again == ["g"]
        assert berta.disk.read("f") == b"shown since"
        assert not berta.disk.exists("g")

    run_simulated(lambda: within_world(1, story), 1)


def test_file_that_a_person_deletes_as_soon_as_it_was_renamed_here_stays_deleted() -> None:
    """Seed 3254811693: nobody noted that it had been there, so it was shown again."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        berta.ambushes.append(Ambush("before", "move:judge", 0, lambda _: delete(berta, "g")))
        rename(anna, "f", "g")
        await world.converge()
        assert not berta.ambushes
        assert anna.disk.tree() == berta.disk.tree() == {}

    run_simulated(lambda: within_world(1, story), 1)


def test_edit_that_was_renamed_here_by_mistake_and_deleted_there_was_deleted_by_the_person() -> None:
    """Seed 1087274339: its old path was published as deleted, which the lab said that nobody did."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        old = anna.disk.read("f")
        berta.ambushes.append(Ambush("before", "move:rename", 0, lambda _: write(berta, "f", b"mine")))
        berta.ambushes.append(Ambush("before", "move:back", 0, lambda _: delete(berta, "g")))
        world.network.block(WAYS)
        rename(anna, "f", "g")
        await trio.sleep(5)
        write(anna, "f", b"new")
        await trio.sleep(5)
        world.network.unblock(WAYS)
        await world.converge()
        assert not berta.ambushes
        assert files_in(anna.disk.tree()) == files_in(berta.disk.tree()) == {"f": b"new", "g": old}
        NoSpuriousDelete(Books()).during(world)

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("left", ["mode", "time"])
def test_file_that_a_person_deletes_before_it_got_its_mode_or_time_stays_deleted(left: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        if left == "time":
            berta.disk.stored_ns = 2_000_000_000
        await old_file(world, anna, "f")
        berta.ambushes.append(Ambush("after", "move", 0, lambda _: delete(berta, "g")))
        rename(anna, "f", "g")
        if left == "mode":
            anna.disk.chmod("g", True)
        await world.converge()
        assert not berta.ambushes
        assert anna.disk.tree() == berta.disk.tree() == {}

    run_simulated(lambda: within_world(1, story), 1)


async def edited_by_both(world: World, path: str) -> tuple[Machine, Machine]:
    """Anna and berta, in conflict about ``path``; anna's version is shown there."""
    anna, berta = await two_that_share(world)
    write(anna, path, b"first")
    await world.converge()
    world.network.block(WAYS)
    write(berta, path, b"by berta")
    await trio.sleep(5)
    write(anna, path, b"by anna")
    await trio.sleep(5)
    world.network.unblock(WAYS)
    await world.converge()
    return anna, berta


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_directory_is_renamed_with_a_conflict_in_it(seed: int, down: bool) -> None:
    async def story(world: World) -> None:
        anna, berta = await edited_by_both(world, "d/f")
        await trio.sleep(4000)  # an hourly scan: entries are old enough for a rename to be known
        if down:
            await anna.stop()
        rename(anna, "d", "e")
        if down:
            await anna.start()
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        assert not anna.disk.exists("d")

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("name", ["anna", "berta"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_file_in_conflict_is_moved_elsewhere_with_its_copy(seed: int, name: str) -> None:
    """As by ``mv f* archive/``; the loser was back at the old place."""

    async def story(world: World) -> None:
        anna, berta = await edited_by_both(world, "f")
        anna.disk.make_directory("archive")
        world.oracle.made_directory("anna", "archive")
        await world.converge()
        await trio.sleep(5)
        (copy,) = anna.disk.tree().keys() - {"f", "archive"}
        person = world.machine(name)
        rename(person, "f", "archive/f")
        rename(person, copy, f"archive/{copy}")
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        assert files_in(anna.disk.tree()) == {"archive/f": b"by anna", f"archive/{copy}": b"by berta"}

    run_simulated(lambda: within_world(seed, story), seed)


def test_directory_is_renamed_just_as_the_copy_in_it_becomes_the_file_again() -> None:
    """Seed 3380711468: the lab asked where the copy is that came along with the directory."""

    async def story(world: World) -> None:
        anna, berta = await edited_by_both(world, "d/f")
        await anna.stop()
        await trio.sleep(5)
        await anna.start()  # what it looks at now needs no reading later
        await world.converge()
        anna.ambushes.append(Ambush("before", "remove:take", 0, lambda _: rename(anna, "d", "e")))
        delete(anna, "d/f")
        await world.converge()
        assert not anna.ambushes
        assert anna.disk.tree() == berta.disk.tree()
        assert files_in(anna.disk.tree()) == {"e/f": b"by berta"}
        NoSpuriousDelete(Books()).after(world)

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("keeps_ctime", [False, True])
def test_file_that_was_received_is_moved_away_and_back_on_a_disk_whose_renames_leave_the_ctime(
    keeps_ctime: bool,
) -> None:
    """As FAT and exFAT do: taken out of the bin, say."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        write(anna, ".p2pdriveignore", b".Trash/\n")
        berta.disk.make_directory(".Trash")
        await old_file(world, anna, "f")
        await trio.sleep(60)

        def move(old: str, new: str) -> None:
            inode = berta.disk.volume.find(old)
            assert inode is not None
            ctime = inode.ctime_ns
            rename(berta, old, new)
            if keeps_ctime:
                inode.ctime_ns, inode.known = ctime, None

        move("f", ".Trash/f")
        await trio.sleep(30)
        assert not anna.disk.exists("f")
        move(".Trash/f", "f")
        await trio.sleep(1200)
        assert berta.disk.exists("f")
        assert anna.disk.exists("f")

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("then", ["deleted", "edited"])
def test_renamed_file_that_has_two_names_by_then(then: str) -> None:
    """Two hard links take the place of a name."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        await trio.sleep(60)
        inode = anna.disk.volume.find("f")
        assert inode is not None
        for name in ("g", "h"):
            anna.disk.volume.link(anna.disk.volume.root, name, inode)
        inode.changed(anna.disk.volume.stamp())
        delete(anna, "f")
        for name in ("g", "h"):
            anna.disk.note(name)
            world.oracle.wrote("anna", name, b"old", None)
        await world.converge()
        await trio.sleep(60)
        assert berta.disk.tree().keys() == {"g", "h"}
        if then == "deleted":
            delete(anna, "g")
            await trio.sleep(1200)
            assert not berta.disk.exists("g")
        else:
            anna.disk.write("g", b"edited", new_inode=True)
            world.oracle.wrote("anna", "g", b"edited", b"old")
            await trio.sleep(60)
            assert anna.disk.tree().keys() == {"g", "h"}

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_copy_that_the_rules_hide_is_not_dismissed_as_its_path_is_renamed(seed: int) -> None:
    async def story(world: World) -> None:
        anna, berta = await edited_by_both(world, "f")
        await trio.sleep(4000)  # an hourly scan: entries are old enough for a rename to be known
        (copy,) = anna.disk.tree().keys() - {"f"}
        await anna.stop()
        write(anna, IGNORE_FILE, b"*(conflict *\n")
        anna.disk.delete(copy)
        rename(anna, "f", "g")
        await anna.start()
        await trio.sleep(60)
        loser = [record for record in versions(anna, "f") if record.content.size == len(b"by berta")]
        later = [record for record in versions(anna, "f") if record.supersedes(loser[0])]
        assert not later
        assert berta.disk.exists("g")

    run_simulated(lambda: within_world(seed, story), seed)


@pytest.mark.parametrize("young", [False, True])
def test_person_renames_what_was_just_renamed_here_and_not_noted_yet(
    young: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The person's rename is looked at before ours is noted, and written down after: a name stayed that
    nobody had. ``young``: only by its bytes is it known as the same file."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world)
        await old_file(world, anna, "f")
        assert berta.drive is not None
        replica, settler = berta.drive.replica, Settler(berta.drive.replica, Patience(), _always, _always)
        if young:
            with replica.writing() as log:
                log.connection.execute("UPDATE entries SET checked_ns = mtime_ns")
        make_durable, show, look = Shower._make_durable, Shower.show, Settler._observe
        looked: list[tuple[Observer, list[Observed]]] = []

        def looked_at_before_it_is_noted(self: Shower, run: Any) -> Any:
            if not looked and any(change.moved_from for change in run.changes):
                rename(berta, "g", "h")
                observer = Observer(replica, Patience(), 0.0)
                looked.append((observer, look(settler, ["h"], observer, Settled())))
            return make_durable(self, run)

        def as_looked_at(_: Settler, __: object, observer: Observer, ___: object) -> list[Observed]:
            before, seen = looked[0]
            observer.files, observer.directories = before.files, before.directories
            return seen

        def written_down_after_it_is_noted(self: Shower, tasks: list[Task]) -> Any:
            before = len(looked)
            shown = show(self, tasks)
            if len(looked) > before:
                monkeypatch.setattr(Settler, "_observe", as_looked_at)
                settler.settle(["h"], 0.0)
                monkeypatch.setattr(Settler, "_observe", look)
            return shown

        monkeypatch.setattr(Shower, "_make_durable", looked_at_before_it_is_noted)
        monkeypatch.setattr(Shower, "show", written_down_after_it_is_noted)
        rename(anna, "f", "g")
        await trio.sleep(60)
        assert [seen.path for _, found in looked for seen in found if seen.moved] == ["h"]
        await world.converge()
        assert anna.disk.tree() == berta.disk.tree()
        assert anna.disk.tree().keys() == {"h"}

    run_simulated(lambda: within_world(1, story), 1)


def _always(_: str) -> bool:
    return True
