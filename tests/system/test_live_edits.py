"""Every kind of edit, made on either of two connected machines: soon both are equal, and then quiet."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.system.machines import Machine, difference, eventually, random_bytes, settled, tree, write

Pair = tuple[Machine, Machine]


def create(here: Path) -> None:
    write(here, {"new.txt": "new", "deep/er/new.bin": random_bytes(3, 400_000), "deep/er/empty": b""})


def change(here: Path) -> None:
    write(here, {"plain.txt": "changed\n"})


def append(here: Path) -> None:
    with open(here / "large.bin", "ab") as file:
        file.write(b"a few bytes more")


def replace_as_editors_do(here: Path) -> None:
    write(here, {"plain.txt.swp": "written beside\n"})
    (here / "plain.txt.swp").replace(here / "plain.txt")


def rename_file(here: Path) -> None:
    (here / "large.bin").rename(here / "larger.bin")


def rename_directory(here: Path) -> None:
    (here / "folder").rename(here / "directory")


def move_between_directories(here: Path) -> None:
    (here / "plain.txt").rename(here / "folder/inner/plain.txt")
    (here / "folder/inner/one.txt").rename(here / "one.txt")


def swap_two_files(here: Path) -> None:
    (here / "plain.txt").rename(here / "aside")
    (here / "large.bin").rename(here / "plain.txt")
    (here / "aside").rename(here / "large.bin")


def delete_file(here: Path) -> None:
    (here / "large.bin").unlink()


def remove_tree(here: Path) -> None:
    shutil.rmtree(here / "folder")


def make_executable(here: Path) -> None:
    (here / "plain.txt").chmod(0o755)


def make_not_executable(here: Path) -> None:
    (here / "tool").chmod(0o644)


def touch(here: Path) -> None:
    os.utime(here / "plain.txt", ns=(0, 1_500_000_000_123_456_789))


def retarget_link(here: Path) -> None:
    (here / "link").unlink()
    (here / "link").symlink_to("folder/inner")


def file_becomes_directory(here: Path) -> None:
    (here / "plain.txt").unlink()
    write(here, {"plain.txt/now a folder": "inside"})


def directory_becomes_file(here: Path) -> None:
    shutil.rmtree(here / "folder")
    write(here, {"folder": "a file now"})


def file_becomes_link(here: Path) -> None:
    (here / "plain.txt").unlink()
    (here / "plain.txt").symlink_to("large.bin")


def make_empty_directories(here: Path) -> None:
    (here / "empty/er/est").mkdir(parents=True)


def truncate(here: Path) -> None:
    os.truncate(here / "large.bin", 0)


def many_small_files(here: Path) -> None:
    write(here, {f"many/{number % 10}/{number}.txt": f"number {number}\n" for number in range(500)})


EDITS = [
    create,
    change,
    append,
    replace_as_editors_do,
    rename_file,
    rename_directory,
    move_between_directories,
    swap_two_files,
    delete_file,
    remove_tree,
    make_executable,
    make_not_executable,
    touch,
    retarget_link,
    file_becomes_directory,
    directory_becomes_file,
    file_becomes_link,
    make_empty_directories,
    truncate,
    many_small_files,
]


def a_small_tree(here: Path) -> None:
    write(
        here,
        {
            "plain.txt": "plain\n",
            "tool": "#!/bin/sh\n",
            "large.bin": random_bytes(4, 2_000_000),
            "folder/inner/one.txt": "one",
            "folder/inner/two.txt": "two",
            "folder/three.bin": random_bytes(5, 100_000),
        },
    )
    (here / "folder/hollow").mkdir()
    (here / "tool").chmod(0o755)
    (here / "link").symlink_to("plain.txt")


@pytest.fixture(scope="module")
def places(pair: Pair) -> Pair:
    """For each edit and each direction a folder with the same small tree in it, on both machines."""
    laptop, desktop = pair
    for edit in EDITS:
        for machine in pair:
            a_small_tree(laptop.folder / f"{edit.__name__} on {machine.name}")
    settled(laptop, desktop)
    return pair


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.__name__)
def test_an_edit_on_either_machine_appears_on_the_other(places: Pair, edit: Callable[[Path], None]) -> None:
    expected = {}
    for machine in places:
        here = machine.folder / f"{edit.__name__} on {machine.name}"
        edit(here)
        expected[here.name] = tree(here)

    settled(*places)

    for machine in places:
        for name, wanted in expected.items():
            assert tree(machine.folder / name) == wanted
        assert machine.drive()["conflicts"] == 0
        assert machine.problems() == {}


def test_a_file_may_become_a_directory_and_a_file_again(pair: Pair) -> None:
    laptop, desktop = pair
    write(laptop.folder, {"changeling": "a file"})
    settled(laptop, desktop)
    for _ in range(2):
        (desktop.folder / "changeling").unlink()
        write(desktop.folder, {"changeling/inside/it": "a directory"})
        settled(laptop, desktop)
        assert (laptop.folder / "changeling/inside/it").read_text() == "a directory"
        shutil.rmtree(laptop.folder / "changeling")
        write(laptop.folder, {"changeling": "a file"})
        settled(laptop, desktop)
        assert (desktop.folder / "changeling").read_text() == "a file"


def test_a_renamed_file_is_not_sent_again(pair: Pair) -> None:
    laptop, desktop = pair
    write(laptop.folder, {"to be renamed": random_bytes(6, 8_000_000)})
    settled(laptop, desktop)
    before, inode = desktop.received_bytes(), (desktop.folder / "to be renamed").stat().st_ino

    (laptop.folder / "to be renamed").rename(laptop.folder / "renamed")
    settled(laptop, desktop)

    assert desktop.received_bytes() - before < 20_000
    assert (desktop.folder / "renamed").stat().st_ino == inode


def test_a_copied_file_is_not_sent_again(pair: Pair) -> None:
    laptop, desktop = pair
    write(laptop.folder, {"original": random_bytes(7, 8_000_000)})
    settled(laptop, desktop)
    before = desktop.received_bytes()

    shutil.copyfile(laptop.folder / "original", laptop.folder / "copy")
    settled(laptop, desktop)

    assert desktop.received_bytes() - before < 20_000


def test_edits_on_both_machines_at_once_lose_nothing(pair: Pair) -> None:
    laptop, desktop = pair
    write(laptop.folder, {"both/report.txt": "first\n"})
    settled(laptop, desktop)

    write(laptop.folder, {f"both/of laptop {n}": f"laptop {n}" for n in range(50)})
    write(desktop.folder, {f"both/of desktop {n}": f"desktop {n}" for n in range(50)})
    with desktop.frozen():  # so that neither has seen the other's
        write(laptop.folder, {"both/report.txt": "by the laptop\n"})
        eventually(lambda: laptop.cli("log", laptop.folder / "both/report.txt").stdout.count("\n") == 2)
        write(desktop.folder, {"both/report.txt": "by the desktop\n"})
    settled(laptop, desktop)

    here = tree(laptop.folder / "both")
    contents = sorted(entry[1] for path, entry in here.items() if path.startswith("report"))
    assert contents == [b"by the desktop\n", b"by the laptop\n"]
    assert len(here) == 102
    copy = next(path for path in here if "conflict" in path)
    (desktop.folder / "both" / copy).unlink()
    settled(laptop, desktop)
    assert not (laptop.folder / "both" / copy).exists()
    assert laptop.drive()["conflicts"] == desktop.drive()["conflicts"] == 0


def test_a_file_that_grows_while_it_is_sent_arrives_whole(pair: Pair) -> None:
    laptop, desktop = pair
    (laptop.folder / "log.txt").touch()
    for line in range(300):
        with open(laptop.folder / "log.txt", "a") as file:
            file.write(f"line {line}\n" * 100)
    settled(laptop, desktop)
    assert (desktop.folder / "log.txt").read_text().endswith("line 299\n")


def test_names_that_cannot_travel_are_reported_and_the_rest_goes_on(pair: Pair) -> None:
    laptop, desktop = pair
    folder = laptop.folder / "odd names"
    folder.mkdir()
    (folder / "fine").write_text("fine")
    bad = os.fsencode(folder) + b"/not utf-8 \xff"
    with open(bad, "w") as file:
        file.write("stays here")
    eventually((desktop.folder / "odd names/fine").exists)
    eventually(lambda: any("not utf-8" in path for path in laptop.problems()), laptop.problems)
    os.unlink(bad)
    eventually(lambda: not laptop.problems(), laptop.problems)
    settled(laptop, desktop)


def test_nothing_is_left_of_all_this(pair: Pair) -> None:
    laptop, desktop = pair
    assert difference(laptop.folder, desktop.folder) == []
    for machine in pair:
        assert list((machine.folder / ".p2pdrive/tmp").iterdir()) == []
        assert machine.problems() == {}
