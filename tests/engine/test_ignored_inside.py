"""Directories that are removed elsewhere and hold, here, files that the rules ignore by now."""

import shutil

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import Machine, World

STAYS = "holds files that are not synced here"


async def parted(world: World, rules: str, **files: str) -> tuple[Machine, Machine]:
    """Two machines with ``files`` that cannot see each other; the second has rules that the first has not."""
    anna, berta = await world.sharing("anna", "berta", files=dict(files))
    await trio.sleep(5)
    world.part()
    berta.write(".p2pdriveignore", rules)
    berta.look()
    await world.quiet()
    return anna, berta


async def removed(world: World, machine: Machine, directory: str) -> None:
    """The person removes it with all that is in it."""
    shutil.rmtree(machine.root / directory)
    machine.look()
    await world.quiet()


@pytest.mark.parametrize("rules", ["*.log\n", "x.log\n", "/d/x.log\n"])
async def test_directory_that_was_deleted_elsewhere_stays_while_it_holds_an_ignored_file(
    world: World, autojump_clock: MockClock, rules: str
) -> None:
    """The index knows the file from before, and that is no reason to wait for it without a word."""
    anna, berta = await parted(world, rules, **{"d/a.txt": "a", "d/x.log": "log", "b.txt": "b"})
    await removed(world, anna, "d")
    world.join_up()
    await world.until(lambda: STAYS in berta.problems.get("d", ""), "the problem")
    await world.quiet()
    assert berta.files() == {"b.txt": "b", "d/x.log": "log", ".p2pdriveignore": rules}
    assert anna.files() == {"b.txt": "b", ".p2pdriveignore": rules}
    assert not anna.problems and set(berta.problems) == {"d"}

    await trio.sleep(60)
    assert set(berta.problems) == {"d"}
    assert berta.read("d/x.log") == "log"
    (berta.root / "d/x.log").unlink()  # no watcher says so
    await world.until(lambda: not (berta.root / "d").exists(), "the end of the directory")
    await world.converge()
    assert berta.problems == {}
    assert anna.files() == {"b.txt": "b", ".p2pdriveignore": rules}


async def test_whole_tree_with_ignored_directories(world: World, autojump_clock: MockClock) -> None:
    made = {f"d/build/{number}/out": "made" for number in range(20)}
    anna, berta = await parted(world, "build/\n", **{"d/src/a.c": "a", "d/b.c": "b"}, **made)
    await removed(world, anna, "d")
    world.join_up()
    await world.until(lambda: STAYS in berta.problems.get("d", ""), "the problem")
    await world.quiet()
    assert berta.files() == {".p2pdriveignore": "build/\n", **made}
    assert not (berta.root / "d/src").exists()
    shutil.rmtree(berta.root / "d/build")
    await world.until(lambda: not (berta.root / "d").exists(), "the end of the directory")
    await world.converge()
    assert anna.files() == {".p2pdriveignore": "build/\n"}
    assert berta.problems == {}


async def test_directory_with_a_file_that_was_never_synced_stays_too(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await parted(world, "*.log\n", **{"d/e/a.txt": "a"})
    berta.write("d/e/own.log", "never synced")
    berta.look()
    await removed(world, anna, "d")
    world.join_up()
    await world.until(lambda: STAYS in berta.problems.get("d/e", ""), "the problem")
    await world.quiet()
    assert berta.files() == {".p2pdriveignore": "*.log\n", "d/e/own.log": "never synced"}
    berta.delete("d/e/own.log")
    await world.until(lambda: not (berta.root / "d").exists(), "the end of both directories")
    await world.converge()
    assert berta.problems == {}


async def test_deletion_here_of_a_directory_whose_ignored_file_was_deleted_elsewhere(
    world: World, autojump_clock: MockClock
) -> None:
    """It is published as deleted: what the rules hide, and the index still knows, is not waited for."""
    anna, berta = await parted(world, "*.log\n", **{"d/a.txt": "a", "d/x.log": "log", "b.txt": "b"})
    anna.delete("d/x.log")
    anna.look()
    world.join_up()
    await world.until(lambda: ".p2pdriveignore" in anna.files(), "the rules")
    await world.quiet()
    assert berta.files().keys() == {".p2pdriveignore", "d/a.txt", "d/x.log", "b.txt"}
    await removed(world, berta, "d")
    await world.until(lambda: not (anna.root / "d").exists(), "the deletion")
    await world.converge()
    assert anna.files() == {".p2pdriveignore": "*.log\n", "b.txt": "b"}
    assert not (berta.root / "d").exists()


async def test_file_that_comes_to_the_path_of_a_directory_with_an_ignored_file_waits(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await parted(world, "*.log\n", **{"d/a.txt": "a", "d/x.log": "log"})
    await removed(world, anna, "d")
    anna.write("d", "a file now")
    anna.write("other.txt", "the rest goes on")
    anna.look()
    world.join_up()
    await world.until(lambda: STAYS in berta.problems.get("d", ""), "the problem")
    await world.until(lambda: "other.txt" in berta.files(), "the other file")
    assert berta.read("d/x.log") == "log"
    (berta.root / "d/x.log").rename(berta.root / "moved away.log")
    await world.until(lambda: berta.files().get("d") == "a file now", "the file")
    await world.quiet()
    assert berta.problems == {}
    assert berta.read("moved away.log") == "log"


async def test_edit_of_a_file_that_is_ignored_no_more_brings_its_directory_back(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await parted(world, "*.log\n", **{"d/a.txt": "a", "d/x.log": "log"})
    await removed(world, anna, "d")
    world.join_up()
    await world.until(lambda: STAYS in berta.problems.get("d", ""), "the problem")
    await world.quiet()
    berta.write("d/x.log", "edited while nobody looked")
    berta.delete(".p2pdriveignore")
    await world.converge()
    assert berta.problems == {}
    assert anna.files() == {"d/x.log": "edited while nobody looked"}


async def test_ignored_file_that_was_removed_is_not_missed_and_comes_back_with_the_rule_gone(
    world: World, autojump_clock: MockClock
) -> None:
    """Nobody looked when it went, so that it was deleted is nothing that anyone has said."""
    anna, berta = await parted(world, "*.log\n", **{"d/a.txt": "a", "d/x.log": "log"})
    berta.delete("d/x.log")
    berta.look()
    world.join_up()
    await world.until(lambda: ".p2pdriveignore" in anna.files(), "the rules")
    await world.quiet()
    assert anna.read("d/x.log") == "log"
    berta.delete(".p2pdriveignore")
    berta.look()
    await world.until(lambda: "d/x.log" in berta.files(), "the file")
    await world.converge()
    assert anna.files() == berta.files() == {"d/a.txt": "a", "d/x.log": "log"}
