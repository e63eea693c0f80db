"""Authoring: our own log, a second actor where one must stand beside itself, and starting afresh."""

from collections.abc import Callable
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.history.authoring import Edit, restored, start_afresh
from p2pdrive.history.log import Ingested
from p2pdrive.index.arriving import Arrival, Arriving
from p2pdrive.limits import CLOCK_LEAD_MS_MAX
from p2pdrive.model import clock
from p2pdrive.model.batch import signed_bytes
from p2pdrive.model.heads import merge
from p2pdrive.model.record import DELETED, Grant, Role
from p2pdrive.secure.identity import verify
from tests.history.machines import CONTENTS, NO_END, ONE, THREE, TWO, Machine, batch_of, change_of, founded


class Stopped(Exception):
    """Why a run of these tests is not committed."""


def own_actors(machine: Machine) -> list[bytes]:
    return [row[2] for row in machine.log.own_actors(machine.device)]


def marks(machine: Machine) -> dict[bytes, tuple[int, bytes]]:
    """What the home notes of our own actors."""
    return {row[2]: (row[3], row[4]) for row in machine.log.own_actors(machine.device)}


def backup(machine: Machine) -> Callable[[], None]:
    """Remember the index of ``machine``; the result puts it back, as a person would who restores a backup."""
    saved = machine.connection.serialize()
    shown = dict(machine.shown)

    def restore() -> None:
        machine.connection.deserialize(saved)
        machine.shown = dict(shown)

    return restore


def test_edits_of_one_run_are_one_signed_batch() -> None:
    founder, editor = founded(1)
    with editor.writing() as pen:
        records = [pen.edit(Edit(f"file {number}", ONE, {})) for number in range(5)]
        assert pen.written == 5
    (batch,) = [batch for batch in editor.batches() if batch.header.device == editor.device]
    header = batch.header
    assert (header.first, header.count, header.name) == (1, 5, editor.name)
    assert batch.records == tuple(record.encode() for record in records)
    assert verify(editor.device, batch.signature, signed_bytes(header.encode()))
    assert founder.pull(editor).records == 5


def test_batches_of_an_actor_chain() -> None:
    (founder,) = founded(0)
    for content in (ONE, TWO, THREE):
        founder.edit("a", content)
    one, two, three = (batch.header for batch in founder.batches())
    assert [header.first for header in (one, two, three)] == [1, 2, 3]
    assert (two.previous, three.previous) == (one.hash, two.hash)
    assert founder.log.frontier() == {one.actor: (3, three.hash)}


def test_run_without_edits_writes_nothing() -> None:
    (founder,) = founded(0)
    with founder.writing():
        pass
    assert founder.batches() == []
    assert own_actors(founder) == []


def test_failed_run_leaves_nothing_and_the_next_one_goes_on() -> None:
    (founder,) = founded(0)
    founder.edit("a", ONE)
    before = founder.state()
    with suppress(Stopped), founder.writing() as pen:
        pen.edit(Edit("a", TWO, {}))
        raise Stopped
    assert founder.state() == before
    assert founder.edit("a", TWO).seq == 2


def test_edit_of_the_winner_leaves_our_own_losing_head() -> None:
    founder, editor = founded(1)
    editor.edit("a", ONE)
    founder.now_ms += 1000
    founder.edit("a", TWO)
    editor.pull(founder)
    editor.show("a")
    assert editor.verdict("a").content == TWO
    editor.now_ms += 2000
    edited = editor.edit("a", THREE)
    assert {head.content for head in editor.heads("a")} == {ONE, THREE}
    assert len(own_actors(editor)) == 2
    assert edited.actor == own_actors(editor)[1]
    founder.pull(editor)
    assert founder.state() == editor.state()


def test_second_actor_is_taken_again_for_other_paths() -> None:
    founder, editor = founded(1)
    for path in ("a", "b"):
        editor.edit(path, ONE)
        founder.now_ms += 1000
        founder.edit(path, TWO)
    editor.pull(founder)
    for path in ("a", "b"):
        editor.show(path)
        editor.edit(path, THREE)
    editor.edit("c", ONE)
    assert len(own_actors(editor)) == 2


def test_edit_that_has_seen_our_own_head_stays_with_its_actor() -> None:
    (founder,) = founded(0)
    actors = {founder.edit("a", content).actor for content in (ONE, TWO, DELETED, THREE)}
    assert len(actors) == 1
    assert len(founder.heads("a")) == 1


def test_time_of_writing_grows_and_an_older_change_keeps_its_own() -> None:
    (founder,) = founded(0)
    first = founder.edit("a", ONE)
    founder.now_ms -= 5000
    second = founder.edit("a", TWO)
    assert second.clock > first.clock
    with founder.writing() as pen:
        older = pen.edit(Edit("b", ONE, {}, clock=clock.from_milliseconds(1_000_000)))
        future = pen.edit(Edit("c", ONE, {}, clock=1 << 62))
    assert older.clock == clock.from_milliseconds(1_000_000)
    assert second.clock < future.clock < 1 << 62


def test_clock_follows_the_peers_but_not_into_next_year() -> None:
    founder, editor = founded(1)
    editor.now_ms += 60_000
    seen = editor.edit("a", ONE)
    founder.pull(editor)
    assert founder.edit("b", ONE).clock > seen.clock
    editor.now_ms += CLOCK_LEAD_MS_MAX * 2
    wrong = editor.edit("a", TWO)
    founder.pull(editor)
    assert founder.edit("b", TWO).clock < wrong.clock


def test_moved_from_is_in_the_record() -> None:
    (founder,) = founded(0)
    with founder.writing() as pen:
        pen.edit(Edit("new", ONE, {}, moved_from="old"))
    assert founder.verdict("new").moved_from == "old"


def test_edit_goes_on_unhindered_by_a_peer_that_named_records_which_we_never_wrote() -> None:
    founder, editor = founded(1)
    first = founder.edit("a", ONE)
    lie = batch_of(editor, change_of("a", TWO, {first.actor: 1 << 40}))
    assert founder.take([lie]).waiting == {lie.header.actor: 1}
    assert founder.heads("a") == (first,)
    founder.show("a")
    edited = founder.edit("a", THREE)
    assert edited.actor == first.actor
    assert founder.take([lie]).waiting == {lie.header.actor: 1}
    assert founder.heads("a") == (edited,)


def test_edit_that_names_records_which_we_never_wrote_gets_an_actor_of_its_own() -> None:
    (founder,) = founded(0)
    first = founder.edit("a", ONE)
    edited = founder.edit("a", TWO, {first.actor: 1 << 40})
    assert edited.actor != first.actor
    assert edited.vector[first.actor] == first.seq
    assert founder.heads("a") == (edited,)


def test_edits_of_one_run_that_see_each_other_across_our_actors_do_not_wait_for_each_other() -> None:
    founder, editor = founded(1)
    editor.edit("a", ONE)
    founder.now_ms += 1000
    founder.edit("a", TWO)
    editor.pull(founder)
    editor.show("a")
    editor.edit("a", THREE)  # beside our own loser: a second actor
    one, two = own_actors(editor)
    with editor.writing() as pen:
        left = pen.edit(Edit("b", ONE, {}))
        right = pen.edit(Edit("b", TWO, {}))
        saw_right = pen.edit(Edit("c", ONE, right.vector))
        beside = pen.edit(Edit("d", ONE, {}))
        saw_left = pen.edit(Edit("d", TWO, saw_right.vector))
    assert [record.actor for record in (left, saw_right, beside)] == [two] * 3
    assert [record.actor for record in (right, saw_left)] == [one] * 2
    result = founder.pull(editor)
    assert (result.records, result.waiting) == (7, {})
    assert founder.state() == editor.state()


# --- restored, copied


def test_log_that_lacks_what_was_noted_is_a_restored_one() -> None:
    (founder,) = founded(0)
    founder.edit("a", ONE)
    restore = backup(founder)
    assert not restored(marks(founder), founder.log, founder.device)
    founder.edit("a", TWO)
    noted = marks(founder)
    assert not restored(noted, founder.log, founder.device)
    restore()
    assert restored(noted, founder.log, founder.device)
    assert not restored({}, founder.log, founder.device)
    assert restored({b"u" * 16: (1, bytes(32))}, founder.log, founder.device)
    assert not restored({b"u" * 16: (0, bytes(32))}, founder.log, founder.device)


def test_log_with_another_batch_at_the_noted_place_is_a_restored_one() -> None:
    (founder,) = founded(0)
    founder.edit("a", ONE)
    restore = backup(founder)
    founder.edit("a", TWO)
    noted = marks(founder)
    restore()
    founder.edit("a", THREE)
    assert restored(noted, founder.log, founder.device)


@pytest.mark.parametrize("drop", [False, True])
def test_starting_afresh_takes_a_new_actor_and_looks_at_everything(drop: bool) -> None:
    founder, editor = founded(1)
    old = editor.edit("a", ONE)
    founder.edit("b", TWO)
    editor.pull(founder)
    editor.log.entries.mark_shown(["a", "b"])
    with editor.transaction():
        start_afresh(editor.log, drop_own=drop)
    assert own_actors(editor) == []
    assert editor.unshown() == ({"b"} if drop else {"a", "b"})
    assert editor.edit("c", THREE).actor != old.actor


def test_starting_afresh_forgets_what_was_about_to_be_shown() -> None:
    """It stood for what the drive held before, and what is there may be of the backup."""
    founder, _ = founded(1)
    with founder.transaction():
        arriving = Arriving(founder.log.connection)
        arriving.put([Arrival("a", ONE, {bytes(16): 7}, 1)])
        start_afresh(founder.log, drop_own=False)
        assert arriving.paths() == []


def test_starting_afresh_keeps_the_log_and_its_heads() -> None:
    founder, editor = founded(1)
    editor.edit("a", ONE)
    editor.edit("a", TWO)
    before = editor.state()
    with editor.transaction():
        start_afresh(editor.log, drop_own=False)
    assert editor.state() == before
    assert founder.pull(editor).records == 2


def test_dropping_our_log_makes_heads_of_what_it_had_superseded() -> None:
    founder, editor = founded(1)
    founder.edit("a", ONE)
    editor.pull(founder)
    editor.show("a")
    editor.edit("a", TWO)
    editor.edit("mine", THREE)
    with editor.transaction():
        start_afresh(editor.log, drop_own=True)
    assert editor.contents("a") == [ONE]
    assert editor.heads("mine") == ()
    assert [batch.header.device for batch in editor.batches()] == [founder.device] * 2
    assert editor.log.frontier() == founder.log.frontier()


def test_true_log_comes_back_from_the_peers_after_a_drop() -> None:
    founder, editor = founded(1)
    editor.edit("a", ONE)
    restore = backup(editor)
    editor.edit("a", TWO)
    founder.pull(editor)
    restore()
    editor.edit("b", THREE)  # before it hears from anyone: its log has parted
    result = editor.take(founder.batches())
    assert result.own_forks
    with editor.transaction():
        start_afresh(editor.log, drop_own=True)
    result = editor.pull(founder)
    assert (result.own_forks, result.forked, result.waiting) == ([], [], {})
    assert editor.state() == founder.state()
    assert editor.heads("b") == ()  # in the folder, from where the next scan records it anew
    editor.edit("b", THREE)
    assert founder.pull(editor).forked == []
    assert founder.state() == editor.state()


def test_founder_that_dropped_its_log_is_still_the_admin() -> None:
    founder, editor = founded(1)
    founder.edit("a", ONE)
    editor.pull(founder)
    with founder.transaction():
        start_afresh(founder.log, drop_own=True)
    founder.pull(editor)
    assert founder.state() == editor.state()
    founder.admit(Grant(b"n" * 32, Role.EDITOR, "new"))
    assert editor.pull(founder).membership


def test_newcomer_gets_all_from_a_founder_whose_log_came_back_last() -> None:
    """Grants then stand after what they allow: nothing may be lost, only asked for again."""
    founder, editor = founded(1)
    editor.edit("a", ONE)
    founder.pull(editor)
    with founder.transaction():
        start_afresh(founder.log, drop_own=True)
    founder.pull(editor)
    newcomer = Machine(9, founder.genesis)
    assert list(newcomer.pull(founder).waiting.values()) == [1]
    assert newcomer.pull(founder).waiting == {}
    assert newcomer.state() == founder.state()


def test_copy_of_a_folder_on_another_device_writes_as_itself() -> None:
    founder, editor, other = founded(2)
    editor.edit("a", ONE)
    editor.connection.backup(other.connection)
    with other.transaction():
        start_afresh(other.log, drop_own=False)
    assert own_actors(other) == []
    mine = other.edit("a", TWO, editor.shown["a"])
    assert other.log.device_of(mine.actor) == other.device
    founder.pull(editor)
    founder.pull(other)
    assert founder.contents("a") == [TWO]
    assert founder.log.frozen() == []


# --- no (actor, seq) is ever used twice

VERBS = ("edit", "edit", "pull", "back up", "restore", "crash", "copy")
_steps = st.lists(st.sampled_from([*product(VERBS, range(3), range(len(CONTENTS)))]), max_size=25)


@given(_steps)
def test_no_dot_is_used_twice_however_often_folders_are_restored_and_copied(
    steps: list[tuple[str, int, int]],
) -> None:
    """What a home noted outside the folder is enough to notice; all logs agree in the end."""
    machines = founded(2)
    backups = [backup(machine) for machine in machines]
    noted: list[dict[bytes, tuple[int, bytes]]] = [{} for _ in machines]
    known: dict[tuple[bytes, int], bytes] = {}
    for verb, number, choice in steps:
        machine, other = machines[number], machines[(number + 1 + choice % 2) % 3]
        if verb == "edit":
            machine.show("a")
            machine.edit("a", CONTENTS[choice], machine.shown["a"] if choice else {})
            noted[number] |= marks(machine)
        elif verb == "pull":
            result = machine.pull(other)
            assert (result.forked, result.own_forks) == ([], [])
        elif verb == "back up":
            backups[number] = backup(machine)
        elif verb == "restore":
            backups[number]()
            _claim(machine, noted[number])
        elif verb == "crash":
            with suppress(Stopped), machine.writing() as pen:
                pen.edit(Edit("a", CONTENTS[choice], {}))
                raise Stopped
        elif verb == "copy":
            other.connection.backup(machine.connection)
            with machine.transaction():
                start_afresh(machine.log, drop_own=False)
        for dot, body in machine.dots().items():
            assert known.setdefault(dot, body) == body
    for _ in range(2):
        for machine in machines:
            for other in machines:
                machine.pull(other)
    assert machines[0].state() == machines[1].state() == machines[2].state()
    assert machines[0].heads("a") == merge((), machines[0].log.registers.versions("a"))


def _claim(machine: Machine, noted: dict[bytes, tuple[int, bytes]]) -> None:
    if restored(noted, machine.log, machine.device):
        with machine.transaction():
            start_afresh(machine.log, drop_own=False)


@given(st.lists(st.sampled_from(["edit", "pull", "back up", "restore"]), max_size=15))
def test_device_that_pulls_before_it_writes_never_forks_even_without_notes(steps: list[str]) -> None:
    """Restored with its home: the peers know more of our log than we do, and their word is heard first."""
    founder, editor = founded(1)
    restore = backup(editor)
    for number, verb in enumerate(steps):
        if verb == "edit":
            editor.edit(f"file {number}", ONE)
            founder.pull(editor)
        elif verb == "pull":
            founder.pull(editor)
        elif verb == "back up":
            restore = backup(editor)
        elif verb == "restore":
            restore()
            if editor.pull(founder).own_forks:
                with editor.transaction():
                    start_afresh(editor.log, drop_own=True)
                assert editor.pull(founder).own_forks == []
            assert editor.state() == founder.state()
    founder.pull(editor)
    assert founder.log.frozen() == []
    assert founder.state() == editor.state()
    assert founder.take(editor.batches()) == Ingested()
    assert editor.log.batches_after({}, NO_END)[1] is False
