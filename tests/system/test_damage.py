"""Disks that are full, damaged or gone, and folders that come back from elsewhere: nothing is lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.machines import (
    Machine,
    Machines,
    difference,
    eventually,
    random_bytes,
    settled,
    tree,
    write,
)

MB = 1_000_000


# --- a full disk


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0755", "tmpfs", folder]
    if (
        shutil.which("mount") is None
        or subprocess.run(mount, capture_output=True, check=False).returncode != 0
    ):
        pytest.skip("needs a small file system of its own, which may not be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


def test_a_file_that_does_not_fit_waits_and_the_rest_arrives(machines: Machines) -> None:
    laptop, desktop = machines.make("laptop"), machines.make("desktop")
    with small_disk(desktop.folder, "24m"):
        laptop.start()
        desktop.start()
        write(laptop.folder, {"a small one": "small", "m/too large": os.urandom(40 * MB)})
        write(laptop.folder, {f"z/{number}": random_bytes(number, 20_000) for number in range(50)})
        desktop.join(laptop.share())
        eventually(lambda: "m/too large" in desktop.problems(), desktop.drive)
        eventually(lambda: len(difference(laptop.folder, desktop.folder)) == 1, desktop.tail)

        assert not (desktop.folder / "m/too large").exists()
        eventually(lambda: desktop.drive()["state"] == "syncing", desktop.drive)
        assert desktop.drive()["missing_files"] == 1
        (what,) = desktop.problems().values()
        assert "disk, which is full" in what
        write(desktop.folder, {"back": "the other way works too"})
        eventually((laptop.folder / "back").exists)

        (laptop.folder / "m/too large").unlink()
        settled(laptop, desktop)
        assert desktop.problems() == {}
        desktop.discard()


# --- damage


@pytest.fixture
def two_drives(machines: Machines) -> tuple[Machine, Machine, Path, Path]:
    """Two machines with two drives; the second drive's folders."""
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, {"file": "content", "folder/large": random_bytes(1, 3 * MB)})
    here, there = laptop.base / "Music", desktop.base / "Music"
    here.mkdir()
    there.mkdir()
    desktop.join(laptop.share(folder=here), there)
    return laptop, desktop, here, there


Two = tuple[Machine, Machine, Path, Path]


def test_a_damaged_pack_is_named_and_other_copies_are_used(two_drives: Two) -> None:
    laptop, desktop, here, there = two_drives
    link = laptop.share()
    laptop.wait()
    write(laptop.folder, {"file": "a newer version, so that the older is in a pack alone"})
    eventually(lambda: laptop.cli("log", laptop.folder / "file").stdout.count("\n") == 2)
    laptop.stop()
    packs = sorted((laptop.folder / ".p2pdrive/packs").iterdir())
    for pack in packs:
        whole = bytearray(pack.read_bytes())
        for at in range(100, len(whole), 1000):
            whole[at] ^= 0xFF
        pack.write_bytes(whole)
    laptop.start()
    desktop.join(link)
    eventually(lambda: difference(laptop.folder, desktop.folder) == [], laptop.drive)

    names = " ".join([*laptop.problems().keys(), *laptop.problems().values()])
    assert any(pack.name in names for pack in packs), names
    write(here, {"another drive": "is not concerned"})
    eventually(lambda: tree(there) == tree(here))
    write(laptop.folder, {"the same drive": "goes on"})
    eventually(lambda: difference(laptop.folder, desktop.folder) == [], laptop.drive)


@pytest.mark.parametrize("damage", ["middle", "empty"])
def test_a_damaged_index_is_named_and_another_drive_keeps_working(two_drives: Two, damage: str) -> None:
    laptop, desktop, here, there = two_drives
    desktop.join(laptop.share())
    settled(laptop, desktop)
    before = tree(laptop.folder)
    desktop.stop()
    index = desktop.folder / ".p2pdrive/index.db"
    whole = bytearray(index.read_bytes())
    match damage:
        case "middle":
            whole[4096:] = b"\xaa" * (len(whole) - 4096)
        case "empty":
            whole.clear()
    index.write_bytes(whole)

    desktop.start()
    eventually(lambda: desktop.drive()["state"] == "error", desktop.drive)
    assert "index.db" in " ".join(desktop.problems().values())
    write(here, {"another drive": "is not concerned"})
    eventually(lambda: tree(there) == tree(here))
    assert tree(laptop.folder) == tree(desktop.folder) == before
    assert "index.db" in desktop.cli("status").stdout


# --- a folder that goes and comes back


def test_a_folder_that_is_moved_away_is_offline_and_comes_back(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, {"folder/file": "content", "more": random_bytes(1, 2 * MB)})
    desktop.join(laptop.share())
    settled(laptop, desktop)
    before = tree(laptop.folder)
    elsewhere = desktop.base / "unplugged"

    desktop.folder.rename(elsewhere)
    eventually(lambda: desktop.drive()["state"] == "offline", desktop.drive)
    eventually(lambda: laptop.drive()["state"] == "waiting", laptop.drive)
    assert tree(laptop.folder) == before
    write(laptop.folder, {"meanwhile": "new"})
    assert not desktop.folder.exists()
    elsewhere.rename(desktop.folder)
    settled(laptop, desktop)
    assert tree(laptop.folder).items() >= before.items()

    desktop.stop()  # and the same while it is not running
    desktop.folder.rename(elsewhere)
    desktop.folder.mkdir()  # as an empty mount point is
    desktop.start()
    eventually(lambda: desktop.drive()["state"] == "offline", desktop.drive)
    assert list(desktop.folder.iterdir()) == []
    desktop.folder.rmdir()
    elsewhere.rename(desktop.folder)
    settled(laptop, desktop)
    assert tree(laptop.folder).items() >= before.items()


def test_a_folder_whose_files_were_replaced_by_an_empty_one_while_running(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, {"folder/file": "content"})
    desktop.join(laptop.share())
    settled(laptop, desktop)
    before = tree(laptop.folder)
    desktop.folder.rename(desktop.base / "unplugged")
    desktop.folder.mkdir()
    eventually(lambda: desktop.drive()["state"] == "offline", desktop.drive)
    assert tree(laptop.folder) == before
    assert list(desktop.folder.iterdir()) == []


def test_a_folder_restored_from_a_backup_deletes_nothing(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, {"old": "old", "changes later": "as backed up", "goes later": "still there"})
    desktop.join(laptop.share())
    write(desktop.folder, {"by desktop/before": "before"})
    settled(laptop, desktop)
    desktop.stop()
    backup = desktop.base / "backup"
    shutil.copytree(desktop.folder, backup, symlinks=True)

    desktop.start()
    write(desktop.folder, {"by desktop/after": "after", "changes later": "as of today"})
    write(laptop.folder, {"by laptop/after": "after"})
    (laptop.folder / "goes later").unlink()
    settled(laptop, desktop)
    today = tree(laptop.folder)
    desktop.stop()

    shutil.rmtree(desktop.folder)
    shutil.copytree(backup, desktop.folder, symlinks=True)
    desktop.start()
    eventually(lambda: desktop.drive()["brought"] == 1, desktop.drive)
    assert (desktop.folder / "goes later").read_text() == "still there"
    desktop.cli("share", desktop.folder, "--catch-up")
    settled(laptop, desktop)
    assert tree(laptop.folder) == today
    assert laptop.drive()["conflicts"] == 0

    write(desktop.folder, {"by desktop/later": "and it goes on"})
    write(laptop.folder, {"by laptop/later": "both ways"})
    settled(laptop, desktop)
    for machine in (laptop, desktop):
        assert machine.problems() == {}
    laptop.stop()
    laptop.start()
    settled(laptop, desktop)


def test_an_edit_made_in_a_restored_folder_is_an_edit(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, {"report": "first", "other": "first"})
    desktop.join(laptop.share())
    settled(laptop, desktop)
    desktop.stop()
    backup = desktop.base / "backup"
    shutil.copytree(desktop.folder, backup, symlinks=True)
    desktop.start()
    write(desktop.folder, {"report": "second"})
    settled(laptop, desktop)
    desktop.stop()
    shutil.rmtree(desktop.folder)
    shutil.copytree(backup, desktop.folder, symlinks=True)
    write(desktop.folder, {"report": "written in the restored folder", "new": "new"})

    desktop.start()
    settled(laptop, desktop)
    contents = {entry[1] for path, entry in tree(laptop.folder).items() if path.startswith("report")}
    assert contents == {b"second", b"written in the restored folder"}
    assert (laptop.folder / "new").read_text() == "new"


def test_a_copied_folder_joins_without_transferring_what_it_holds(machines: Machines) -> None:
    laptop, desktop, tablet = machines.started("laptop", "desktop", "tablet")
    write(laptop.folder, {"large": os.urandom(30 * MB), "folder/small": "small"})
    desktop.join(laptop.share())
    settled(laptop, desktop)
    desktop.stop()
    shutil.rmtree(tablet.folder)
    shutil.copytree(desktop.folder, tablet.folder, symlinks=True)
    write(tablet.folder, {"only in the copy": "new here"})
    before = tree(laptop.folder)

    tablet.join(laptop.share())
    settled(laptop, tablet)
    assert tablet.received_bytes() < 200_000
    assert tree(laptop.folder).items() >= before.items()
    assert (laptop.folder / "only in the copy").read_text() == "new here"

    desktop.start()
    write(desktop.folder, {"of desktop": "1"})
    write(tablet.folder, {"of tablet": "2"})
    settled(laptop, desktop, tablet)
    for machine in (laptop, desktop, tablet):
        assert machine.problems() == {}
