"""What built-in rules hide: never published, and gone with a folder that is deleted elsewhere."""

import shutil

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.folder import defaults
from tests.engine.world import World

STAYS = "holds files that are not synced here"
LITTER = {"d/.DS_Store": "finder", "d/Thumbs.db": "explorer", "d/.~lock.a.odt#": "anna,laptop"}


async def test_litter_is_never_published_and_goes_with_its_folder(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/e/a.txt": "a", "d/b.txt": "b"})
    for path, content in LITTER.items():
        berta.write(path, content)
        berta.write(path.replace("d/", "d/e/"), content)
    (berta.root / "d/e/.#a.txt").symlink_to("anna@laptop.4711")
    berta.look()
    await world.quiet()
    assert anna.files() == {"d/e/a.txt": "a", "d/b.txt": "b"}
    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: not (berta.root / "d").exists(), "the end of the folder")
    await world.converge()
    assert berta.problems == anna.problems == {}
    assert not list(berta.replica.files.displaced())


@pytest.mark.parametrize(
    "left",
    [
        *(".git/index.lock", ".git/refs/heads/main.lock", ".nfs00a1", ".dropbox", "._sync_1.db-wal"),
        *(".stfolder/syncthing-folder-1a.txt", ".syncthing.a.txt.tmp"),
    ],
)
async def test_what_is_of_no_use_without_its_folder_goes_with_it(
    world: World, autojump_clock: MockClock, left: str
) -> None:
    """One lock of a git that was killed kept all folders of a project for ever."""
    files = {"proj/a.txt": "a", "proj/.git/HEAD": "ref", "proj/.git/refs/heads/main": "1"}
    anna, berta = await world.sharing("anna", "berta", files=files)
    berta.write(f"proj/{left}", "left")
    berta.look()
    await world.quiet()
    assert f"proj/{left}" not in anna.files()
    shutil.rmtree(anna.root / "proj")
    anna.look()
    await world.until(lambda: not (berta.root / "proj").exists(), "the end of the folder")
    await world.converge()
    assert berta.problems == anna.problems == {}
    assert not list(berta.replica.files.displaced())


STAYING = [".a.txt.swp", ".Trash-1000/files/letter", "x.log", ".stversions/a.txt", ".stfolder/my notes"]


@pytest.mark.parametrize("stays", STAYING)
async def test_folder_stays_with_what_somebody_may_want_back_and_says_so(
    world: World, autojump_clock: MockClock, stays: str
) -> None:
    files = {".p2pdriveignore": "*.log\n", "d/a.txt": "a"}
    anna, berta = await world.sharing("anna", "berta", files=files)
    berta.write("d/.DS_Store", "finder")
    berta.write(f"d/{stays}", "unsaved")
    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: STAYS in berta.problems.get("d", ""), "the problem")
    assert f"({stays.split('/', maxsplit=1)[0]})" in berta.problems["d"]
    assert berta.read(f"d/{stays}") == "unsaved"
    assert berta.read("d/.DS_Store") == "finder"  # all or nothing
    shutil.rmtree(berta.root / "d")
    await world.converge()
    assert berta.problems == {}


async def test_litter_that_a_person_wants_stays_with_its_folder(
    world: World, autojump_clock: MockClock
) -> None:
    """Their line undoes the rule: it is synced, and what is hidden for another reason is no litter."""
    files = {".p2pdriveignore": "!desktop.ini\n.DS_Store\n", "d/a.txt": "a"}
    anna, berta = await world.sharing("anna", "berta", files=files)
    berta.write("d/desktop.ini", "icons")
    berta.write("d/.DS_Store", "wanted")
    berta.look()
    await world.quiet()
    assert anna.read("d/desktop.ini") == "icons"
    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: STAYS in berta.problems.get("d", ""), "the problem")
    assert berta.read("d/.DS_Store") == "wanted"


async def test_program_that_writes_litter_in_the_last_moment_is_not_in_its_way(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/a.txt": "a"})
    berta.write("d/Thumbs.db", "old")
    berta.before["remove", "d/Thumbs.db"] = lambda: berta.write("d/Thumbs.db", "newer and longer")
    shutil.rmtree(anna.root / "d")
    anna.look()
    await world.until(lambda: not (berta.root / "d").exists(), "the end of the folder")


async def test_drive_that_held_such_files_neither_deletes_nor_publishes_them(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after an update: the rules of this version are other rules than those of the one before."""
    with monkeypatch.context() as before:
        before.setattr("p2pdrive.folder.ignore.defaults.hidden", lambda path, is_directory: False)
        before.setattr("p2pdrive.engine.replica.defaults.LINES", ())
        anna, berta = await world.sharing("anna", "berta", files={"d/.DS_Store": "1", "d/a.txt": "a"})
        assert berta.read("d/.DS_Store") == "1"
    assert defaults.LINES
    for machine in (anna, berta):
        await machine.restart()
    world.join_up()
    await trio.sleep(5)
    anna.write("d/.DS_Store", "2")
    (berta.root / "d/.DS_Store").unlink()
    await rest(world)
    assert anna.read("d/.DS_Store") == "2"
    assert not (berta.root / "d/.DS_Store").exists()
    berta.write(".p2pdriveignore", "!.DS_Store\n")
    await rest(world)
    assert berta.read("d/.DS_Store") == "2"
    assert anna.problems == berta.problems == {}


async def rest(world: World) -> None:
    for machine in world.machines:
        machine.look()
    await world.quiet()
    await trio.sleep(5)
    await world.quiet()
