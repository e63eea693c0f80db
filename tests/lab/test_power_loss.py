"""What a power cut may leave on the simulated disk, and what it may not."""

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from p2pdrive.lab.disk import Disk
from p2pdrive.lab.files import SimulatedFiles
from p2pdrive.model.paths import ancestors
from tests.lab.simulated import ACTS, Act, attempt, disk_of, received, summary, there

#: Enough that each legal state of a small disk is met.
SEEDS = range(300)
State = tuple[tuple[str, object], ...]


def after_crash(prepare: Callable[[Disk], object]) -> set[State]:
    """All states that a power cut leaves, whatever the luck: (path, content or kind) of all there is."""
    found = set()
    for seed in SEEDS:
        disk = disk_of(seed)
        prepare(disk)
        disk.crash()
        found.add(summary(disk))
    return found


def test_synced_file_survives_any_crash() -> None:
    def prepare(disk: Disk) -> None:
        disk.write("d/f", b"safe")
        disk.sync("d")
        disk.sync("d/f")

    assert after_crash(prepare) == {(("d", "directory"), ("d/f", b"safe"))}


def test_new_file_that_nobody_synced_is_there_half_there_or_gone() -> None:
    found = after_crash(lambda disk: disk.write("f", b"new"))
    assert found == {(), (("f", b""),), (("f", bytes(3)),), (("f", b"new"),)}


def test_synced_name_does_not_make_the_content_durable() -> None:
    def prepare(disk: Disk) -> None:
        files = SimulatedFiles(disk)
        files.publish(received(files, b"new", synced=False), "f", None)
        files.sync_directories([""])

    assert after_crash(prepare) == {(("f", b""),), (("f", bytes(3)),), (("f", b"new"),)}


def test_synced_content_does_not_make_the_name_durable() -> None:
    def prepare(disk: Disk) -> None:
        files = SimulatedFiles(disk)
        files.publish(received(files, b"new"), "f", None)

    assert after_crash(prepare) == {(), (("f", b"new"),)}


def test_file_keeps_its_inode_number_though_the_one_that_had_it_before_comes_back() -> None:
    back = 0
    for seed in SEEDS:
        disk = disk_of(seed)
        files = SimulatedFiles(disk)
        disk.write("a/old", b"old")
        disk.make_directory("b")
        for path in ("a", "b", "a/old"):
            disk.sync(path)
        number = there(files, "a/old").inode
        disk.delete("a/old")
        disk.write("b/new", b"new")
        assert there(files, "b/new").inode == number
        for path in ("b", "b/new"):
            disk.sync(path)
        disk.crash()
        files = SimulatedFiles(disk)
        assert there(files, "b/new").inode == number
        if disk.exists("a/old"):
            back += 1
            assert there(files, "a/old").inode != number
    assert back


def test_replacement_is_wholly_old_or_wholly_new() -> None:
    kept = set()

    def prepare(disk: Disk) -> None:
        disk.write("f", b"old")
        disk.sync()
        files = SimulatedFiles(disk)
        files.publish(received(files, b"new"), "f", there(files, "f"))

    for seed in SEEDS:
        disk = disk_of(seed)
        prepare(disk)
        disk.crash()
        found = {disk.read("f"), *disk.every_file()}
        assert b"old" in found  # as the file or displaced
        kept.add(disk.read("f"))
    assert kept == {b"old", b"new"}


def test_overwrite_in_place_may_be_torn_page_by_page() -> None:
    old, new = b"a" * 9000, b"b" * 9000

    def prepare(disk: Disk) -> None:
        disk.write("f", old)
        disk.sync()
        disk.write("f", new)

    found = {content for ((_, content),) in after_crash(prepare)}
    assert {old, new} < found
    assert b"a" * 4096 + b"b" * 4904 in found
    assert all(isinstance(content, bytes) and set(content) <= {97, 98} for content in found)


def test_move_between_directories_is_never_half() -> None:
    def prepare(disk: Disk) -> None:
        disk.write("one/f", b"x")
        disk.make_directory("two")
        disk.sync()
        disk.rename("one/f", "two/f")

    assert {tuple(path for path, _ in state) for state in after_crash(prepare)} == {
        ("one", "one/f", "two"),
        ("one", "two", "two/f"),
    }


def test_changes_of_one_directory_survive_in_their_order() -> None:
    def prepare(disk: Disk) -> None:
        for name in ("1", "2", "3"):
            disk.make_directory(name)

    found = {"".join(path for path, _ in state) for state in after_crash(prepare)}
    assert found == {"", "1", "12", "123"}


def test_changes_of_two_directories_survive_in_any_order() -> None:
    def prepare(disk: Disk) -> None:
        disk.make_directory("a")
        disk.make_directory("b")
        disk.sync()
        disk.make_directory("a/1")
        disk.make_directory("b/2")

    found = {tuple(path for path, _ in state if "/" in path) for state in after_crash(prepare)}
    assert found == {(), ("a/1",), ("b/2",), ("a/1", "b/2")}


def test_synced_directory_takes_along_what_it_rests_on() -> None:
    def prepare(disk: Disk) -> None:
        disk.write("one/f", b"x")
        disk.sync()
        disk.rename("one/f", "one/g")
        disk.make_directory("two")
        disk.rename("one/g", "two/h")
        disk.make_directory("one/later")
        SimulatedFiles(disk).sync_directories(["two"])

    found = {tuple(path for path, _ in state) for state in after_crash(prepare)}
    assert found == {("one", "two", "two/h"), ("one", "one/later", "two", "two/h")}


def test_crash_tells_which_paths_are_not_what_they_were() -> None:
    for seed in SEEDS:
        disk = disk_of(seed)
        disk.write("kept", b"x")
        disk.sync()
        disk.write("f", b"new")
        before = disk.tree()
        lost = disk.crash()
        after = disk.tree()
        assert lost <= {"f"}
        assert ("f" in lost) == (before["f"] != after.get("f"))


def test_directory_never_gets_below_itself() -> None:
    def prepare(disk: Disk) -> None:
        disk.write("r/a/x/b/f", b"x")
        disk.make_directory("q")
        disk.sync()
        disk.rename("r/a/x/b", "q/b")
        disk.rename("r/a", "q/b/a")

    found = {tuple(path for path, content in state if content == b"x") for state in after_crash(prepare)}
    assert found == {("r/a/x/b/f",), ("q/b/f",)}


def test_new_content_is_never_under_old_times() -> None:
    seen = set()
    for seed in SEEDS:
        disk = disk_of(seed)
        disk.write("f", b"old")
        disk.sync()
        old = there(SimulatedFiles(disk), "f")
        disk.write("f", b"new")
        new = there(SimulatedFiles(disk), "f")
        disk.crash()
        content, found = disk.read("f"), there(SimulatedFiles(disk), "f")
        assert found in (old, new)
        assert content == b"old" or found == new
        seen.add((content, found == new))
    assert seen == {(b"old", False), (b"old", True), (b"new", True)}


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTS, max_size=25), st.lists(ACTS, max_size=25), st.integers(0, 1000))
def test_whatever_was_synced_is_there_and_crashes_leave_a_whole_tree(
    before: list[Act], after: list[Act], seed: int
) -> None:
    disk = disk_of(seed)
    for act in before:
        attempt(disk, act)
    disk.sync()
    synced = disk.tree()
    named = {path for _, *named in after for path in named if isinstance(path, str)}
    for act in after:
        attempt(disk, act)
    disk.crash()
    found = disk.tree()
    for path, shown in synced.items():
        if named.isdisjoint([path, *ancestors(path)]):
            assert found[path] == shown
    for path in found:
        parent = path.rpartition("/")[0]
        assert not parent or found[parent] == ("directory",)
    assert disk.volume.used == sum(len(content) for content in disk.every_file())
    again = disk.tree()
    assert disk.crash() == set()
    assert disk.tree() == again
