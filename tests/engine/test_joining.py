"""Joining with files already there, ignore rules, and viewers."""

import trio
from trio.testing import MockClock

from p2pdrive.planning.reconcile import Choice
from tests.engine.world import World

LARGE = "".join(f"{number:x} " for number in range(60_000))


async def test_a_folder_with_the_same_files_transfers_none(world: World, autojump_clock: MockClock) -> None:
    anna, berta = world.machine("anna"), world.machine("berta")
    for machine in (anna, berta):
        machine.write("large.txt", LARGE)
        machine.write("d/small.txt", "small")
    await anna.share()
    await berta.join(anna)
    await world.converge()
    assert berta.files() == {"large.txt": LARGE, "d/small.txt": "small"}
    assert anna.sent_bytes < len(LARGE) // 20
    assert len(berta.dots()) == len(anna.dots())
    assert berta.own_actors() == []  # nothing to say


async def test_a_folder_with_older_versions_is_brought_up_to_date(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = world.machine("anna"), world.machine("berta")
    anna.write("r.txt", "old")
    anna.write("gone.txt", "deleted since")
    await anna.share()
    await world.quiet()
    await trio.sleep(1)
    berta.write("r.txt", "old")
    berta.write("gone.txt", "deleted since")
    anna.write("r.txt", "new")
    anna.delete("gone.txt")
    anna.look()
    await world.quiet()
    await berta.join(anna)
    await trio.sleep(10)
    assert berta.files() == {"r.txt": "new", "gone.txt": "deleted since"}  # nothing is deleted unasked
    await berta.drive.choose(Choice.CATCH_UP)
    await world.converge()
    assert anna.files() == {"r.txt": "new"}


async def test_a_folder_with_other_versions_shows_both_the_newest_first(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = world.machine("anna"), world.machine("berta")
    await anna.share()
    anna.write("one.txt", "one by anna")
    berta.write("two.txt", "two by berta")
    anna.look()
    await trio.sleep(10)
    anna.write("two.txt", "two by anna")
    berta.write("one.txt", "one by berta")
    anna.look()
    await trio.sleep(10)
    await berta.join(anna)
    await world.converge()
    assert anna.read("one.txt") == "one by berta"
    assert anna.read("two.txt") == "two by anna"
    assert sorted(anna.files().values()) == ["one by anna", "one by berta", "two by anna", "two by berta"]


async def test_a_third_joins_from_the_second_while_the_first_is_off(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "a", "large.txt": LARGE})
    clara = world.machine("clara")
    invite = anna.invite()
    await world.converge(anna, berta)
    await anna.stop()
    world.cut_off(anna)
    clara_invite = type(invite)(
        invite.drive, invite.drive_name, invite.secret, (berta.address,), invite.expires, invite.role
    )
    await clara.enter(clara_invite)
    await world.converge(berta, clara)
    assert clara.files() == {"a.txt": "a", "large.txt": LARGE}


async def test_a_viewers_edits_go_nowhere_and_are_not_lost(world: World, autojump_clock: MockClock) -> None:
    anna = world.machine("anna")
    anna.write("r.txt", "by anna")
    await anna.share()
    vera = world.machine("vera")
    await vera.join(anna, role="viewer")
    await world.converge()
    vera.write("r.txt", "by vera")
    vera.write("own.txt", "vera's own")
    vera.look()
    await world.quiet()
    await trio.sleep(30)
    assert anna.files() == {"r.txt": "by anna"}
    assert vera.own_actors() == []
    assert set(vera.problems) == {"r.txt", "own.txt"}
    await trio.sleep(1)
    anna.write("r.txt", "by anna again")
    anna.look()
    await world.quiet()
    await world.until(lambda: vera.read("r.txt") == "by anna again", "the update")
    assert anna.files() == {"r.txt": "by anna again"}
    assert sorted(vera.files().values()) == ["by anna again", "by vera", "vera's own"]


async def test_ignored_files_stay_where_they_are(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta")
    anna.write(".p2pdriveignore", "*.tmp\nbuild/\n")
    await world.converge()
    anna.write("x.tmp", "anna's")
    anna.write("build/out", "anna's")
    berta.write("x.tmp", "berta's")
    anna.look()
    berta.look()
    await world.quiet()
    assert "x.tmp" in berta.files() and berta.files()["x.tmp"] == "berta's"
    assert "build/out" not in berta.files()
    assert not anna.problems


async def test_a_file_that_becomes_ignored_is_deleted_nowhere(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.log": "log", "keep.txt": "kept"})
    anna.write(".p2pdriveignore", "*.log\n")
    await world.converge()
    berta.delete("a.log")
    berta.look()
    await world.quiet()
    assert anna.read("a.log") == "log"
    anna.write("a.log", "more log")
    anna.look()
    await world.quiet()
    assert "a.log" not in berta.files()


async def test_what_is_ignored_no_more_is_shared(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={".p2pdriveignore": "*.log\n"})
    anna.write("a.log", "anna's")
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    berta.write("a.log", "berta's")
    berta.look()
    await world.quiet()
    berta.write(".p2pdriveignore", "# nothing\n")
    await world.converge()
    assert sorted(anna.files().values()) == ["# nothing\n", "anna's", "berta's"]


async def test_remote_files_that_are_ignored_come_when_the_rule_goes(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.log": "one"})
    world.part()
    anna.write("a.log", "two")
    anna.look()
    await world.quiet()
    await trio.sleep(1)
    berta.write(".p2pdriveignore", "*.log\n")
    berta.look()
    await world.quiet()
    world.join_up()
    anna.look()
    berta.look()
    await world.quiet()
    await world.until(lambda: ".p2pdriveignore" in anna.files(), "the rules")
    berta.delete(".p2pdriveignore")
    await world.converge()
    assert berta.files() == {"a.log": "two"}


async def test_a_viewers_file_in_place_of_a_directory_makes_room_for_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna = world.machine("anna")
    anna.write("d/inside.txt", "by anna")
    await anna.share()
    vera = world.machine("vera")
    await vera.join(anna, role="viewer")
    await world.converge()
    vera.delete("d/inside.txt")
    (vera.root / "d").rmdir()
    vera.write("d", "by vera")
    vera.look()
    await world.until(lambda: vera.drive.settled and "d/inside.txt" in vera.files(), "the directory is back")
    assert sorted(vera.files().values()) == ["by anna", "by vera"]
    assert anna.files() == {"d/inside.txt": "by anna"}


async def test_a_viewers_file_that_it_wrote_anew_stays_where_it_is(
    world: World, autojump_clock: MockClock
) -> None:
    """Deleted first, while what others have cannot be had."""
    anna, vera = world.machine("anna"), world.machine("vera")
    anna.write("f.txt", "by anna" * 900_000)
    await anna.share()
    await vera.join(anna, role="viewer")
    world.join_up()
    await world.converge()
    world.part()
    vera.delete("f.txt")
    vera.look()
    await world.quiet()
    vera.write("f.txt", "vera's own")
    vera.look()
    await world.quiet()
    world.join_up()
    await trio.sleep(60)
    await world.quiet()
    assert vera.files() == {"f.txt": "vera's own"}


async def test_a_copy_that_a_viewer_edited_makes_room_for_what_others_made_of_it(
    world: World, autojump_clock: MockClock
) -> None:
    """Seed 590126418: what others put into a directory of its name was never shown."""
    anna, _berta, copy = await world.in_conflict()
    vera = world.machine("vera")
    await vera.join(anna, role="viewer")
    world.join_up()
    await world.converge()
    world.part()
    vera.write(copy, "by vera")
    vera.look()
    await world.quiet()
    anna.delete(copy)
    anna.write(f"{copy}/inside.txt", "by anna")
    anna.look()
    await world.quiet()
    world.join_up()
    await world.until(lambda: f"{copy}/inside.txt" in vera.files(), "what anna made")
    assert sorted(vera.files().values()) == ["by anna", "by berta", "by vera"]
