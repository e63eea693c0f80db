"""What a person does in any window between our looking and our writing is never overwritten."""

import os
import shutil
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.settle import Settler
from p2pdrive.engine.tasks import Settled
from p2pdrive.errors import Unreadable
from p2pdrive.folder.local import LocalFiles
from p2pdrive.limits import BURST_REST_SECONDS
from tests.engine.world import World


async def test_an_edit_just_before_its_file_is_replaced(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(1)
    anna.before["publish", "r.txt"] = lambda: anna.write("r.txt", "by anna")
    berta.write("r.txt", "by berta")
    berta.look()
    await world.quiet()
    assert not anna.before
    await world.converge()
    assert sorted(berta.files().values()) == ["by anna", "by berta"]


async def test_an_edit_that_keeps_size_and_time_just_before_its_file_is_replaced(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    was = (anna.root / "r.txt").stat()
    await trio.sleep(1)

    def edit() -> None:
        (anna.root / "r.txt").write_text("FIRST")
        os.utime(anna.root / "r.txt", ns=(was.st_mtime_ns, was.st_mtime_ns))

    anna.before["publish", "r.txt"] = edit
    berta.write("r.txt", "by berta")
    await world.converge()
    assert sorted(berta.files().values()) == ["FIRST", "by berta"]


async def test_an_edit_just_after_its_file_was_replaced(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    await trio.sleep(1)
    anna.after["publish", "r.txt"] = lambda: anna.write("r.txt", "by anna, on top")
    berta.write("r.txt", "by berta")
    berta.look()
    await world.quiet()
    assert not anna.after
    await world.converge()
    assert berta.files() == {"r.txt": "by anna, on top"}


async def test_a_file_made_just_before_another_comes_to_its_path(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    anna.before["publish", "new.txt"] = lambda: anna.write("new.txt", "by anna")
    berta.write("new.txt", "by berta")
    await world.converge()
    assert not anna.before
    assert sorted(berta.files().values()) == ["by anna", "by berta"]


async def test_a_directory_made_just_before_a_file_comes_to_its_path(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    anna.before["publish", "x"] = lambda: anna.write("x/inside.txt", "by anna")
    berta.write("x", "by berta")
    await world.converge()
    assert sorted(berta.files().values()) == ["by anna", "by berta"]
    assert berta.read("x/inside.txt") == "by anna"


async def test_an_edit_just_before_its_file_is_removed(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    anna.before["remove", "r.txt"] = lambda: anna.write("r.txt", "edited")
    berta.delete("r.txt")
    await world.converge()
    assert not anna.before
    assert berta.files() == {"r.txt": "edited"}


async def test_a_file_made_just_before_its_directory_is_removed(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/old.txt": "old"})
    anna.before["remove_directory", "d"] = lambda: anna.write("d/new.txt", "new")
    berta.delete("d/old.txt")
    (berta.root / "d").rmdir()
    await world.converge()
    assert not anna.before
    assert berta.files() == {"d/new.txt": "new"}


async def test_an_edit_just_before_its_file_is_renamed(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"old.txt": "text"})
    await trio.sleep(5)
    anna.look()
    berta.look()
    await world.quiet()
    anna.before["move", "old.txt"] = lambda: anna.write("old.txt", "edited")
    berta.rename("old.txt", "new.txt")
    await world.converge()
    assert not anna.before
    assert berta.files() == {"old.txt": "edited", "new.txt": "text"}


async def test_a_renamed_file_that_cannot_be_opened_is_known_once_it_can(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"old.txt": "text"})
    opened = LocalFiles.open

    def closed(files: LocalFiles, path: str) -> object:
        if path == "new.txt":
            raise Unreadable("new.txt: may not be read")
        return opened(files, path)

    monkeypatch.setattr(LocalFiles, "open", closed)
    anna.rename("old.txt", "new.txt")
    anna.look()
    await world.until(lambda: "new.txt" in anna.problems, "telling that it cannot be read")
    monkeypatch.undo()
    await world.converge()
    assert berta.files() == {"new.txt": "text"}


async def test_an_edit_just_before_its_times_are_set(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"run.sh": "#!"})
    await trio.sleep(1)
    anna.before["set_metadata", "run.sh"] = lambda: anna.write("run.sh", "#! edited")
    (berta.root / "run.sh").chmod(0o755)
    await world.converge()
    assert not anna.before
    assert "#! edited" in berta.files().values()
    assert set(berta.files().values()) <= {"#! edited", "#!"}


async def test_a_copy_edited_just_before_it_is_removed(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    world.part()
    for machine in (anna, berta):
        await trio.sleep(1)
        machine.write("r.txt", f"by {machine.name}")
        machine.look()
        await world.quiet()
    world.join_up()
    await world.converge()
    (copy,) = anna.copies()
    anna.before["remove", copy] = lambda: anna.write(copy, "edited after all")
    berta.delete(copy)
    await world.converge()
    assert not anna.before
    assert berta.files() == {"r.txt": "by berta", copy: "edited after all"}


async def test_a_file_deleted_just_before_it_is_replaced(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"r.txt": "first"})
    anna.before["publish", "r.txt"] = lambda: anna.delete("r.txt")
    berta.write("r.txt", "by berta")
    await world.converge()
    assert berta.files() == {"r.txt": "by berta"}


async def test_a_link_put_in_the_place_of_a_parent_leads_nobody_outside(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"d/r.txt": "first"})
    outside = world.directory / "outside"
    outside.mkdir()
    (outside / "r.txt").write_text("not ours")

    def swap() -> None:
        (anna.root / "d").rename(world.directory / "moved away")
        os.symlink(outside, anna.root / "d")

    anna.before["publish", "d/r.txt"] = swap
    berta.write("d/r.txt", "by berta")
    berta.look()
    await world.quiet()
    assert not anna.before
    assert (outside / "r.txt").read_text() == "not ours"
    assert [path.name for path in outside.iterdir()] == ["r.txt"]


@pytest.mark.parametrize("vanishes", ["", ".p2pdrive"])
async def test_a_root_that_vanishes_is_no_deletion(
    world: World, autojump_clock: MockClock, vanishes: str
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a", "d/b.txt": "b"})
    away = world.directory / "unplugged"
    (anna.root / vanishes).rename(away)
    if not vanishes:
        anna.root.mkdir()  # an empty mount point
    anna.look()
    await world.until(lambda: "not there" in anna.trouble, "noticing that the folder is away")
    await trio.sleep(60)
    assert berta.files() == {"a.txt": "a", "d/b.txt": "b"}
    if not vanishes:
        anna.root.rmdir()
    away.rename(anna.root / vanishes)
    await world.until(lambda: anna._kept[anna.root].keeper.drive, "noticing that the folder is back")
    world.join_up()
    berta.write("c.txt", "c")
    await world.converge()
    assert anna.files() == {"a.txt": "a", "d/b.txt": "b", "c.txt": "c"}


async def test_a_file_that_is_put_back_as_it_was_after_its_deletion_is_there_again(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "one"})
    trash = berta.root.with_name("trash")
    (berta.root / "a.txt").rename(trash)
    await world.converge()
    assert anna.files() == {}
    trash.rename(berta.root / "a.txt")
    await world.converge()
    assert anna.files() == berta.files() == {"a.txt": "one"}


async def test_a_deep_tree_that_a_person_removes_goes_elsewhere_in_one_go(
    world: World, autojump_clock: MockClock
) -> None:
    """Once they have rested, the inside of each directory goes first: none has to wait for another look."""
    path = "/".join("abcdefghij")
    anna, berta = await world.sharing("anna", "berta", files={f"{path}/x": "1"})
    shutil.rmtree(anna.root / "a")
    began = trio.current_time()
    anna.look("a")
    await world.until(lambda: not berta.tree(), "the tree is gone")
    assert trio.current_time() - began < BURST_REST_SECONDS + 0.3


async def test_a_directory_that_a_person_removes_with_all_in_it_is_not_to_be_made_again(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was in it is published as deleted just before it, so nothing there lives any more."""
    anna, _berta = await world.sharing("anna", "berta", files={"d/x": "1", "d/e/y": "2"})
    settle, planned = Settler.settle, []

    def watched(settler: Settler, *arguments: Any) -> Settled:
        settled = settle(settler, *arguments)
        planned.extend(task.path for task in settled.tasks if task.content.live)
        return settled

    monkeypatch.setattr(Settler, "settle", watched)
    shutil.rmtree(anna.root / "d")
    anna.look()
    assert await world.converge() == {}
    assert planned == []
