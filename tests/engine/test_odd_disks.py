"""One machine has its folder on a disk that lacks things; that costs these things there, and nothing else."""

import os
import shutil
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.disks import ExFat, exfat, refuse_leases
from tests.engine.test_private import Onlooker
from tests.engine.world import Machine, World


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[ExFat]:
    with exfat(tmp_path) as made:
        yield made


async def with_exfat(world: World, disk: ExFat, files: dict[str, str]) -> tuple[Machine, Machine]:
    """Anna, who has these files, and berta, who has joined with a folder on an exFAT disk."""
    anna, berta = world.machine("anna"), world.machine("berta")
    berta.root = disk.place / "drive"
    berta.root.mkdir()
    for path, text in files.items():
        anna.write(path, text)
    await anna.share()
    await berta.join(anna)
    world.join_up()
    return anna, berta


async def rest(world: World, *machines: Machine) -> None:
    """Until all is seen and told."""
    for machine in machines or tuple(world.machines):
        machine.look()
    await world.quiet()


async def agree(world: World, anna: Machine, berta: Machine) -> None:
    """Until both show the same files; permissions and times aside, which exFAT does not keep."""
    await rest(world)
    await world.until(lambda: anna.files() == berta.files(), "the same files on both")
    await rest(world)
    assert anna.files() == berta.files()
    assert not anna.problems
    assert not berta.problems


def is_executable(machine: Machine, path: str) -> bool:
    return os.access(machine.root / path, os.X_OK) and bool((machine.root / path).stat().st_mode & 0o100)


async def test_files_that_look_executable_on_exfat_stay_what_they_were_elsewhere(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    """Every edit made the file executable on all machines."""
    anna, berta = await with_exfat(world, disk, {"plain.txt": "1", "script.sh": "1", "moved.txt": "1"})
    (anna.root / "script.sh").chmod(0o755)
    await rest(world)
    assert is_executable(berta, "plain.txt")
    berta.write("plain.txt", "plain 2")
    berta.write("script.sh", "script 2")
    berta.write("new.txt", "new")
    berta.rename("moved.txt", "moved to.txt")
    await rest(world)
    await rest(world)
    assert anna.files() == berta.files()
    assert anna.read("script.sh") == "script 2"
    executable = {path for path in anna.files() if is_executable(anna, path)}
    assert executable == {"script.sh"}
    (anna.root / "script.sh").chmod(0o644)
    (anna.root / "new.txt").chmod(0o755)
    await rest(world)
    berta.write("new.txt", "new 2")
    berta.write("script.sh", "script 3")
    await rest(world)
    assert {path for path in anna.files() if is_executable(anna, path)} == {"new.txt"}
    assert anna.files() == berta.files()
    assert not anna.problems
    assert not berta.problems


async def test_exfat_that_is_mounted_again_with_other_inodes_publishes_nothing(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    anna, berta = await with_exfat(world, disk, {f"d/{name}": name for name in "abcdefgh"})
    await rest(world)
    dots = anna.dots()
    before = {name: (berta.root / "d" / name).stat().st_ino for name in "abcdefgh"}
    await berta.stop()
    disk.unmount()
    disk.mount()
    for name in "hgfedcba":
        (berta.root / "d" / name).stat()
    assert {name: (berta.root / "d" / name).stat().st_ino for name in "abcdefgh"} != before
    await berta.start()
    await rest(world)
    assert anna.dots() == dots
    assert anna.files() == berta.files()
    assert len(berta.files()) == 8


async def test_disk_that_refuses_all_leases_syncs_both_ways(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """NFSv4 and SMB: nothing was ever edited, deleted or published there."""
    refuse_leases(monkeypatch)
    anna, berta = await world.sharing("anna", "berta", files={"edited": "1", "deleted": "1", "touched": "1"})
    anna.write("edited", "2")
    anna.delete("deleted")
    anna.write(".p2pdriveignore", "*.o\n")
    (anna.root / "touched").chmod(0o755)
    tree = await world.converge()
    assert berta.files() == {"edited": "2", "touched": "1", ".p2pdriveignore": "*.o\n"}
    assert tree["touched"][2]
    berta.write("edited", "3")
    await world.converge()
    assert anna.read("edited") == "3"


async def test_of_two_names_that_differ_in_case_alone_one_is_shown_and_nothing_said_of_the_other(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    """An edit of the one was replaced by the content of the other, on all machines."""
    anna, berta = await with_exfat(world, disk, {"d/a.txt": "small"})
    await rest(world)
    anna.write("d/A.txt", "capital")
    await rest(world)
    assert berta.files() == {"d/a.txt": "small"}
    assert berta.problems.keys() == {"d/A.txt"}
    assert "cannot tell 'd/A.txt' from 'd/a.txt'" in berta.problems["d/A.txt"]

    anna.write("d/A.txt", "capital 2")
    anna.write("d/a.txt", "small 2")
    await rest(world)
    berta.write("d/a.txt", "small 3")
    await rest(world)
    await berta.restart()
    world.join_up()
    await rest(world)
    assert anna.files() == {"d/a.txt": "small 3", "d/A.txt": "capital 2"}
    assert berta.files() == {"d/a.txt": "small 3"}
    assert not anna.copies()

    anna.rename("d/a.txt", "d/b.txt")
    await rest(world)
    await agree(world, anna, berta)
    assert berta.files() == {"d/b.txt": "small 3", "d/A.txt": "capital 2"}


@pytest.mark.parametrize("how", ["deleted", "renamed"])
async def test_other_name_appears_once_a_person_makes_room_for_it_there(
    world: World, autojump_clock: MockClock, disk: ExFat, how: str
) -> None:
    anna, berta = await with_exfat(world, disk, {"a": "small", "A": "capital"})
    await rest(world)
    assert len(berta.files()) == 1
    (shown,) = berta.files()
    if how == "deleted":
        berta.delete(shown)
    else:
        berta.rename(shown, "b")
    await agree(world, anna, berta)
    hidden = "a" if shown == "A" else "A"
    assert anna.files().keys() == ({hidden} if how == "deleted" else {hidden, "b"})


async def test_names_that_change_in_case_alone_change_on_all_machines(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    anna, berta = await with_exfat(world, disk, {"Photo.JPG": "1", "Docs/x": "x", "Docs/y": "y"})
    await world.until(lambda: len(berta.files()) == 3, "what anna has")
    anna.rename("Photo.JPG", "photo.jpg")
    (anna.root / "Docs").rename(anna.root / "docs")
    await rest(world)
    await agree(world, anna, berta)
    assert set(os.listdir(berta.root)) == {".p2pdrive", "photo.jpg", "docs"}
    berta.rename("photo.jpg", "PHOTO.jpg")
    (berta.root / "docs").rename(berta.root / "DOCS")
    await agree(world, anna, berta)
    assert anna.files() == {"PHOTO.jpg": "1", "DOCS/x": "x", "DOCS/y": "y"}


async def test_what_is_done_by_another_spelling_on_exfat_is_done_everywhere(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    """The watcher names the path as the program spelled it."""
    anna, berta = await with_exfat(
        world, disk, {"foo.txt": "old", "del.txt": "x", "Dir/f": "old", "Dir/g": "x"}
    )
    await rest(world)
    berta.write("FOO.TXT", "newer")
    berta.write("DIR/F", "newer")
    berta.delete("DEL.TXT")
    berta.delete("DIR/G")
    expected = {"foo.txt": "newer", "Dir/f": "newer"}
    deadline = time.monotonic() + 10
    while berta.files() != expected:  # the kernel remembers each spelling by itself, for a second
        assert time.monotonic() < deadline
    berta.look("FOO.TXT", "DIR/F", "DEL.TXT", "DIR/G")
    await world.until(lambda: anna.files() == expected, "the changes by other spellings")


async def test_directories_that_differ_in_case_alone_are_not_mixed(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    anna, berta = await with_exfat(world, disk, {"Docs/x": "1"})
    await rest(world)
    anna.write("docs/x", "2")
    anna.write("docs/y", "3")
    await rest(world)
    assert berta.files() == {"Docs/x": "1"}
    assert berta.problems.keys() == {"docs", "docs/x", "docs/y"}
    berta.write("Docs/y", "4")
    await rest(world)
    assert anna.files() == {"Docs/x": "1", "Docs/y": "4", "docs/x": "2", "docs/y": "3"}
    (anna.root / "docs").rename(anna.root / "other")
    await agree(world, anna, berta)
    assert berta.files() == {"Docs/x": "1", "Docs/y": "4", "other/x": "2", "other/y": "3"}


async def test_what_a_disk_cannot_hold_is_a_problem_of_its_own_and_stays_elsewhere(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    names = ["a:b", 'what "is" this?', "d<1>/x", "tab\there"]
    anna, berta = await with_exfat(world, disk, {**dict.fromkeys(names, "odd"), "d/plain": "plain"})
    (anna.root / "link").symlink_to("d/plain")
    await rest(world)
    before = anna.tree()
    assert berta.files() == {"d/plain": "plain"}
    assert berta.problems.keys() == {*names, "d<1>", "link"}
    assert "names have no ':'" in berta.problems["a:b"]
    assert "a control character" in berta.problems["tab\there"]
    assert "is a link" in berta.problems["link"]
    anna.write("d/plain", "edited")
    anna.write("a:b", "edited")
    await rest(world)
    await berta.restart()
    world.join_up()
    await rest(world)
    assert berta.files() == {"d/plain": "edited"}
    assert anna.tree().keys() == before.keys()
    for name in names:
        anna.rename(name, name.translate({ord(each): "_" for each in ':"?<>\t'}))
    anna.delete("link")
    (anna.root / "d<1>").rmdir()
    await agree(world, anna, berta)
    assert not berta.problems
    assert len(berta.files()) == 5


async def test_folder_that_is_copied_to_a_disk_which_cannot_hold_it_all_loses_nothing_elsewhere(
    world: World, autojump_clock: MockClock, disk: ExFat
) -> None:
    """What the copy lacked was deleted on all machines."""
    files = {"a:b": "odd", "a": "small", "A": "capital", "plain": "plain"}
    anna, berta = await world.sharing("anna", "berta", files=files)
    (anna.root / "link").symlink_to("plain")
    await world.converge()
    before = anna.tree()
    await berta.stop()
    away = disk.place / "drive"
    shutil.copytree(berta.root / ".p2pdrive", away / ".p2pdrive")
    for name in ("a", "plain"):
        shutil.copy2(berta.root / name, away / name)
    berta.root = away
    await berta.start()
    world.join_up()
    await rest(world)
    await rest(world)
    assert anna.tree() == before
    assert berta.files() == {"a": "small", "plain": "plain"}
    assert berta.problems.keys() == {"a:b", "A", "link"}
    berta.delete("a")
    await rest(world)
    await world.until(lambda: berta.files() == {"A": "capital", "plain": "plain"}, "the other name")
    assert anna.files() == {"a:b": "odd", "A": "capital", "plain": "plain"}
    assert berta.problems.keys() == {"a:b", "link"}


@pytest.mark.parametrize("path", ["key", "keys/diary"])
async def test_private_file_that_takes_the_place_of_another_on_exfat_stays_private_elsewhere(
    world: World, autojump_clock: MockClock, disk: ExFat, path: str
) -> None:
    anna, berta = await with_exfat(world, disk, {path: "a secret", "open": "for all"})
    (anna.root / path.partition("/")[0]).chmod(0o700 if "/" in path else 0o600)
    await agree(world, anna, berta)
    onlooker = Onlooker(anna, "a secret")
    berta.rename(path, "open")
    await agree(world, anna, berta)
    assert anna.read("open") == "a secret"
    assert stat.S_IMODE((anna.root / "open").stat().st_mode) == 0o600
    assert onlooker.read == []


def permissions(machine: Machine, *named: str) -> dict[str, str]:
    """The modes of these paths, in octal."""
    return {path: f"{stat.S_IMODE((machine.root / path).stat().st_mode):o}" for path in named}


@pytest.mark.parametrize("when", ["running", "off", "off, and mounted again"])
async def test_what_is_renamed_on_exfat_keeps_its_permissions_elsewhere(
    world: World, autojump_clock: MockClock, disk: ExFat, when: str
) -> None:
    """A script arrived as no program any more, and a closed folder open."""
    files = {
        path: path for path in ("one.sh", "key.sh", "cs.sh", "d/x.sh", "priv/diary", "priv/sub/b", "p/x")
    }
    anna, berta = await with_exfat(world, disk, files)
    for path in ("one.sh", "cs.sh", "d/x.sh"):
        (anna.root / path).chmod(0o755)
    (anna.root / "empty").mkdir()
    for path in ("key.sh", "priv", "empty"):
        (anna.root / path).chmod(0o700)
    await agree(world, anna, berta)
    onlooker = Onlooker(anna, "priv/diary", "priv/sub/b", "key.sh")
    if when != "running":
        await berta.stop()
    names = {"one.sh": "uno.sh", "key.sh": "k", "cs.sh": "CS.sh", "d": "e", "priv": "priv2", "p": "q"}
    if when != "off, and mounted again":  # by what would an empty folder be known there?
        names["empty"] = "empty2"
    for old, new in names.items():
        (berta.root / old).rename(berta.root / new)
    (berta.root / "fresh").mkdir()
    berta.write("fresh/plain", "plain")
    if when != "running":
        if when == "off, and mounted again":
            disk.unmount()
            disk.mount()
        await berta.start()
        world.join_up()
    await agree(world, anna, berta)
    assert permissions(anna, "uno.sh", "k", "CS.sh", "e", "e/x.sh", "priv2", "priv2/diary", "q", "q/x") == {
        "uno.sh": "755",
        "k": "700",
        "CS.sh": "755",
        "e": "755",
        "e/x.sh": "755",
        # What a folder was cannot be told after another mount, but what was in it is closed itself.
        **(
            {"priv2": "755", "priv2/diary": "600"}
            if "again" in when
            else {"priv2": "700", "priv2/diary": "644"}
        ),
        "q": "755",
        "q/x": "644",
    }
    if "empty" in names:
        assert permissions(anna, "empty2") == {"empty2": "700"}
    assert permissions(anna, "fresh", "fresh/plain") == {"fresh": "755", "fresh/plain": "644"}
    assert onlooker.read == []


@pytest.mark.parametrize("looks", ["once", "after each step"])
async def test_backup_that_an_editor_makes_by_a_rename_on_exfat_keeps_its_permissions_elsewhere(
    world: World, autojump_clock: MockClock, disk: ExFat, looks: str
) -> None:
    """As emacs does: what was private was open to others in the backup."""
    anna, berta = await with_exfat(world, disk, {"w": "a secret", "s.sh": "1"})
    (anna.root / "w").chmod(0o600)
    (anna.root / "s.sh").chmod(0o755)
    await agree(world, anna, berta)
    onlooker = Onlooker(anna, "a secret", "another", "a third")
    for round_, (secret, script) in enumerate([("another", "2"), ("a third", "3")]):
        for path, text in (("w", secret), ("s.sh", script)):
            (berta.root / path).rename(berta.root / f"{path}~")
            if looks == "after each step":
                await agree(world, anna, berta)
            berta.write(path, text)
        await agree(world, anna, berta)
        assert permissions(anna, "w", "w~", "s.sh", "s.sh~") == {
            "w": "600",
            "w~": "600",
            "s.sh": "755",
            "s.sh~": "755",
        }, round_
    assert anna.read("w~") == "another"
    assert onlooker.read == []
