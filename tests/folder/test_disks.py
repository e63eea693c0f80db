"""What disks keep, asked of real ones."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pdrive.folder import disks
from p2pdrive.folder.disks import ASKED, ASKED_INSIDE, Disk, ask, disk_of
from p2pdrive.folder.exact import ExactFiles
from p2pdrive.folder.ignore import Ignore
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.mountinfo import Mount, mounts, within_root
from p2pdrive.folder.scan import walk
from tests.disks import ExFat, exfat, refuse_leases


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[int]:
    fd = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield fd
    ask(fd, ASKED)
    os.close(fd)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[ExFat]:
    with exfat(tmp_path) as made:
        yield made


def test_disk_of_linux_keeps_all_and_nothing_is_left_of_asking(directory: int, tmp_path: Path) -> None:
    (tmp_path / f"{ASKED}left by a kill").touch()
    (tmp_path / "a person's").touch()
    assert ask(directory, ASKED) == Disk()
    assert not Disk().odd
    assert os.listdir(tmp_path) == ["a person's"]


def test_exfat_keeps_neither_permissions_nor_links_nor_case(disk: ExFat) -> None:
    fd = os.open(disk.place, os.O_RDONLY | os.O_DIRECTORY)
    found = ask(fd, ASKED)
    os.close(fd)
    assert (found.executable, found.modes, found.links, found.exact) == (False, False, False, False)
    assert found.odd
    assert set('<>:"|?*\\\x01') <= set(found.characters)
    assert os.listdir(disk.place) == []
    assert "':'" in (found.refusal("d/a:b") or "")
    assert found.refusal("d/a b.c") is None


def test_disk_that_takes_no_file_counts_as_before() -> None:
    fd = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    assert ask(fd, ASKED) == disk_of(os.fstat(fd).st_dev) == Disk()
    os.close(fd)


def test_leases_that_are_refused_for_a_file_that_nobody_has_open_tell_nothing(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_leases(monkeypatch)
    assert not ask(directory, ASKED).leases
    monkeypatch.undo()
    assert ask(directory, ASKED).leases


def test_leases_of_a_network_disk_tell_nothing_even_if_it_gives_one(
    directory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = Mount(os.fstat(directory).st_dev, "/mnt", "nfs4")
    monkeypatch.setattr(disks, "mounts", lambda: [mounted])
    assert not ask(directory, ASKED).leases


def test_file_whose_disk_knows_no_leases_is_replaced_and_removed(
    root: Path, monkeypatch: pytest.MonkeyPatch, directory: int
) -> None:
    """NFSv4 and SMB: each file there was taken for one that a program has open."""
    refuse_leases(monkeypatch)
    (root / "f").write_text("old")
    files = LocalFiles(root)
    assert not files.being_written("f")
    with files.open_temporary("t", 3) as handle:
        handle.pwrite(b"new", 0)
    files.finish_temporary("t", 10**18, True)
    old = files.stat("f")
    published = files.publish("t", "f", old)
    assert (root / "f").read_text() == "new"
    changed = files.set_metadata("f", 2 * 10**18, False, published.stat)
    files.remove("f", changed)
    assert not (root / "f").exists()
    files.close()


def test_disk_that_is_mounted_inside_is_asked_itself_and_nothing_of_that_is_synced(
    tmp_path: Path, disk: ExFat
) -> None:
    (tmp_path / ".p2pdrive").mkdir()
    (disk.place / "f").write_text("f")
    (disk.place / f"{ASKED_INSIDE}left by a kill").touch()
    files = LocalFiles(tmp_path)
    found = files.list("")
    assert [name.name for name in files.list("exfat")] == ["f"]
    stat = files.stat("exfat/f")
    assert stat is not None
    assert stat.executable is None
    image = next(name.stat for name in found if name.name == "exfat.img")
    assert image is not None
    assert image.executable is False
    (disk.place / f"{ASKED_INSIDE}made just now").touch()
    paths = [getattr(item, "path", "") for item in walk(files, Ignore())]
    assert paths == ["exfat", "exfat/f", "exfat.img"]
    files.close()


def test_disk_of_short_names_refuses_longer_ones_and_takes_what_is_displaced_from_deep_down(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On eCryptfs, whose names have 143 bytes, nothing that lies deep could be changed from elsewhere."""
    monkeypatch.setattr(os, "fpathconf", lambda _fd, _name: 143)
    path = "/".join(["directory" * 5] * 4) + "/f"
    (root / path).parent.mkdir(parents=True)
    (root / path).write_text("old")
    files = ExactFiles(root)
    stat = files.stat(path)
    assert stat is not None
    displaced = files.remove(path, stat)
    assert len(displaced.encode()) <= 143
    assert files.odd
    assert "at most 143 bytes" in (files.unfit("d/" + "é" * 72, False) or "")
    assert files.unfit("d/" + "é" * 71, False) is None
    monkeypatch.undo()
    files.close()
    ExactFiles(root).close()


def test_mounts_are_known_by_their_place_in_the_drive(tmp_path: Path) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
        "30 22 0:40 / /home rw - nfs4 server:/home rw\n"
        "31 30 0:41 / /home/anna/my\\040drive/in\\134side rw - fuse.sshfs x: rw\n"
        "32 30 0:42 / /home/anna/my\\040drives rw - cifs x: rw\n"
        "no line of that kind\n"
    )
    found = within_root(mounts(str(table)), "/home/anna/my drive")
    assert {path: (mount.kind, mount.shared) for path, mount in found.items()} == {
        "": ("nfs4", True),
        "in\\side": ("fuse.sshfs", True),
    }
    assert found[""].device == os.makedev(0, 40)
    assert within_root(mounts(str(table)), "/srv")[""].shared is False
    assert mounts(str(tmp_path / "no")) == []


def test_names_of_a_directory_are_told_where_they_are_few(tmp_path: Path) -> None:
    (tmp_path / ".p2pdrive").mkdir()
    (tmp_path / "d").mkdir()
    for made in ["b", "a", "Z"]:
        (tmp_path / "d" / made).touch()
    files = ExactFiles(tmp_path)
    assert files.names("d", 3) == frozenset({"a", "b", "Z"})
    assert files.names("d", 2) is None
    assert files.names("nowhere", 2) is None
    assert files.names("d/a", 2) is None
    files.close()
