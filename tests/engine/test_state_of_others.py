"""Another program changes the ``.p2pdrive`` of a drive that runs: it is noticed, and nothing is lost."""

import shutil
import subprocess
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World

FILES = {f"d/{number}.txt": f"file {number}" for number in range(30)}


async def with_a_backup(world: World) -> tuple[Machine, Machine, Path]:
    """Anna and berta, and anna's state of some time ago; both have written since."""
    anna, berta = await world.sharing("anna", "berta", files=FILES)
    await anna.stop()
    backup = anna.root.with_name("old state")
    shutil.copytree(anna.root / ".p2pdrive", backup)
    await anna.start()
    world.join_up()
    anna.write("d/1.txt", "edited by anna")
    anna.write("new.txt", "by anna")
    berta.write("other.txt", "by berta")
    anna.delete("d/2.txt")
    await world.converge()
    world.check_dots()
    return anna, berta, backup


def put_over(state: Path, backup: Path, way: str) -> None:
    match way:
        case "in place":
            command("cp", "-a", f"{backup}/.", f"{state}/")
        case "replaced":
            state.rename(state.with_name("aside"))
            shutil.copytree(backup, state)
            shutil.rmtree(state.with_name("aside"))
        case "index alone":
            shutil.copy(backup / "index.db", state / "index.db.new")
            (state / "index.db.new").rename(state / "index.db")
        case _:
            for part in sorted(backup.rglob("*")):
                if part.is_file():
                    place = state / part.relative_to(backup)
                    beside = place.with_name(f"{place.name}.new")
                    shutil.copy2(part, beside)
                    beside.rename(place)


def command(*argv: str) -> None:
    subprocess.run(argv, check=True)


@pytest.mark.parametrize("way", ["in place", "replaced", "index alone", "copied by rsync"])
async def test_an_older_state_that_is_copied_over_a_running_drives_is_taken_up_as_another_past(
    world: World, autojump_clock: MockClock, way: str
) -> None:
    anna, berta, backup = await with_a_backup(world)
    state, expected = anna.root / ".p2pdrive", berta.files()
    actors = anna.own_actors()
    put_over(state, backup, way)
    await trio.sleep(10)
    berta.write("later.txt", "by berta, later")
    anna.write("latest.txt", "by anna, later")
    await trio.sleep(1)
    tree = await world.converge()
    assert tree.keys() == expected.keys() | {"later.txt", "latest.txt", "d"}
    assert {path: anna.files()[path] for path in expected} == expected
    assert not set(actors) & set(anna.own_actors())
    world.check_dots()


async def test_an_index_whose_log_alone_is_replaced_is_taken_up_as_another_past(
    world: World, autojump_clock: MockClock
) -> None:
    """Who copies by renames leaves out the index, as long as that is what it was."""
    anna, berta = await world.sharing("anna", "berta", files=FILES)
    state, backup = anna.root / ".p2pdrive", anna.root.with_name("old state")
    shutil.copytree(state, backup)
    anna.write("new.txt", "by anna")
    await world.converge()
    actors = anna.own_actors()
    for name in ("index.db-wal", "index.db-shm"):
        shutil.copy2(backup / name, state / f"{name}.new")
        (state / f"{name}.new").rename(state / name)
    await trio.sleep(10)
    berta.write("later.txt", "by berta, later")
    anna.write("latest.txt", "by anna, later")
    await trio.sleep(1)
    await world.converge()
    assert anna.files() == berta.files()
    assert anna.files().keys() == FILES.keys() | {"new.txt", "later.txt", "latest.txt"}
    assert not set(actors) & set(anna.own_actors())
    world.check_dots()


async def test_an_index_that_is_removed_under_a_running_drive_ends_in_words_that_help(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, _ = await with_a_backup(world)
    before = berta.tree()
    for part in (anna.root / ".p2pdrive").glob("index.db*"):
        part.unlink()
    await trio.sleep(10)
    assert "index.db is gone" in anna.trouble
    assert "p2pdrive leave" in anna.trouble
    assert not (anna.root / ".p2pdrive/index.db").exists()
    assert berta.tree() == before
    assert anna.files() == berta.files()


async def test_the_state_of_another_drive_is_left_as_it_is(world: World, autojump_clock: MockClock) -> None:
    anna, berta, _ = await with_a_backup(world)
    before = berta.tree()
    clara = world.machine("clara", "another")
    await clara.share()
    await clara.stop()
    strange = clara.root / ".p2pdrive"
    command("cp", "-a", f"{strange}/.", f"{anna.root}/.p2pdrive/")
    await trio.sleep(10)
    assert "state of another drive" in anna.trouble
    assert berta.tree() == before
    world.machines.remove(clara)


async def test_who_changes_the_mode_of_all_files_changes_nothing_of_the_state(
    world: World, autojump_clock: MockClock
) -> None:
    anna, _berta, _ = await with_a_backup(world)
    drive = anna.drive
    command("chmod", "-R", "go-rwx", str(anna.root))
    await trio.sleep(10)
    assert anna.drive is drive


@pytest.mark.parametrize("name", ["instance", "reserve", "reserve.probe"])
async def test_link_in_a_state_from_elsewhere_leads_no_write_out_of_it(
    world: World, autojump_clock: MockClock, name: str
) -> None:
    (anna,) = await world.sharing("anna", files={"f": "x"})
    await anna.stop()
    outside = anna.root.with_name("outside")
    outside.write_text("a person's own")
    place = anna.root / ".p2pdrive" / name
    place.unlink(missing_ok=True)
    place.symlink_to(outside)
    await anna.start()
    await world.converge()
    anna.replica.database.reserve.is_disk_full()
    assert outside.read_text() == "a person's own"
