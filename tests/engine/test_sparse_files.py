"""Files with holes arrive with holes: they take the room of what was written, and are not sent as zeros."""

import os
import random
from pathlib import Path

import pytest
import trio
from blake3 import blake3
from trio.testing import MockClock

from p2pdrive.folder.carry import carry
from p2pdrive.folder.place import Place
from p2pdrive.limits import MIB
from tests.engine.test_archive import temporaries
from tests.engine.test_full_disk import Mount, on_small_disk
from tests.engine.world import Machine, World

__all__ = ["on_small_disk"]


@pytest.fixture(autouse=True)
def tells_holes(tmp_path: Path) -> None:
    with open(tmp_path / "probe", "w+b") as file:
        file.truncate(MIB)
        try:
            os.lseek(file.fileno(), 0, os.SEEK_DATA)
        except OSError:
            return
    pytest.skip("this file system does not tell holes")


def sparse(path: Path, size: int, at: int, data: bytes) -> None:
    with open(path, "wb") as file:
        file.truncate(size)
    write(path, at, data)


def write(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


def part(path: Path, at: int, count: int) -> bytes:
    with open(path, "rb") as file:
        file.seek(at)
        return file.read(count)


def room(path: Path) -> int:
    return path.stat().st_blocks * 512


async def received(world: World, size: int) -> tuple[Machine, Machine]:
    """A file of anna's of that size with a page in the midst, and nothing else but a hole."""
    anna, berta = await world.sharing("anna", "berta")
    sparse(anna.root / "disk.img", size, size // 2, b"a page" * 700)
    anna.look()
    await world.converge()
    return anna, berta


async def test_large_sparse_file_takes_the_room_and_the_line_of_what_was_written(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await received(world, 256 * MIB)
    image = berta.root / "disk.img"
    assert image.stat().st_size == 256 * MIB
    assert room(image) < 3 * MIB
    assert anna.sent_bytes < 3 * MIB
    assert part(image, 128 * MIB - 3, 9) == b"\0\0\0a page"


async def test_distance_of_the_versions_of_a_sparse_file_is_that_of_what_is_in_it(
    world: World, autojump_clock: MockClock
) -> None:
    """An edit of a large one waited for a minute."""
    anna, berta = await received(world, 384 * MIB)
    write(anna.root / "disk.img", 200 * MIB, b"an edit")
    anna.look("disk.img")
    await trio.sleep(3)
    assert part(berta.root / "disk.img", 200 * MIB, 7) == b"an edit"


async def test_file_that_is_nothing_but_a_hole(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    sparse(anna.root / "nothing", 64 * MIB, 0, b"")
    anna.look()
    await world.converge()
    assert (berta.root / "nothing").stat().st_size == 64 * MIB
    assert room(berta.root / "nothing") == 0


async def test_edit_of_a_sparse_file_leaves_its_holes_elsewhere(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await received(world, 256 * MIB)
    write(anna.root / "disk.img", 200 * MIB, b"another page")
    anna.look()
    await world.converge()
    assert room(berta.root / "disk.img") < 6 * MIB
    assert part(berta.root / "disk.img", 200 * MIB, 12) == b"another page"


async def test_temporary_that_holds_something_where_a_hole_belongs_gets_its_zeros(
    world: World, autojump_clock: MockClock
) -> None:
    """A disk that lost power may have left anything there."""
    anna, berta = await world.sharing("anna", "berta")
    world.part()
    sparse(anna.root / "disk.img", 32 * MIB, 5 * MIB, b"a page")
    anna.look()
    await world.quiet()
    await berta.stop()
    with anna.replica.reading() as log:
        (head,) = log.registers.heads("disk.img")
    name = blake3(head.content.root + b"disk.img").digest()[:16].hex()
    sparse(berta.root / ".p2pdrive/tmp" / name, 32 * MIB, 20 * MIB, b"garbage")
    await berta.start()
    world.join_up()
    await world.converge()
    assert (berta.root / "disk.img").read_bytes() == (anna.root / "disk.img").read_bytes()


def scattered(path: Path, pages: int) -> None:
    """A page in each MiB."""
    with open(path, "wb") as file:
        for number in range(pages):
            file.seek(number * MIB)
            file.write(random.Random(number).randbytes(4096))


async def test_holes_that_are_smaller_than_a_block_stay_holes(
    world: World, autojump_clock: MockClock
) -> None:
    """Each page took a whole block."""
    anna, berta = await world.sharing("anna", "berta")
    scattered(anna.root / "ext", 60)
    anna.look()
    await world.converge()
    assert room(berta.root / "ext") < 60 * 4 * 4096
    assert (berta.root / "ext").read_bytes() == (anna.root / "ext").read_bytes()


async def test_sparse_file_that_seems_larger_than_the_disk_comes(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    anna, berta = world.machine("anna"), on_small_disk(world.machine("berta"), 24 * MIB)
    anna.write("other", "x")
    await anna.share()
    await berta.join(anna)
    world.join_up()
    scattered(anna.root / "ext", 100)
    anna.look()
    await world.converge()
    assert berta.problems == {}
    assert (berta.root / "ext").stat().st_size == (anna.root / "ext").stat().st_size
    assert room(berta.root / "ext") < 100 * 4 * 4096


async def test_file_that_seems_sparse_and_does_not_fit_leaves_the_rest_of_the_disk_alone(
    world: World, autojump_clock: MockClock, on_small_disk: Mount
) -> None:
    """Its blocks are as large as those of a hole, but what repeats itself in them is no zeros."""
    anna, berta = world.machine("anna"), on_small_disk(world.machine("berta"), 24 * MIB)
    anna.write("other", "x")
    await anna.share()
    await berta.join(anna)
    world.join_up()
    anna.write("full", b"".join(random.Random(number).randbytes(64) + b"x" * MIB for number in range(40)))
    anna.look()
    await world.until(lambda: "full" in berta.problems, "that it does not fit")
    assert "on this disk, which is full" in berta.problems["full"]
    await trio.sleep(60)
    assert temporaries(berta) == []
    anna.write("other", "an edit")
    anna.look()
    await world.until(lambda: berta.files().get("other") == "an edit", "the edit")


def test_copy_to_another_disk_keeps_holes(tmp_path: Path) -> None:
    sparse(tmp_path / "image", 300 * MIB, 100 * MIB, b"a page")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        carry(Place(directory, "image"), Place(directory, "copy"))
    finally:
        os.close(directory)
    assert room(tmp_path / "copy") < MIB
    assert (tmp_path / "copy").stat().st_size == 300 * MIB
    assert part(tmp_path / "copy", 100 * MIB, 6) == b"a page"
