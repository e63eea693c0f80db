"""Large files are read apart from all deciding: nobody's edit waits for them, and they are what they are."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.read_ahead import ReadAhead
from p2pdrive.engine.settle import Settler
from p2pdrive.engine.tasks import Settled
from p2pdrive.errors import Unreadable
from p2pdrive.folder.handles import LocalReadHandle
from tests.engine.world import World

LONG = 300_000
LARGE = "x" * LONG


@pytest.fixture(autouse=True)
def slow_reading(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large file takes a minute to read."""
    monkeypatch.setattr("p2pdrive.engine.observe.LONG_READ_BYTES", LONG)
    offload = World.offload

    async def slowly(self: World, work: Callable[..., Any], /, *arguments: Any) -> Any:
        if getattr(work, "__func__", None) is ReadAhead._read:
            await trio.sleep(60)
        return await offload(self, work, *arguments)

    monkeypatch.setattr(World, "offload", slowly)


async def test_edit_passes_while_a_large_file_is_read(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(1)
    anna.write("film", LARGE)
    anna.look()
    await trio.sleep(5)
    assert not anna.drive.settled
    anna.write("r.txt", "second")
    anna.look("r.txt")
    await trio.sleep(2)
    assert berta.files() == {"r.txt": "second"}
    await world.converge()
    assert berta.files() == {"r.txt": "second", "film": LARGE}


async def test_large_file_that_is_renamed_is_renamed_by_others(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"film": LARGE})
    await world.converge()
    await trio.sleep(10)
    inode = (berta.root / "film").stat().st_ino
    anna.rename("film", "seen/film")
    anna.look()
    await trio.sleep(20)
    assert berta.files() == {"film": LARGE}  # while it is read here, it is not deleted there
    await world.converge()
    assert berta.files() == {"seen/film": LARGE}
    assert (berta.root / "seen/film").stat().st_ino == inode


async def test_large_files_that_are_renamed_are_decided_once_and_nobody_is_told_that_they_went(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of their old paths were settled again every few seconds, until the last of them was read."""
    names = [f"film {number}" for number in range(3)]
    anna, berta = await world.sharing("anna", "berta")
    for name in names:
        anna.write(f"d/{name}", LARGE + name)
    anna.look()
    await trio.sleep(200)
    await world.converge()
    assert len(berta.files()) == len(names)
    settled = Counter[str]()
    settle = Settler.settle

    def counting(self: Settler, named: Sequence[str], now: float, live: bool = False) -> Settled:
        settled.update(named)
        return settle(self, named, now, live)

    monkeypatch.setattr(Settler, "settle", counting)
    for name in names:
        anna.rename(f"d/{name}", f"e/{name}")
    (anna.root / "d").rmdir()
    anna.look()
    await trio.sleep(100)
    assert anna.drive.deleting.told_lately == anna.drive.deleting.count == 0
    assert not anna.drive.settled
    anna.write("r.txt", "edited meanwhile")
    anna.look("r.txt")
    await world.until(lambda: "r.txt" in berta.files(), "the edit")
    await world.converge()
    assert berta.files() == {"r.txt": "edited meanwhile", **{f"e/{name}": LARGE + name for name in names}}
    assert not (berta.root / "d").exists()
    assert max(settled[f"d/{name}"] for name in names) <= 4 * 2, "at each of the two machines"
    assert anna.drive.deleting.count == 0


async def test_large_file_that_is_deleted_while_its_other_name_is_read_is_deleted_everywhere(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"film": LARGE})
    await world.converge()
    await trio.sleep(10)
    anna.rename("film", "new")
    anna.look()
    await trio.sleep(30)
    anna.write("new", "of other content now")
    anna.look("new")
    await world.converge()
    assert berta.files() == {"new": "of other content now"}
    assert anna.drive.deleting.told_lately == 1


async def test_large_file_that_changes_as_it_is_read_is_what_it_is_in_the_end(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"film": LARGE})
    await world.converge()
    await trio.sleep(10)
    anna.write("film", "y" * LONG)
    anna.look()
    await trio.sleep(30)
    anna.write("film", "z" * LONG)
    anna.look("film")
    await world.converge()
    assert berta.files() == {"film": "z" * LONG}


async def test_large_log_that_grows_faster_than_it_is_read_has_versions_all_the_same(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one version of it was ever recorded."""
    offload = World.offload

    async def still_more_slowly(self: World, work: Callable[..., Any], /, *arguments: Any) -> Any:
        done = await offload(self, work, *arguments)
        if getattr(work, "__func__", None) is ReadAhead._read:
            await trio.sleep(10)
        return done

    monkeypatch.setattr(World, "offload", still_more_slowly)
    anna, berta = await world.sharing("anna", "berta", files={"log": LARGE})
    await world.converge()
    await trio.sleep(10)
    log = LARGE
    for _ in range(120):
        log += "a line\n"
        anna.write("log", log)
        anna.look("log")
        await trio.sleep(5)
    there = berta.files()["log"]
    assert LONG < len(there) < len(log)
    assert log.startswith(there)
    await world.converge()
    assert berta.files() == {"log": log}
    assert anna.problems == {}


async def test_large_file_that_is_deleted_before_it_is_read_holds_up_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    anna.write("film", LARGE)
    anna.look()
    await trio.sleep(5)
    anna.delete("film")
    anna.look()
    await world.converge()
    assert anna.drive.settled
    assert berta.files() == {"r.txt": "first"}


async def test_large_file_with_a_bad_place_is_a_problem_of_its_path(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"other": "x"})
    real = LocalReadHandle.pread

    def pread(handle: LocalReadHandle, view: memoryview, offset: int) -> int:
        if handle.stat().size == LONG:
            raise Unreadable("film: Input/output error")
        return real(handle, view, offset)

    monkeypatch.setattr(LocalReadHandle, "pread", pread)
    anna.write("film", LARGE)
    anna.look()
    await world.until(lambda: "film" in anna.problems, "the problem")
    assert anna.problems["film"] == "film: Input/output error"
    monkeypatch.setattr(LocalReadHandle, "pread", real)
    await world.until(lambda: berta.files().get("film") == LARGE, "the film, once it can be read")
    assert anna.problems == {}
