"""A disk mounted in a drive's folder goes away: nothing in it is deleted, and nothing written there."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World

FILES = {"photos/a.jpg": "a", "photos/2020/b.jpg": "b"}


class Mounted:
    """What may be mounted; the content is there again when it is mounted again."""

    def __init__(self, kept: Path) -> None:
        self.kept = kept
        self.places: list[Path] = []

    def mount(self, place: Path) -> None:
        _run("mount", "--bind", self.kept, place)
        self.places.append(place)

    def unmount(self) -> None:
        _run("umount", self.places.pop())


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Mounted]:
    kept = tmp_path / "disk"
    kept.mkdir()
    if os.geteuid() != 0 or _run("mount", "-t", "tmpfs", "none", kept, check=False):
        pytest.skip("this account may not mount")
    disk = Mounted(kept)
    yield disk
    for place in (*disk.places, kept):
        _run("umount", "-l", place, check=False)


def _run(*command: str | Path, check: bool = True) -> int:
    return subprocess.run(command, check=check, capture_output=True).returncode


async def with_disk(world: World, disk: Mounted) -> tuple[Machine, Machine]:
    """Berta has photos on a disk of their own; all is shared, and the disk goes."""
    anna, berta = await world.sharing("anna", "berta", files={"plain.txt": "p"})
    (berta.root / "photos").mkdir()
    disk.mount(berta.root / "photos")
    for path, content in FILES.items():
        berta.write(path, content)
    await world.converge()
    assert anna.files() == FILES | {"plain.txt": "p"}
    return anna, berta


@pytest.mark.parametrize("restarted", [False, True])
async def test_nothing_is_deleted_and_nothing_written_until_it_is_back(
    world: World, autojump_clock: MockClock, disk: Mounted, restarted: bool
) -> None:
    anna, berta = await with_disk(world, disk)
    if restarted:
        await berta.stop()
    disk.unmount()
    if restarted:
        await berta.start()
    berta.look("photos/a.jpg", "photos/2020/b.jpg", "photos/2020", "photos")
    berta.look()
    await trio.sleep(60)
    assert anna.files() == FILES | {"plain.txt": "p"}
    anna.write("photos/a.jpg", "edited")
    anna.write("photos/2021/c.jpg", "c")
    anna.delete("photos/2020/b.jpg")
    anna.write("good.txt", "good")
    anna.look()
    await trio.sleep(60)
    assert berta.read("good.txt") == "good"
    assert "connect it" in berta.problems["photos"]
    assert not list((berta.root / "photos").iterdir())
    disk.mount(berta.root / "photos")
    tree = await world.converge()
    assert not berta.problems
    assert tree["photos/a.jpg"][1] == b"edited"
    assert tree["photos/2021/c.jpg"][1] == b"c"
    assert "photos/2020/b.jpg" not in tree


async def test_directory_that_is_removed_without_its_disk_is_a_deletion(
    world: World, autojump_clock: MockClock, disk: Mounted
) -> None:
    anna, berta = await with_disk(world, disk)
    disk.unmount()
    berta.look()
    await trio.sleep(30)
    (berta.root / "photos").rmdir()
    assert await world.converge() == {"plain.txt": anna.tree()["plain.txt"]}
    assert not berta.problems
    berta.write("photos/new.jpg", "new")
    await world.converge()
    assert anna.read("photos/new.jpg") == "new"


async def test_directory_that_others_removed_stays_for_its_disk(
    world: World, autojump_clock: MockClock, disk: Mounted
) -> None:
    anna, berta = await with_disk(world, disk)
    disk.unmount()
    for path in FILES:
        anna.delete(path)
    (anna.root / "photos/2020").rmdir()
    (anna.root / "photos").rmdir()
    anna.look()
    await trio.sleep(60)
    assert (berta.root / "photos").is_dir()
    disk.mount(berta.root / "photos")
    berta.look()
    await trio.sleep(60)
    assert list(anna.tree()) == ["plain.txt"]
    assert list(berta.tree()) == ["photos", "plain.txt"]
    disk.unmount()
    (berta.root / "photos").rmdir()
    await world.converge()


async def test_disk_mounted_while_others_write_there_is_known_before_a_scan(
    world: World, autojump_clock: MockClock, disk: Mounted
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"photos/2020/old.jpg": "old"})
    await world.converge()
    anna.delete("photos/2020/old.jpg")
    await world.converge()
    disk.mount(berta.root / "photos/2020")
    anna.write("photos/2020/new.jpg", "new")
    anna.look()
    await world.until(lambda: "photos/2020/new.jpg" in berta.files(), "what anna wrote")
    await world.quiet()
    await berta.stop()
    disk.unmount()
    await berta.start()
    berta.look()
    await trio.sleep(60)
    assert anna.read("photos/2020/new.jpg") == "new"
    disk.mount(berta.root / "photos/2020")
    await world.converge()
    assert berta.read("photos/2020/new.jpg") == "new"


async def test_directory_above_it_is_renamed(world: World, autojump_clock: MockClock, disk: Mounted) -> None:
    anna, berta = await with_disk(world, disk)
    (berta.root / "above").mkdir()
    disk.unmount()
    (berta.root / "photos").rename(berta.root / "above/photos")
    disk.mount(berta.root / "above/photos")
    await world.converge()
    (berta.root / "above").rename(berta.root / "renamed")
    disk.places[:] = [berta.root / "renamed/photos"]
    await world.converge()
    assert anna.files() == {f"renamed/{path}": text for path, text in FILES.items()} | {"plain.txt": "p"}
    disk.unmount()
    berta.look()
    await trio.sleep(60)
    assert set(anna.files()) == {*(f"renamed/{path}" for path in FILES), "plain.txt"}
    disk.mount(berta.root / "renamed/photos")
    await world.converge()


async def test_files_that_a_mount_hides_are_not_deleted_elsewhere(
    world: World, autojump_clock: MockClock, disk: Mounted
) -> None:
    """They were, as soon as somebody mounted an empty disk over them."""
    anna, berta = await world.sharing("anna", "berta", files={**FILES, "plain.txt": "p"})
    disk.mount(berta.root / "photos")
    (disk.kept / "a.jpg").write_text("a")
    berta.look("photos")
    await world.converge()
    assert anna.files() == berta.files() == {**FILES, "plain.txt": "p"}
    assert not anna.copies()
    berta.delete("photos/a.jpg")
    await world.converge()
    assert "photos/a.jpg" not in anna.files()
    disk.unmount()
    berta.look()
    await trio.sleep(60)
    assert "connect it" in berta.problems["photos"]
    assert anna.files() == {"photos/2020/b.jpg": "b", "plain.txt": "p"}


async def test_part_of_the_same_disk_that_is_mounted_inside_is_no_plain_directory(
    world: World, autojump_clock: MockClock, disk: Mounted
) -> None:
    """`mount --bind`: unmounted, it looked like a directory that somebody had emptied."""
    anna, berta = await world.sharing("anna", "berta", files={"plain.txt": "p"})
    disk.kept = berta.root.parent / "elsewhere"
    disk.kept.mkdir()
    (disk.kept / "a.jpg").write_text("a")
    (berta.root / "photos").mkdir()
    disk.mount(berta.root / "photos")
    await world.converge()
    assert anna.read("photos/a.jpg") == "a"
    disk.unmount()
    berta.look()
    await trio.sleep(60)
    assert anna.read("photos/a.jpg") == "a"
    assert "connect it" in berta.problems["photos"]
    disk.mount(berta.root / "photos")
    anna.write("photos/a.jpg", "edited")
    await world.converge()
    assert berta.read("photos/a.jpg") == "edited"
    assert not berta.problems
