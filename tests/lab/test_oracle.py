"""The oracle: what must be where, after all that persons did and faults took."""

from itertools import permutations
from random import Random

import pytest
import trio

from p2pdrive.lab.evidence import content_of, entries_of, original_of, readable, root_of
from p2pdrive.lab.faults import FAULTS, Scene
from p2pdrive.lab.oracle import Oracle
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.stories import Removal
from p2pdrive.lab.world import World, within_world
from p2pdrive.model.record import Content, Kind
from tests.lab.deeds import delete, rename, two_that_share, until, write


def standing(oracle: Oracle) -> set[bytes]:
    return {data for data, story in oracle.written.stories.items() if story.stands}


def file(data: bytes) -> tuple[object, ...]:
    return ("file", data, False, 0)


def test_what_a_person_replaces_or_deletes_need_not_stand() -> None:
    oracle = Oracle()
    oracle.wrote("anna", "a", b"one", None)
    oracle.wrote("anna", "a", b"two", b"one")
    oracle.wrote("anna", "b", b"three", None)
    assert standing(oracle) == {b"two", b"three"}
    oracle.deleted("berta", "b", b"three")
    assert standing(oracle) == {b"two"}
    assert oracle.written.is_known(b"one")
    assert not oracle.written.is_known(b"four")


def test_a_content_that_is_written_again_stands_again() -> None:
    oracle = Oracle()
    oracle.wrote("anna", "a", b"one", None)
    oracle.wrote("anna", "a", b"two", b"one")
    oracle.wrote("anna", "a", b"one", b"two")
    assert standing(oracle) == {b"one"}


def test_a_rename_moves_what_stands_and_replaces_what_was_there() -> None:
    oracle = Oracle()
    oracle.wrote("anna", "d/a", b"one", None)
    oracle.wrote("anna", "b", b"two", None)
    oracle.renamed("anna", "d/a", "b", b"two", {"b": b"one"})
    assert standing(oracle) == {b"one"}
    assert oracle.touched.took_away("anna", "d/a")
    assert not oracle.touched.took_away("anna", "b")
    assert not oracle.touched.took_away("berta", "d/a")
    assert oracle.touched.unscanned == {("anna", "b"): b"one"}


def test_a_directory_that_goes_takes_its_inside_along() -> None:
    oracle = Oracle()
    oracle.wrote("anna", "d/e/a", b"one", None)
    oracle.renamed("anna", "d", "f", None, {"f/e/a": b"one"})
    assert oracle.touched.took_away("anna", "d/e/a")
    assert oracle.touched.anyone_took_away("d/new")
    assert not oracle.touched.anyone_took_away("f/e/a")


def test_settling_a_conflict_is_an_edit_of_its_path() -> None:
    oracle = Oracle()
    oracle.deleted("anna", "d/a (conflict 0123abcd from berta).txt", b"one")
    assert "d/a.txt" in oracle.touched.changed
    assert original_of("d/a (conflict 0123abcd from berta) (conflict 99999999 from c).txt") == (
        "d/a (conflict 0123abcd from berta).txt"
    )
    assert original_of("a (conflict of interests).txt") == ""


def test_a_power_loss_forgives_what_it_took_and_makes_known_what_it_left() -> None:
    oracle = Oracle()
    for path, data in {"kept": b"one", "torn": b"two two", "gone": b"three"}.items():
        oracle.wrote("anna", path, data, None)
    before = {"kept": file(b"one"), "torn": file(b"two two"), "gone": file(b"three")}
    oracle.power_lost("anna", before, {"kept": file(b"one"), "torn": file(b"two\0\0\0\0")})
    assert standing(oracle) == {b"one"}
    assert oracle.written.is_known(b"two\0\0\0\0")
    assert oracle.touched.took_away("anna", "gone")
    assert not oracle.touched.took_away("anna", "kept")
    (crash,) = oracle.seen.crashes
    assert crash.persons == {"kept", "torn", "gone"}
    assert crash.torn == {"torn"}


def test_a_power_loss_forgives_what_it_took_of_what_the_node_had_just_put_aside() -> None:
    oracle = Oracle()
    for path, data in {"a": b"one", "b": b"two"}.items():
        oracle.wrote("anna", path, data, None)
    shown = {"a": file(b"of others"), "b": file(b"of others")}
    oracle.power_lost("anna", shown, shown, lost={b"one"})
    assert standing(oracle) == {b"two"}
    assert oracle.touched.unscanned == {("anna", "b"): b"two"}


def test_rot_forgives_what_it_changed() -> None:
    oracle = Oracle()
    oracle.wrote("anna", "a", b"one", None)
    oracle.rotted("anna", "a", b"onf", b"one")
    assert standing(oracle) == set()
    assert oracle.written.is_known(b"onf")


def test_a_deletion_in_the_breath_of_a_kill_may_go_unnoticed() -> None:
    oracle = Oracle()
    oracle.looked_at_everything("anna")
    oracle.deleted("anna", "a", b"one")
    early = Removal("anna", oracle.count)
    oracle.looked_at_everything("anna")
    oracle.deleted("anna", "b", b"two")
    late = Removal("anna", oracle.count)
    oracle.killed("anna")
    assert oracle.seen.noticed(early)
    assert not oracle.seen.noticed(late)


def test_a_node_that_takes_its_folder_as_it_is_sees_no_deletion() -> None:
    oracle = Oracle()
    oracle.seen.adopting.add("anna")
    oracle.deleted("anna", "a", b"one")
    assert ("a", b"one") not in oracle.written.places


def test_what_was_there_once_may_be_an_older_version_to_a_node_that_takes_its_folder_as_it_is() -> None:
    oracle = Oracle()
    oracle.wrote("berta", "a", b"one", None)
    oracle.wrote("berta", "a", b"two", b"one")
    oracle.seen.adopting.add("anna")
    oracle.wrote("anna", "a", b"one", None)
    oracle.wrote("anna", "a", b"three", b"two")
    oracle.wrote("anna", "b", b"one too", None)
    assert standing(oracle) == {b"three", b"one too"}


def test_paths_that_rules_hid_at_any_time_are_remembered() -> None:
    oracle = Oracle()
    oracle.wrote("anna", ".p2pdriveignore", b"*.tmp\nd/\n", None)
    oracle.wrote("anna", ".p2pdriveignore", b"", b"*.tmp\nd/\n")
    assert oracle.written.was_ignored("x.tmp")
    assert oracle.written.was_ignored("d/a")
    assert not oracle.written.was_ignored("a")


# --- in a world


@pytest.mark.parametrize("beside", [False, True], ids=["in place", "as editors save"])
def test_what_a_viewer_brings_back_that_its_node_shows_is_no_edit(beside: bool) -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta", "viewer")
        await world.share(anna)
        await world.join(berta)
        write(anna, "f", b"one")
        await world.converge()
        world.network.block([("anna", "berta"), ("berta", "anna")])
        write(anna, "f", b"two")
        write(berta, "f", b"own")
        if beside:
            write(berta, "f.tmp", b"one")
            rename(berta, "f", "f~")
            rename(berta, "f.tmp", "f")
            delete(berta, "f~")
        else:
            write(berta, "f", b"one")
        assert standing(world.oracle) == {b"two"}
        await world.heal()
        await world.converge()
        assert berta.disk.read("f") == b"two"

    run_simulated(lambda: within_world(1, story), 1)


def test_a_restored_backup_forgets_only_what_nobody_else_has() -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
        await world.share(anna)
        await world.join(berta)
        write(berta, "old", b"in the backup")
        await world.converge()
        backup = berta.disk.snapshot()
        write(berta, "shared", b"others have it")
        await world.converge()
        world.network.block([("anna", "berta"), ("berta", "anna")])
        write(berta, "alone", b"nobody else has it")
        await trio.sleep(5)
        before = berta.disk.tree()
        berta.kill()
        berta.disk.restore(backup)
        world.oracle.restored("berta", before, berta.disk.tree())
        assert standing(world.oracle) == {b"in the backup", b"others have it"}
        assert world.oracle.written.stories[b"in the backup"].must_be_readable
        assert "alone" in world.oracle.seen.taken
        assert "shared" not in world.oracle.seen.taken
        assert "berta" in world.oracle.seen.adopting

    run_simulated(lambda: within_world(1, story), 1)


def test_a_restored_backup_forgets_deletions_that_nobody_else_knows() -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
        await world.share(anna)
        await world.join(berta)
        write(berta, "known", b"one")
        write(berta, "unknown", b"two")
        await world.converge()
        backup = berta.back_up()
        delete(berta, "known")
        await world.converge()
        world.network.block([("anna", "berta"), ("berta", "anna")])
        delete(berta, "unknown")
        await trio.sleep(5)
        places = world.oracle.written.places
        assert places["known", b"one"].removals
        assert places["unknown", b"two"].removals
        berta.put_back(backup)
        await trio.sleep(5)
        assert places["known", b"one"].removals
        assert not places["unknown", b"two"].removals

    run_simulated(lambda: within_world(1, story), 1)


def test_a_deletion_is_forgotten_when_the_last_who_knew_of_it_is_put_back_too() -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
        await world.share(anna)
        await world.join(berta)
        write(berta, "it", b"one")
        await world.converge()
        backups = {each.name: each.back_up() for each in (anna, berta)}
        delete(berta, "it")
        await world.converge()
        anna.kill()  # she alone knows, once berta is put back
        removals = world.oracle.written.places["it", b"one"].removals
        berta.put_back(backups["berta"])
        await trio.sleep(5)
        assert world.oracle.written.places["it", b"one"].removals == removals != []
        anna.put_back(backups["anna"])
        await trio.sleep(5)
        assert not world.oracle.written.places["it", b"one"].removals

    run_simulated(lambda: within_world(1, story), 1)


def test_evidence_is_the_same_whether_the_node_runs_or_not() -> None:
    large = Random(1).randbytes(500_000)

    async def story(world: World) -> None:
        anna = world.add_machine("anna", "admin")
        await world.share(anna)
        write(anna, "small", b"small")
        write(anna, "large", large)
        await world.converge()
        lacking = Content(Kind.FILE, 1, bytes(32), 1)
        asked = [content_of(b"small"), content_of(large), lacking]
        for _ in range(2):
            assert set(entries_of(anna)) == {"small", "large"}
            assert readable(anna, asked) == {root_of(b"small"), root_of(large)}
            await anna.stop()
        assert content_of(large).blocks > 1

    run_simulated(lambda: within_world(1, story), 1)


def test_what_others_have_recorded_is_not_excused_when_a_backup_is_put_back() -> None:
    async def story(world: World) -> None:
        machines = anna, berta, clara = [world.add_machine(name) for name in ("anna", "berta", "clara")]
        await world.share(anna)
        await world.join(berta)
        await world.join(clara)
        await world.converge()
        backup = anna.back_up()
        anna.disk.write("f", b"one")
        world.oracle.wrote("anna", "f", b"one", None)
        await world.converge()
        world.network.block([(one.name, other.name) for one, other in permutations(machines, 2)])
        berta.disk.write("f", b"two")
        world.oracle.wrote("berta", "f", b"two", b"one")
        await trio.sleep(10)
        anna.put_back(backup)
        await trio.sleep(5)
        assert clara.disk.read("f") == b"one"
        assert not world.oracle.written.stories[b"one"].may_be_missing

    run_simulated(lambda: within_world(1, story), 1)


def test_what_a_viewer_replaced_is_replaced_once_its_folder_is_put_over_an_editors() -> None:
    async def story(world: World) -> None:
        anna = world.add_machine("anna")
        world.add_machine("berta", "viewer")
        oracle = world.oracle
        for name in ("a", "b"):
            write(anna, name, name.encode())
        for name in ("a", "b"):
            oracle.wrote("berta", name, b"new", name.encode())
        assert standing(oracle) == {b"a", b"b", b"new"}
        put_away = dict(oracle.touched.put_away["berta"])
        oracle.wrote("anna", "c", b"b", None)
        oracle.restored("anna", {}, {"a": file(b"new")}, put_away=put_away)
        assert not oracle.written.stories[b"a"].must_be_readable
        assert oracle.written.stories[b"b"].replaced == 0

    run_simulated(lambda: within_world(1, story), 1)


def test_what_another_version_says_that_is_about_to_be_shown_is_not_written_twice() -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna"), world.add_machine("berta")
        await world.share(anna)
        await world.join(berta)
        await world.converge()
        write(anna, "f", b"zero")
        await world.converge()
        berta.disk.hold_open("f")
        write(anna, "f", b"one")
        first = world.oracle.written.stories[b"one"].written
        await trio.sleep(3)
        write(berta, "f", b"one")
        assert world.oracle.written.stories[b"one"].written == first
        delete(anna, "f")
        write(anna, "f", b"one")
        assert world.oracle.written.stories[b"one"].written > first

    run_simulated(lambda: within_world(1, story), 1)


def test_only_note_that_someone_has_joined_is_not_undone() -> None:
    """Nobody could know the member again: docs/architecture.md, Rollback."""

    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna"), world.add_machine("berta")
        await world.share(anna)
        restore, scene = FAULTS["restore"][0], Scene(world, anna, Random(1))
        restore(scene)
        assert anna.backup is not None
        await world.join(berta)
        restore(scene)
        assert not anna.is_being_put_back
        await world.converge()
        restore(scene)
        assert anna.is_being_put_back

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("recorded", [False, True])
def test_equal_bytes_that_were_replaced_elsewhere_do_not_stand_for_what_a_copied_folder_took(
    recorded: bool,
) -> None:
    """Seed 891454977: the folder that was copied over had them too, at a path where they were replaced."""
    oracle = Oracle()
    oracle.wrote("anna", "old", b"the same", None)
    oracle.wrote("clara", "old", b"new", b"the same")
    oracle.wrote("berta", "f.tmp", b"the same", None)
    oracle.renamed("berta", "f.tmp", "f", None, {"f": b"the same"})
    assert standing(oracle) == {b"new", b"the same"}
    before = {"old": file(b"the same"), "f": file(b"the same")}
    oracle.restored("berta", before, {"old": file(b"the same")}, unrecorded=[] if recorded else ["f"])
    assert (b"the same" in standing(oracle)) is recorded
    assert oracle.written.stories[b"the same"].must_be_readable


def test_litter_in_a_copied_folder_goes_with_its_folder_as_all_litter_does() -> None:
    """Seed 7112."""
    oracle = Oracle()
    oracle.left("anna", "d/.DS_Store", b"litter")
    oracle.wrote("anna", "d/f", b"text", None)
    oracle.restored("berta", {}, {"d/.DS_Store": file(b"litter"), "d/f": file(b"text")})
    readable = {story.data for story in oracle.written.stories.values() if story.must_be_readable}
    assert readable == {b"text"}


def test_empty_file_that_is_not_in_what_was_put_back_was_made_by_nobody() -> None:
    oracle = Oracle()
    oracle.wrote("anna", "a", b"one", None)
    oracle.wrote("anna", "a", b"", b"one")
    oracle.made_directory("anna", "d")
    oracle.restored("anna", {}, {"a": file(b"one"), "d": ("directory",)})
    assert set(oracle.touched.made["anna"]) == {"d"}


def test_older_version_in_a_folder_that_is_taken_as_it_is_need_not_stand_however_it_got_there() -> None:
    oracle = Oracle()
    for path in ("a", "b"):
        oracle.wrote("anna", path, path.encode(), None)
        oracle.wrote("anna", path, b"new " + path.encode(), path.encode())
    oracle.seen.adopting.add("anna")
    oracle.wrote("anna", "a", b"a", b"new a")
    oracle.wrote("anna", "b.tmp", b"b", None)
    oracle.renamed("anna", "b.tmp", "b", b"new b", {"b": b"b"})
    assert not standing(oracle)


def test_older_version_under_its_copys_name_in_a_folder_that_is_taken_as_it_is_need_not_stand() -> None:
    copy = "a (conflict 01234567 from anna).txt"
    for adopting in (False, True):
        oracle = Oracle()
        oracle.wrote("anna", "a.txt", b"one", None)
        oracle.wrote("berta", copy, b"two", b"one")
        if adopting:
            oracle.seen.adopting.add("anna")
        oracle.wrote("anna", copy, b"one", b"two")
        assert standing(oracle) == (set() if adopting else {b"one"})


def test_what_a_viewer_replaces_and_nobody_else_shows_is_replaced() -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna"), world.add_machine("berta", "viewer")
        oracle = world.oracle
        for name in ("a", "b"):
            oracle.wrote("anna", name, name.encode(), None)
            berta.disk.write(name, name.encode())
        anna.disk.write("a", b"a")
        write(berta, "a", b"new")
        write(berta, "b", b"new")
        assert standing(oracle) == {b"a", b"new"}

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize(
    ("role", "new", "readable_there"),
    [("editor", "g", True), ("editor", ".f.swp", False), ("viewer", "g", False), ("viewer", "f", True)],
)
def test_what_is_left_where_no_node_reads_it_is_shown_by_nobody(
    role: str, new: str, readable_there: bool
) -> None:
    """Seed 887866855: all replaced it in the same breath, and a viewer's backup was all that was left."""

    async def story(world: World) -> None:
        anna, berta = await two_that_share(world, role)
        write(anna, "f", b"one")
        await world.converge()
        if new != "f":
            rename(berta, "f", new)
        delete(anna, "f")
        assert world.oracle.written.stories[b"one"].may_be_missing is not readable_there

    run_simulated(lambda: within_world(1, story), 1)


@pytest.mark.parametrize("meanwhile", [False, True], ids=["before it joins", "while it adopts its folder"])
def test_older_version_in_the_folder_of_who_joins_need_not_stand(meanwhile: bool) -> None:
    """Seeds 2187729116 and 266272593: others had deleted what was written there."""

    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
        await world.share(anna)
        write(anna, "f", b"one")
        await trio.sleep(5)
        delete(anna, "f")
        async with trio.open_nursery() as nursery:
            if meanwhile:
                nursery.start_soon(world.join, berta)
                await until(lambda: berta.drive is not None and berta.drive.replica.adopting)
            write(berta, "f", b"one")
            write(berta, "g", b"two")
            if not meanwhile:
                await world.join(berta)
        await world.converge()
        assert anna.disk.tree().keys() == {"g"}
        assert standing(world.oracle) == {b"two"}

    run_simulated(lambda: within_world(1, story), 1)
