"""A folder of many files goes away, file by file, while its node runs."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.machines import Machine, Machines, eventually, settled, tree, write

FILES = {f"d{number % 20}/{number}.txt": f"file {number}\n" for number in range(1000)}


def test_a_folder_that_is_removed_or_moved_to_another_disk_deletes_nothing_elsewhere(
    machines: Machines,
) -> None:
    elsewhere = Path("/dev/shm", f"p2pdrive test {machines.base.name}")
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, FILES)
    desktop.join(laptop.share())
    settled(laptop, desktop)
    before = tree(desktop.folder)
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == laptop.folder.stat().st_dev:
        pytest.skip("there is no other disk to move a folder to")
    try:
        subprocess.run(["mv", laptop.folder, elsewhere], check=True)  # copies, then removes, file by file
        eventually(lambda: laptop.drive()["state"] == "offline", laptop.drive)
        assert tree(desktop.folder) == before
        assert "nothing was deleted elsewhere" in laptop.cli("status").stdout
        subprocess.run(["mv", elsewhere, laptop.folder], check=True)
        settled(laptop, desktop)
        assert tree(desktop.folder) == before
    finally:
        shutil.rmtree(elsewhere, ignore_errors=True)
    subprocess.run(["rm", "-rf", laptop.folder], check=True)
    eventually(lambda: laptop.drive()["state"] == "offline", laptop.drive)
    assert tree(desktop.folder) == before


def test_all_files_that_a_person_deletes_are_counted_until_the_others_are_told(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, FILES)
    desktop.join(laptop.share())
    settled(laptop, desktop)
    for directory in laptop.folder.glob("d*"):
        shutil.rmtree(directory)
    gone = len(FILES) + 20
    eventually(lambda: laptop.drive()["deleting"] == gone, laptop.drive)
    assert f"{gone:,} files and folders deleted here" in laptop.cli("status").stdout
    laptop.wait(0.1, code=3)
    laptop.wait()
    settled(laptop, desktop)
    assert tree(desktop.folder) == {}


def test_a_copy_that_is_shared_in_place_of_its_folder_loses_nothing_and_a_person_chooses(
    machines: Machines,
) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, FILES)
    desktop.join(laptop.share())
    settled(laptop, desktop)
    copy = laptop.base / "Copy"
    laptop.stop()
    subprocess.run(["cp", "-a", laptop.folder, copy], check=True)
    laptop.start()
    for number in range(4):
        shutil.rmtree(laptop.folder / f"d{number}")
    settled(laptop, desktop)
    before = tree(desktop.folder)
    laptop.cli("leave", laptop.folder)
    laptop.share(folder=copy)
    laptop.folder = copy
    eventually(lambda: laptop.drive()["brought"] == len(FILES) // 5 and _in_sync(laptop), laptop.drive)
    assert tree(desktop.folder) == before
    assert "--restore` brings them back everywhere" in laptop.cli("status").stdout
    laptop.cli("share", copy, "--restore")
    settled(laptop, desktop)
    assert tree(copy).keys() >= FILES.keys()
    assert laptop.drive()["brought"] == 0


def _in_sync(machine: Machine) -> bool:
    return bool(machine.drive()["state"] == "in-sync")
