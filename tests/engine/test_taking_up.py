"""What was displaced and not put away is taken up at the next start, and undoes nothing."""

import shutil

import trio
from trio.testing import MockClock

from p2pdrive.folder.local import LocalFiles
from tests.engine.world import Machine, World


def displace(machine: Machine, path: str, text: str | None = None) -> None:
    """As a kill leaves it: the file at ``path`` (with ``text`` in it) is in the temporary area."""
    if text is not None:
        machine.write(path, text)
    files = LocalFiles(str(machine.root))
    stat = files.stat(path)
    assert stat is not None
    files.remove(path, stat)
    files.close()


async def test_a_file_that_the_index_says_is_shown_is_put_back(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "one"})
    await berta.stop()
    displace(berta, "a.txt")
    await berta.start()
    world.join_up()
    await world.converge()
    assert anna.files() == {"a.txt": "one"}


async def test_an_edit_that_nobody_has_recorded_is_put_back(world: World, autojump_clock: MockClock) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "one"})
    await berta.stop()
    displace(berta, "a.txt", "two")
    await berta.start()
    world.join_up()
    await world.converge()
    assert anna.files() == {"a.txt": "two"}


async def test_an_older_version_does_not_undo_a_persons_deletion(
    world: World, autojump_clock: MockClock
) -> None:
    """A power loss can bring back what was put away: it is not what a person deleted."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "the first"})
    anna.write("a.txt", "two")
    await world.converge()
    await berta.stop()
    displace(berta, "a.txt", "the first")
    await berta.start()
    world.join_up()
    await world.converge()
    assert anna.files() == berta.files() == {}


async def test_a_displaced_conflict_copy_is_a_version_of_the_path_that_it_was_beside(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta, copy = await world.in_conflict()
    await trio.sleep(1)
    anna.write(copy, "an ordinary file now")
    await world.converge()
    await berta.stop()
    displace(berta, copy, "by anna")  # as it was before
    berta.write(copy, "an ordinary file now")
    await berta.start()
    world.join_up()
    await world.converge()
    assert anna.files() == berta.files() == {"report.txt": "by berta", copy: "an ordinary file now"}


async def test_what_a_running_drive_had_to_leave_displaced_is_shown_beside_its_path(
    world: World, autojump_clock: MockClock
) -> None:
    """As when a person writes to our new version of a file just as it is taken back."""
    anna, berta = await world.sharing("anna", "berta", files={"d/a.txt": "one"})
    displace(berta, "d/a.txt", "written at the wrong moment")
    berta.write("d/a.txt", "one")
    anna.write("another.txt", "2")
    anna.look()
    wrong = {"d/recovered 1 a.txt": "written at the wrong moment"}
    await world.until(lambda: wrong.items() <= berta.files().items(), "the edit")
    await world.converge()
    assert anna.files() == berta.files() == {"d/a.txt": "one", "another.txt": "2"} | wrong


async def test_a_running_drive_leaves_alone_what_is_displaced_and_known(
    world: World, autojump_clock: MockClock
) -> None:
    """Some program may have it open still."""
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "one"})
    displace(berta, "a.txt", "one")
    berta.write("a.txt", "two")
    await world.converge()
    anna.write("another.txt", "2")
    await world.converge()
    assert anna.files() == berta.files() == {"a.txt": "two", "another.txt": "2"}
    assert [each.path for each in berta.replica.files.displaced()] == ["a.txt"]
    await berta.restart()
    assert not berta.replica.files.displaced()


async def test_a_file_with_its_old_time_that_a_person_brings_is_an_edit_though_the_log_knows_it(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta", files={"a.txt": "one"})
    world.part()
    await published(world, anna, "two")
    shutil.copy2(anna.root / "a.txt", beside := berta.root / "b.txt")
    beside.rename(berta.root / "a.txt")
    anna.delete("a.txt")
    anna.look()
    await world.quiet()
    world.join_up()
    await trio.sleep(5)
    await world.converge()
    assert anna.files() == berta.files() == {"a.txt": "two"}


async def published(world: World, machine: Machine, text: str) -> None:
    await trio.sleep(1)
    machine.write("a.txt", text)
    machine.look()
    await world.quiet()
