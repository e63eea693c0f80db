"""One machine has its folder on a disk that lacks things; that costs these things there, and nothing else."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from trio.testing import MockClock

from tests.disks import ExFat, exfat, refuse_leases
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
