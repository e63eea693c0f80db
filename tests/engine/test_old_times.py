"""Programs that set sizes and times as they were, on a real disk: what the bytes say is what counts."""

import os
from pathlib import Path

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World

#: 2000-01-01, the time that archives and package managers like.
OLD = 946_684_800
_TRIES = 200


def save(place: Path, text: str, in_place: bool = False) -> None:
    """Write a file with an old time."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with open(place, "r+" if in_place else "w") as file:
        file.write(text)
    os.utime(place, (OLD, OLD))


async def two_with(world: World, files: dict[str, str]) -> tuple[Machine, Machine]:
    """Anna and berta, at rest, with files of an old time."""
    anna, berta = await world.sharing("anna", "berta")
    for path, text in files.items():
        save(anna.root / path, text)
    await world.converge()
    await trio.sleep(5)
    await world.converge()
    return anna, berta


async def test_new_file_that_gets_the_inode_of_one_just_deleted_is_no_rename(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await two_with(world, {"old": "a=1\n"})
    inode = (anna.root / "old").stat().st_ino
    (anna.root / "old").unlink()
    for number in range(_TRIES):
        save(anna.root / "new", "a=2\n")
        if (anna.root / "new").stat().st_ino == inode:
            break
        (anna.root / "new").rename(world.directory / f"in the way {number}")
    else:
        pytest.skip("this disk does not hand inode numbers out again")
    await world.converge()
    assert berta.files() == {"new": "a=2\n"}


async def test_file_that_is_edited_with_its_old_time_and_renamed_is_read(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await two_with(world, {"old": "a=1\n"})
    save(anna.root / "old", "a=2\n", in_place=True)
    anna.rename("old", "new")
    await world.converge()
    assert berta.files() == {"new": "a=2\n"}


async def test_file_that_is_edited_with_its_old_time_before_its_directory_is_renamed_is_read(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await two_with(world, {"d/f": "a=1\n", "d/g": "b=1\n"})
    save(anna.root / "d/f", "a=2\n", in_place=True)
    anna.rename("d", "e")
    await world.converge()
    assert berta.files() == {"e/f": "a=2\n", "e/g": "b=1\n"}


async def test_files_of_a_renamed_directory_are_not_read(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await two_with(world, {f"d/{number}": f"{number}\n" for number in range(9)})
    opened: list[str] = []
    files = anna.replica.files
    look = files.open
    files.open = lambda path: (opened.append(path), look(path))[1]  # type: ignore[method-assign, assignment]
    anna.rename("d", "e")
    await world.converge()
    assert berta.files() == {f"e/{number}": f"{number}\n" for number in range(9)}
    assert opened == []


async def test_two_files_of_equal_size_and_time_exchange_names(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await two_with(world, {"one": "a=1\n", "two": "b=1\n"})
    anna.rename("one", "aside")
    anna.rename("two", "one")
    anna.rename("aside", "two")
    await world.converge()
    assert berta.files() == {"one": "b=1\n", "two": "a=1\n"}


@pytest.mark.parametrize("in_place", [True, False])
async def test_edit_with_an_old_time_that_nobody_saw_yet_outlives_a_rename_from_elsewhere(
    world: World, autojump_clock: MockClock, in_place: bool
) -> None:
    anna, berta = await two_with(world, {"old": "a=1\n"})
    save(anna.root / "old", "a=2\n", in_place)
    berta.rename("old", "new")
    berta.look()
    await world.until(lambda: "new" in anna.tree(), "showing what was renamed")
    await world.converge()
    assert berta.files() == {"old": "a=2\n", "new": "a=1\n"}


async def test_edit_with_an_old_time_that_nobody_saw_yet_outlives_a_mode_from_elsewhere(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await two_with(world, {"f": "a=1\n"})
    save(anna.root / "f", "a=2\n", in_place=True)
    (berta.root / "f").chmod(0o755)
    berta.look()
    await world.quiet()
    await world.converge()
    assert set(berta.files().values()) == {"a=2\n", "a=1\n"}
