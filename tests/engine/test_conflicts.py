"""Conflicts are shown, never published: each kind that the design names, on whole nodes."""

import os
from collections.abc import Sequence
from typing import Any

import pytest
import trio
from trio.testing import MockClock

from p2pdrive.engine.tasks import Task
from tests.engine.world import Machine, World


async def edit_apart(world: World, path: str, edits: dict[Machine, str | None]) -> None:
    """Each machine writes (None: deletes) ``path`` without the others, a second after the one before."""
    world.part()
    for machine, text in edits.items():
        await trio.sleep(1)
        if text is None:
            machine.delete(path)
        else:
            machine.write(path, text)
        machine.look()
        await world.quiet()


async def in_conflict(world: World, *names: str) -> tuple[list[Machine], str]:
    """Machines of which the first two edited report.txt apart, the second last; and the copy's path."""
    machines = await world.sharing(*names, files={"report.txt": "first"})
    await edit_apart(world, "report.txt", {machines[0]: "by one", machines[1]: "by two"})
    world.join_up()
    await world.converge()
    (copy,) = machines[0].copies()
    return machines, copy


async def test_what_one_writes_all_have(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a/b.txt": "hello"})
    assert berta.read("a/b.txt") == "hello"
    berta.write("a/c.txt", "more")
    await world.converge()
    assert anna.files() == {"a/b.txt": "hello", "a/c.txt": "more"}


async def test_concurrent_edits_show_the_later_and_one_copy_of_one_name(
    world: World, autojump_clock: MockClock
) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    assert copy.startswith("report (conflict ") and copy.endswith(" from anna).txt")
    for machine in machines:
        assert machine.files() == {"report.txt": "by two", copy: "by one"}
    assert all(machine.heads(copy) == 0 for machine in machines)  # the copy has no record


async def test_editing_the_winner_leaves_the_loser_a_head_and_its_copy(
    world: World, autojump_clock: MockClock
) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[2].write("report.txt", "by three, who saw two")
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "by three, who saw two", copy: "by one"}
        assert machine.heads("report.txt") == 2


async def test_the_device_that_lost_edits_the_winner_and_its_own_copy_stays(
    world: World, autojump_clock: MockClock
) -> None:
    (anna, berta), copy = await in_conflict(world, "anna", "berta")
    anna.write("report.txt", "by one, who saw two")
    await world.converge()
    assert berta.files() == {"report.txt": "by one, who saw two", copy: "by one"}
    assert len(anna.own_actors()) == 2
    anna.write("report.txt", "again")
    await world.converge()
    assert berta.files() == {"report.txt": "again", copy: "by one"}
    assert len(anna.own_actors()) == 2
    anna.delete(copy)
    await world.converge()
    assert berta.files() == {"report.txt": "again"}
    assert berta.heads("report.txt") == 1


async def test_deleting_the_copy_dismisses_it_everywhere(world: World, autojump_clock: MockClock) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[2].delete(copy)
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "by two"}
        assert machine.heads("report.txt") == 1


async def test_a_copy_deleted_on_two_machines_at_once(world: World, autojump_clock: MockClock) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    await edit_apart(world, copy, {machines[0]: None, machines[1]: None})
    world.join_up()
    await world.converge()
    assert machines[2].files() == {"report.txt": "by two"}


async def test_an_edited_copy_becomes_an_ordinary_file(world: World, autojump_clock: MockClock) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[1].write(copy, "merged by hand")
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "by two", copy: "merged by hand"}
        assert (machine.heads("report.txt"), machine.heads(copy)) == (1, 1)


async def test_a_renamed_copy_becomes_an_ordinary_file(world: World, autojump_clock: MockClock) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[1].rename(copy, "kept/one.txt")
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "by two", "kept/one.txt": "by one"}
        assert machine.heads("report.txt") == 1


async def test_a_copy_renamed_over_the_winner_settles_the_conflict(
    world: World, autojump_clock: MockClock
) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[1].rename(copy, "report.txt")
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "by one"}
    machines[0].write("report.txt", "edited")  # covers both heads, which are of one content
    await world.converge()
    assert machines[2].heads("report.txt") == 1


async def test_deleting_the_winner_shows_the_loser_in_its_place(
    world: World, autojump_clock: MockClock
) -> None:
    machines, _ = await in_conflict(world, "anna", "berta", "clara")
    machines[2].delete("report.txt")
    await world.converge()
    for machine in machines:
        assert machine.files() == {"report.txt": "by one"}


async def test_deleting_winner_and_copy_deletes_both(world: World, autojump_clock: MockClock) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[2].delete("report.txt")
    machines[2].delete(copy)
    await world.converge()
    for machine in machines:
        assert machine.files() == {}


async def test_winner_and_copy_deleted_as_a_watcher_tells_it(world: World, autojump_clock: MockClock) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    machines[2].delete("report.txt")
    machines[2].delete(copy)
    machines[2].look("report.txt", copy)
    await world.quiet()
    await world.converge()
    for machine in machines:
        assert machine.files() == {}


async def test_an_unseen_edit_of_what_was_deleted_with_its_copy_elsewhere_keeps_no_copy(
    world: World, autojump_clock: MockClock
) -> None:
    (anna, berta), copy = await in_conflict(world, "anna", "berta")
    world.part()
    anna.delete("report.txt")
    anna.delete(copy)
    anna.look()
    await world.quiet()
    berta.write("report.txt", "written once more")
    world.join_up()
    await world.until(lambda: anna.files() == {"report.txt": "written once more"}, "the edit")
    await world.quiet()  # and nobody looks once more
    assert anna.files() == berta.files() == {"report.txt": "written once more"}


async def test_identical_contents_are_no_conflict(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"same.txt": "old"})
    await edit_apart(world, "same.txt", {anna: "new", berta: "new"})
    world.join_up()
    await world.converge()
    assert anna.files() == {"same.txt": "new"}
    berta.write("same.txt", "newer")
    await world.converge()
    assert anna.files() == {"same.txt": "newer"}
    assert anna.heads("same.txt") == 1


async def test_an_edit_survives_a_concurrent_delete(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "old", "b.txt": "old"})
    await edit_apart(world, "a.txt", {anna: "edited", berta: None})
    await edit_apart(world, "b.txt", {berta: None, anna: "edited"})
    world.join_up()
    await world.converge()
    assert anna.files() == {"a.txt": "edited", "b.txt": "edited"}
    berta.delete("a.txt")  # having seen the edit
    await world.converge()
    assert anna.files() == {"b.txt": "edited"}


async def test_a_file_against_a_directory_of_its_name(world: World, autojump_clock: MockClock) -> None:
    machines = await world.sharing("anna", "berta", "clara")
    anna, berta, clara = machines
    world.part()
    anna.write("x/inside.txt", "in a directory")
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    berta.write("x", "a file")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    (copy,) = clara.copies()
    assert clara.files() == {"x/inside.txt": "in a directory", copy: "a file"}


async def test_a_file_against_an_empty_directory_of_its_name(world: World, autojump_clock: MockClock) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara")
    world.part()
    (anna.root / "x").mkdir()
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    berta.write("x", "a file")
    berta.look()
    world.join_up()
    tree = await world.converge()
    (copy,) = clara.copies()
    assert tree["x"] == ("directory",)
    assert clara.files() == {copy: "a file"}


async def test_a_deleted_directory_lives_on_while_a_live_child_is_in_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"d/old.txt": "old"})
    world.part()
    anna.delete("d/old.txt")
    (anna.root / "d").rmdir()
    anna.look()
    berta.write("d/new.txt", "new")
    berta.look()
    await world.quiet()
    world.join_up()
    tree = await world.converge()
    assert tree["d"] == ("directory",)
    assert clara.files() == {"d/new.txt": "new"}
    clara.delete("d/new.txt")
    assert await world.converge() == {}


async def test_a_directory_made_anew_stays_when_its_child_goes(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"d/old.txt": "old"})
    anna.delete("d/old.txt")
    assert await world.converge() == {"d": ("directory",)}
    berta.write("d/new.txt", "new")
    await world.converge()
    clara.delete("d/new.txt")
    assert await world.converge() == {"d": ("directory",)}


async def test_three_edits_show_two_copies_on_any_number_of_machines(
    world: World, autojump_clock: MockClock
) -> None:
    machines = await world.sharing("anna", "berta", "clara", "dora", "emma", files={"r.txt": "first"})
    anna, berta, clara, *_ = machines
    await edit_apart(world, "r.txt", {anna: "one", berta: "two", clara: "three"})
    world.join_up()
    await world.converge()
    for machine in machines:
        assert len(machine.copies()) == 2
        assert sorted(machine.files().values()) == ["one", "three", "two"]
        assert machine.read("r.txt") == "three"
    first, second = anna.copies()
    machines[4].delete(first)
    await world.converge()
    for machine in machines:
        assert machine.copies() == [second]


async def test_a_machine_that_was_off_during_a_conflict_shows_the_same(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"r.txt": "first"})
    world.part()
    await clara.stop()
    await edit_apart(world, "r.txt", {anna: "one", berta: "two"})
    world.join_up(anna, berta)
    await world.converge(anna, berta)
    world.part()
    await clara.start()
    world.join_up(clara, berta)
    await world.converge(clara, berta)
    assert clara.files() == anna.files() == {"r.txt": "two", anna.copies()[0]: "one"}


async def test_a_conflict_settled_while_a_third_edits_the_loser_unseen(
    world: World, autojump_clock: MockClock
) -> None:
    machines, copy = await in_conflict(world, "anna", "berta", "clara")
    anna, berta, clara = machines
    world.cut_off(clara)
    anna.delete(copy)
    await world.converge(anna, berta)
    clara.write(copy, "edited by clara")
    clara.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    assert berta.files() == {"report.txt": "by two", copy: "edited by clara"}


async def test_a_rename_on_one_side_and_an_edit_on_the_other_lose_nothing(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"old.txt": "text"})
    await trio.sleep(5)
    anna.look()
    await world.quiet()
    world.part()
    anna.rename("old.txt", "new.txt")
    anna.look()
    berta.write("old.txt", "edited")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    assert clara.files() == {"old.txt": "edited", "new.txt": "text"}


async def test_both_rename_a_file_to_different_names(world: World, autojump_clock: MockClock) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"old.txt": "text"})
    await trio.sleep(5)
    world.part()
    anna.rename("old.txt", "one.txt")
    anna.look()
    berta.rename("old.txt", "two.txt")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    assert clara.files() == {"one.txt": "text", "two.txt": "text"}


async def test_symlinks_conflict_like_files(world: World, autojump_clock: MockClock) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara")
    world.part()
    os.symlink("here", anna.root / "link")
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    os.symlink("there", berta.root / "link")
    berta.look()
    await world.quiet()
    world.join_up()
    tree = await world.converge()
    assert tree["link"] == ("link", "there")
    (copy,) = clara.copies()
    assert tree[copy] == ("link", "here")


async def test_a_file_turned_into_a_directory_while_another_edits_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"x": "file"})
    world.part()
    anna.delete("x")
    anna.write("x/y.txt", "inside")
    anna.look()
    berta.write("x", "edited")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    (copy,) = clara.copies()
    assert clara.files() == {"x/y.txt": "inside", copy: "edited"}


async def test_only_times_or_the_executable_bit_differ(world: World, autojump_clock: MockClock) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"run.sh": "#!"})
    world.part()
    (anna.root / "run.sh").chmod(0o755)
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    berta.write("run.sh", "#!")
    berta.look()
    await world.quiet()
    world.join_up()
    await world.converge()
    assert clara.files() == {"run.sh": "#!"}


async def test_copy_that_somebody_dismissed_goes_though_another_version_of_its_path_cannot_be_had(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, berta, clara = await world.sharing("anna", "berta", "clara", files={"f": "text"})
    await edit_apart(world, "f", {anna: "by anna", berta: "by berta", clara: "this is by clara"})
    fetcher = berta.drive.materialiser._fetcher
    fetch = fetcher.fetch

    async def lacking(tasks: Sequence[Task], *others: Any) -> dict[str, str]:
        lacks = {task.path: "nobody has it" for task in tasks if task.content.size == len("this is by clara")}
        there = [task for task in tasks if task.path not in lacks]
        return lacks | dict(await fetch(there, *others) if there else {})

    monkeypatch.setattr(fetcher, "fetch", lacking)
    world.join_up()
    await world.quiet()
    (copy,) = [path for path in berta.copies() if berta.read(path) == "by anna"]
    clara.delete(copy)
    clara.look()
    await world.until(lambda: copy not in berta.copies(), "the copy that clara deleted is gone")
    assert "f" in berta.problems
    assert berta.read("f") == "by berta"
