"""The log: what it takes in from whom, what it refuses, and that the order is no matter."""

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import DiskFull, RecordRefused
from p2pdrive.history.authoring import Edit
from p2pdrive.history.log import Ingested, Log
from p2pdrive.index.database import Database
from p2pdrive.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, TARGET_BYTES_MAX
from p2pdrive.model.batch import Batch, body_root
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Grant, Kind, Record, Role
from p2pdrive.model.vector import joined
from tests.history.machines import (
    CONTENTS,
    NO_END,
    ONE,
    THREE,
    TWO,
    Machine,
    batch_of,
    change_of,
    empty_index,
    founded,
    identity_of,
)

# --- the same records, whatever the order

PATHS = ("a", "a/b", "a/b/c", "d")
VERBS = ("edit", "edit", "edit", "make", "dismiss", "show", "pull", "run")
_steps = st.lists(st.sampled_from([*product(VERBS, range(3), PATHS, range(len(CONTENTS)))]), max_size=20)
Steps = list[tuple[str, int, str, int]]


def lived(steps: Steps) -> list[Machine]:
    """Three members of a drive that wrote and pulled as ``steps`` say."""
    machines = founded(2)
    for verb, number, path, choice in steps:
        machine = machines[number]
        machine.now_ms += choice % 2
        heads = machine.heads(path)
        if verb == "edit":
            machine.edit(path, CONTENTS[choice])
        elif verb == "make":
            machine.edit(path, CONTENTS[choice], joined(h.vector for h in heads if not h.content.live))
        elif verb == "dismiss" and heads:
            machine.edit(path, machine.verdict(path).content, joined(head.vector for head in heads))
        elif verb == "show":
            machine.show(path)
        elif verb == "pull":
            machine.pull(machines[(number + 1 + choice) % 3], budget=1 + 400 * choice)
        elif verb == "run":
            with machine.writing() as pen:
                for each in PATHS:
                    pen.edit(edit_of(machine, each, choice))
    return machines


def edit_of(machine: Machine, path: str, choice: int = 0) -> Edit:
    return Edit(path, CONTENTS[choice], machine.shown.get(path, {}))


def exchanged(machines: list[Machine]) -> None:
    """Everyone pulls from everyone else: what one has, all have."""
    for machine, other in permutations(machines, 2):
        machine.pull(other)


def lacking(machine: Machine, batches: list[Batch]) -> list[Batch]:
    """Those of ``batches`` that ``machine`` does not hold."""
    frontier = machine.log.frontier()
    return [b for b in batches if frontier.get(b.header.actor, (0, b""))[0] < b.header.last]


def deliver(machine: Machine, batches: list[Batch], at_once: int = 1) -> None:
    """Give ``batches`` to ``machine`` in this order, and those that waited again until none does."""
    while batches:
        for start in range(0, len(batches), at_once):
            machine.take(batches[start : start + at_once])
        rest = lacking(machine, batches)
        assert len(rest) < len(batches), "batches wait for each other"
        batches = rest


@given(_steps, st.data())
def test_any_order_and_grouping_gives_the_same_registers(steps: Steps, data: st.DataObject) -> None:
    machines = lived(steps)
    exchanged(machines)
    founder = machines[0]
    in_order = Machine(7, founder.genesis)
    in_order.take(founder.batches())
    other = Machine(8, founder.genesis)
    deliver(other, data.draw(st.permutations(founder.batches())), data.draw(st.integers(1, 5)))
    assert other.state() == in_order.state() == founder.state()
    assert other.unshown() == in_order.unshown() >= set(founder.paths())


@given(_steps)
def test_all_that_have_exchanged_hold_the_same(steps: Steps) -> None:
    machines = lived(steps)
    exchanged(machines)
    one, two, three = (machine.state() for machine in machines)
    assert one == two == three


@given(_steps, st.data())
def test_repeated_and_overlapping_batches_change_nothing(steps: Steps, data: st.DataObject) -> None:
    machines = lived(steps)
    exchanged(machines)
    batches = machines[0].batches()
    again = data.draw(st.lists(st.sampled_from(batches), max_size=10))
    before = machines[1].state()
    result = machines[1].take([*again, *batches])
    assert result == Ingested()
    assert machines[1].state() == before


@given(_steps)
def test_what_is_given_out_never_waits_for_what_comes_after_it(steps: Steps) -> None:
    machines = lived(steps)
    for number, machine in enumerate(machines, 7):
        fresh = Machine(number, machine.genesis)
        assert fresh.pull(machine).waiting == {}
        assert fresh.state() == machine.state()


@given(_steps)
def test_no_dot_ever_names_two_contents(steps: Steps) -> None:
    machines = lived(steps)
    known: dict[tuple[bytes, int], bytes] = {}
    for machine in machines:
        for dot, body in machine.dots().items():
            assert known.setdefault(dot, body) == body


@given(_steps)
def test_heads_are_those_found_from_all_versions(steps: Steps) -> None:
    for machine in lived(steps):
        before = machine.state()
        for path in machine.paths():
            machine.log.registers.recompute(path)
        assert machine.state() == before


# --- who may write


@pytest.fixture
def pair() -> list[Machine]:
    """A founder and an editor who knows of it."""
    return founded(1)


def refused(machine: Machine, batch: Batch, words: str) -> None:
    """``machine`` refuses ``batch``, and nothing of it stays."""
    before = machine.state(), machine.connection.total_changes
    with pytest.raises(RecordRefused, match=words):
        machine.take([batch])
    assert machine.state() == before[0]
    assert machine.connection.execute("SELECT count(*) FROM actors WHERE seq = 0").fetchone() == (0,)


def test_editors_batch_is_taken_in(pair: list[Machine]) -> None:
    founder, editor = pair
    record = editor.edit("a", ONE)
    result = founder.pull(editor)
    assert (result.records, result.waiting, result.forked) == (1, {}, [])
    assert founder.heads("a") == (record,)
    assert founder.log.device_of(record.actor) == editor.device
    assert founder.log.registers.author_name(record.actor, record.seq) == editor.name


@pytest.mark.parametrize("role", [None, Role.VIEWER])
def test_batch_of_a_stranger_or_viewer_waits_and_counts_for_nothing(role: Role | None) -> None:
    founder, other = founded(0, strangers=1)
    if role is not None:
        founder.grant(other, role=role)
    before = founder.state()
    batch = batch_of(other, change_of("a"), change_of("b"))
    result = founder.take([batch])
    assert (result.records, result.waiting) == (0, {batch.header.actor: 2})
    assert founder.state() == before
    assert founder.unshown() == set()


def test_viewers_batches_count_from_the_day_it_is_an_editor() -> None:
    founder, viewer = founded(1, role=Role.VIEWER)
    batch = batch_of(viewer, change_of("a"))
    assert founder.take([batch]).waiting == {batch.header.actor: 1}
    founder.grant(viewer, role=Role.EDITOR)
    assert founder.take([batch]).records == 1


def test_refused_batch_of_one_leaves_what_came_before_it(pair: list[Machine]) -> None:
    founder, editor = pair
    good = batch_of(editor, change_of("a"))
    bad = replace(batch_of(editor, change_of("b"), nonce=b"m" * 16), signature=bytes(64))
    result, directories = Ingested(), set[str]()
    with founder.transaction():
        founder.log.ingest(good, result, directories)
        with pytest.raises(RecordRefused):
            founder.log.ingest(bad, result, directories)
    assert founder.paths() == ["a"]
    assert result.records == 1


def test_wrong_signature_is_refused(pair: list[Machine]) -> None:
    founder, editor = pair
    good = batch_of(editor, change_of("a"))
    refused(founder, replace(good, signature=bytes(64)), "signature")
    refused(founder, batch_of(editor, change_of("a"), signer=founder.identity), "signature")
    assert founder.take([good]).records == 1


def test_changed_header_is_refused(pair: list[Machine]) -> None:
    founder, editor = pair
    good = batch_of(editor, change_of("a"))
    refused(founder, replace(good, header=replace(good.header, clock=5)), "signature")
    refused(founder, replace(good, header=replace(good.header, device=founder.device)), "signature")


def test_tampered_body_is_refused_on_arrival(pair: list[Machine]) -> None:
    _, editor = pair
    good = batch_of(editor, change_of("a"))
    other = batch_of(editor, change_of("b"))
    with pytest.raises(RecordRefused, match="not those that were signed"):
        Batch.decode(replace(good, records=other.records).encode())


def test_batch_of_another_drive_is_refused(pair: list[Machine]) -> None:
    founder, editor = pair
    refused(founder, batch_of(editor, change_of("a"), drive=b"d" * 32), "another drive")


def test_malformed_record_in_a_signed_batch_is_refused(pair: list[Machine]) -> None:
    founder, editor = pair
    for name in ("../up", "/etc/passwd", ".p2pdrive/index.db", "a\0b", "x" * 256):
        refused(founder, batch_of(editor, change_of("fine"), change_of(name)), "path that may not be")
    refused(founder, batch_of(editor, b"\x80"), "cannot be read")
    refused(founder, batch_of(editor, b""), "cannot be read")


def test_record_that_claims_another_place_is_refused(pair: list[Machine]) -> None:
    founder, editor = pair
    stolen = founder.edit("a", ONE)
    refused(founder, batch_of(editor, stolen), "own dot")


def test_actor_of_another_device_cannot_be_claimed(pair: list[Machine]) -> None:
    founder, editor = pair
    mine = founder.edit("a", ONE)
    (batch,) = [
        batch for batch in founder.batches() if batch.header.actor == mine.actor and batch.header.first > 1
    ]
    copied = batch_of(editor, change_of("a", TWO), nonce=batch.header.nonce)
    assert copied.header.actor != mine.actor
    assert founder.take([copied]).forked == []
    assert len(founder.heads("a")) == 2
    assert founder.log.frozen() == []


# --- chains


def test_gap_waits_until_what_is_missing_comes(pair: list[Machine]) -> None:
    founder, editor = pair
    for choice in (0, 1, 2):
        editor.edit("a", CONTENTS[choice])
    one, two, three = editor.batches()[1:]
    result = founder.take([two, three])
    assert (result.records, result.waiting) == (0, {one.header.actor: 3})
    assert founder.take([one, two, three]).records == 3
    assert founder.contents("a") == [CONTENTS[2]]


def fork_of(editor: Machine) -> tuple[Batch, Batch, Batch]:
    """Two batches of one place, and one that follows the second."""
    left = batch_of(editor, change_of("left"))
    right = batch_of(editor, change_of("right"))
    return left, right, batch_of(editor, change_of("more"), first=2, previous=right.header.hash)


def test_two_batches_of_one_place_freeze_the_actor(pair: list[Machine]) -> None:
    founder, editor = pair
    left, right, more = fork_of(editor)
    founder.take([left])
    result = founder.take([right, more])
    assert (result.forked, result.own_forks, result.records) == ([left.header.actor], [], 0)
    assert founder.log.frozen() == [left.header.actor]
    assert founder.paths() == ["left"]
    follows = batch_of(editor, change_of("late"), first=2, previous=left.header.hash)
    assert founder.take([follows]) == Ingested()


def test_chain_that_parted_before_is_a_fork_too(pair: list[Machine]) -> None:
    founder, editor = pair
    left, _, more = fork_of(editor)
    founder.take([left])
    assert founder.take([more]).forked == [left.header.actor]


def test_first_batch_with_a_previous_is_a_fork(pair: list[Machine]) -> None:
    founder, editor = pair
    batch = batch_of(editor, change_of("a"), previous=b"p" * 32)
    assert founder.take([batch]).forked == [batch.header.actor]
    assert founder.paths() == []


def test_other_cut_of_the_same_records_is_a_fork(pair: list[Machine]) -> None:
    founder, editor = pair
    both = batch_of(editor, change_of("a"), change_of("b"))
    one = batch_of(editor, change_of("a"))
    founder.take([one])
    assert founder.take([both]).forked == [one.header.actor]


def test_another_actor_of_a_forked_device_goes_on(pair: list[Machine]) -> None:
    founder, editor = pair
    left, right, _ = fork_of(editor)
    founder.take([left, right])
    assert founder.take([batch_of(editor, change_of("new"), nonce=b"m" * 16)]).records == 1


def test_own_log_that_goes_on_elsewhere_is_an_own_fork(pair: list[Machine]) -> None:
    """A backup was restored: peers hold more of our log than we do."""
    founder, editor = pair
    first = editor.edit("a", ONE)
    backup = copied(editor)
    editor.edit("a", TWO)
    founder.pull(editor)
    result = backup.pull(founder)
    assert result.own_forks == [first.actor]
    assert result.forked == []


def test_own_log_that_parted_is_an_own_fork_and_not_frozen(pair: list[Machine]) -> None:
    founder, editor = pair
    first = editor.edit("a", ONE)
    backup = copied(editor)
    editor.edit("a", TWO)
    backup.edit("b", THREE)
    founder.pull(editor)
    result = backup.take(founder.batches())
    assert result.own_forks == [first.actor]
    assert backup.log.frozen() == []


def copied(machine: Machine) -> Machine:
    """The same device, its index as it is now."""
    twin = Machine(0, machine.genesis)
    twin.identity, twin.name = machine.identity, machine.name
    twin.author.identity, twin.author.name = machine.identity, machine.name
    machine.connection.backup(twin.connection)
    twin.shown = dict(machine.shown)
    return twin


# --- what a record has seen comes before it


def test_chain_waits_for_what_it_saw_and_is_taken_when_that_comes() -> None:
    founder, one, two = founded(2)
    two.edit("before", ONE)
    seen = one.edit("a", ONE)
    two.pull(one)
    two.show("a")
    answer = two.edit("a", TWO)
    two.edit("after", ONE)  # has seen nothing, and yet waits: a chain is taken in without gaps
    chain = [batch for batch in two.batches() if batch.header.device == two.device]
    result = founder.take(chain)
    assert (result.records, result.waiting, result.forked) == (1, {answer.actor: 3}, [])
    assert founder.paths() == ["before"]
    (awaited,) = [batch for batch in one.batches() if batch.header.device == one.device]
    result = founder.take([*chain, awaited, *chain])
    assert result.records == 3
    assert founder.heads("a") == (answer,)
    assert founder.log.registers.find(seen.actor, seen.seq) == seen
    assert founder.state() == two.state()


def test_waiting_for_a_later_record_of_an_actor_that_is_known_in_part() -> None:
    founder, one, two = founded(2)
    one.edit("a", ONE)
    founder.pull(one)
    one.edit("a", TWO)
    two.pull(one)
    two.show("a")
    answer = two.edit("a", THREE)
    (batch,) = [batch for batch in two.batches() if batch.header.device == two.device]
    assert founder.take([batch]).waiting == {answer.actor: 1}
    founder.pull(one)
    assert founder.take([batch]).records == 1
    assert founder.heads("a") == (answer,)


@pytest.mark.parametrize("seq", [2, 1 << 40, (1 << 62) - 1])
def test_record_that_claims_to_have_seen_what_is_not_written_waits_and_hides_nothing(
    pair: list[Machine], seq: int
) -> None:
    founder, editor = pair
    mine = founder.edit("a", ONE)
    lie = batch_of(editor, change_of("a", TWO, {mine.actor: mine.seq + seq}))
    before = founder.state()
    result = founder.take([lie])
    assert (result.records, result.waiting) == (0, {lie.header.actor: 1})
    assert founder.state() == before
    assert founder.heads("a") == (mine,)
    assert founder.unshown() == set()


def test_records_that_claim_to_have_seen_each_other_wait_and_hide_nothing(pair: list[Machine]) -> None:
    founder, editor = pair
    mine = founder.edit("a", ONE)
    nonces = (b"l" * 16, b"r" * 16)
    left, right = (batch_of(editor, change_of("a", TWO), nonce=nonce).header.actor for nonce in nonces)
    circle = [
        batch_of(editor, change_of("a", TWO, {mine.actor: mine.seq, other: 1}), nonce=nonce)
        for nonce, other in zip(nonces, (right, left), strict=True)
    ]
    for order in (circle, circle[::-1], circle * 2):
        result = founder.take(order)
        assert (result.records, result.waiting) == (0, {left: 1, right: 1})
    assert founder.heads("a") == (mine,)


def test_claim_in_any_record_of_a_batch_makes_all_of_it_wait(pair: list[Machine]) -> None:
    founder, editor = pair
    batch = batch_of(editor, change_of("a"), change_of("b", TWO, {b"u" * 16: 1}), change_of("c"))
    assert founder.take([batch]).waiting == {batch.header.actor: 3}
    assert founder.paths() == []


def test_record_that_saw_what_a_forked_actor_wrote_elsewhere_does_not_wait() -> None:
    """That part of its log is taken in here never."""
    founder, forker, witness = founded(2)
    left, right, more = fork_of(forker)
    witness.take([right, more])
    witness.show("more")
    answer = witness.edit("more", TWO)
    assert answer.vector[right.header.actor] == 2
    batches = [batch for batch in witness.batches() if batch.header.device == witness.device]
    founder.take([left])
    assert founder.take(batches).waiting == {answer.actor: 1}
    result = founder.take([right, *batches])
    assert (result.forked, result.records) == ([left.header.actor], 1)
    assert founder.heads("more") == (answer,)


# --- giving out


def test_relayed_batches_come_in_the_order_of_their_arrival() -> None:
    founder, relay, author = founded(2)
    for content in (ONE, TWO):
        author.edit("a", content)
    relay.pull(author)
    relay.edit("b", THREE)
    order = [(batch.header.device, batch.header.first) for batch in relay.batches()]
    assert order == [(founder.device, 1), (author.device, 1), (author.device, 2), (relay.device, 1)]
    fresh = Machine(9, founder.genesis)
    assert fresh.pull(relay).waiting == {}
    assert fresh.state() == relay.state()


def test_batches_are_given_out_as_they_came_to_the_byte(pair: list[Machine]) -> None:
    founder, editor = pair
    editor.edit("a", ONE)
    founder.pull(editor)
    assert founder.log.batches_after({}, NO_END) == editor.log.batches_after({}, NO_END)


@given(st.integers(1, 3000), st.integers(0, 6), st.integers(0, 6))
def test_budget_and_partial_frontiers_give_all_in_the_end(budget: int, of_one: int, of_two: int) -> None:
    founder, one, two = founded(2)
    for number in range(6):
        one.edit(f"one {number}", ONE)
        two.edit(f"two {number}", TWO)
    founder.pull(one)
    founder.pull(two)
    fresh = Machine(9, founder.genesis)
    fresh.take(founder.batches()[:1])
    fresh.take(one.batches()[1 : 1 + of_one])
    fresh.take(two.batches()[1 : 1 + of_two])
    more, rounds = True, 0
    while more:
        rounds += 1
        after = {actor: seq for actor, (seq, _) in fresh.log.frontier().items()}
        encoded, more = founder.log.batches_after(after, budget)
        assert len(encoded) == 1 or sum(map(len, encoded)) <= budget
        assert encoded or not more
        result = fresh.take(map(Batch.decode, encoded))
        assert (result.waiting, result.records) == ({}, len(encoded))
    assert fresh.state() == founder.state()
    assert rounds <= 14


def test_frontier_inside_a_batch_gives_that_batch(pair: list[Machine]) -> None:
    founder, editor = pair
    with editor.writing() as pen:
        for number in range(5):
            pen.edit(edit_of(editor, f"f {number}"))
    (actor,) = {head.actor for head in editor.heads("f 0")}
    given_out = editor.batches({founder_actor(founder): 1, actor: 3})
    assert [(batch.header.first, batch.header.count) for batch in given_out] == [(1, 5)]
    assert editor.batches({founder_actor(founder): 1, actor: 5}) == []


def founder_actor(founder: Machine) -> bytes:
    return founder.batches()[0].header.actor


def test_frontier_beyond_ours_gives_nothing(pair: list[Machine]) -> None:
    founder, _ = pair
    assert founder.log.batches_after({founder_actor(founder): 99}, NO_END) == ([], False)
    assert len(founder.batches({b"u" * 16: 5})) == 1


def test_empty_log_has_nothing_to_give() -> None:
    (founder,) = founded(0)
    assert founder.log.batches_after({}, NO_END) == ([], False)
    assert founder.log.frontier() == {}


def test_hash_at_is_known_only_where_a_batch_ends(pair: list[Machine]) -> None:
    _, editor = pair
    with editor.writing() as pen:
        for number in range(3):
            pen.edit(edit_of(editor, f"f {number}"))
    (actor,) = {head.actor for head in editor.heads("f 0")}
    seq, digest = editor.log.frontier()[actor]
    assert seq == 3
    assert [editor.log.hash_at(actor, at) for at in (1, 2, 3, 4)] == [None, None, digest, None]
    assert editor.log.hash_at(b"u" * 16, 1) is None
    assert editor.log.device_of(b"u" * 16) == b""


# --- what must be looked at in the folder


def test_changed_path_is_to_be_shown_and_directories_that_stand_for_their_children(
    pair: list[Machine],
) -> None:
    founder, editor = pair
    editor.edit("a/b/c", ONE)
    founder.pull(editor)
    assert founder.unshown() == {"a", "a/b", "a/b/c"}
    assert founder.log.entries.unshown("", 9)[-1] == ("a/b/c", ONE.size)


def test_directories_of_their_own_right_are_not_looked_at_again(pair: list[Machine]) -> None:
    founder, editor = pair
    editor.edit("a", DIRECTORY)
    editor.edit("a/b", DIRECTORY)
    founder.pull(editor)
    founder.log.entries.mark_shown(["a", "a/b"])
    editor.edit("a/b/c", ONE)
    founder.pull(editor)
    assert founder.unshown() == {"a/b/c"}


def test_child_of_a_directory_deleted_in_the_same_run_has_it_looked_at(pair: list[Machine]) -> None:
    founder, editor = pair
    editor.edit("a", DIRECTORY)
    editor.edit("a/b", ONE)
    editor.edit("a", DELETED)
    editor.edit("a/c", ONE)
    founder.pull(editor)
    assert founder.unshown() == {"a", "a/b", "a/c"}
    assert founder.verdict("a").content == replace(DIRECTORY, private=True)  # until somebody says otherwise


# --- bounds


def test_largest_batches_pass_and_longer_runs_are_cut(pair: list[Machine]) -> None:
    founder, editor = pair
    with editor.writing() as pen:
        for number in range(BATCH_RECORDS_MAX + 1):
            pen.edit(edit_of(editor, f"file {number}"))
    counts = [batch.header.count for batch in editor.batches()[1:]]
    assert counts == [BATCH_RECORDS_MAX, 1]
    assert founder.pull(editor).records == BATCH_RECORDS_MAX + 1


def test_large_records_are_cut_into_batches_that_may_be_exchanged(pair: list[Machine]) -> None:
    founder, editor = pair
    long_link = Content(Kind.SYMLINK, target="t" * TARGET_BYTES_MAX)
    long_path = "/".join(["p" * 255] * 16)
    with editor.writing() as pen:
        for number in range(200):
            pen.edit(Edit(f"link {number}", long_link, {}, moved_from=long_path))
    encoded, _ = editor.log.batches_after({}, NO_END)
    assert sum(map(len, encoded)) > BATCH_BYTES_MAX
    assert max(map(len, encoded)) <= BATCH_BYTES_MAX
    assert founder.pull(editor).records == 200
    assert founder.state() == editor.state()


def test_batch_that_is_too_long_is_refused_however_well_it_is_signed(pair: list[Machine]) -> None:
    founder, editor = pair
    long_link = Content(Kind.SYMLINK, target="t" * TARGET_BYTES_MAX)
    links = [change_of(f"link {number}", long_link) for number in range(300)]
    longer = batch_of(editor, *links).encode()
    assert len(longer) > BATCH_BYTES_MAX
    with pytest.raises(RecordRefused, match="too long"):
        Batch.decode(longer)
    assert founder.take([Batch.decode(batch_of(editor, *links[:200]).encode())]).records == 200


FLOOD = 64


def actors_of(machine: Machine, count: int) -> list[Batch]:
    """First batches of so many actors of one device."""
    nonces = [number.to_bytes(16, "big") for number in range(count)]
    return [batch_of(machine, change_of(f"a {n[-1]}"), nonce=n) for n in nonces]


def test_members_that_took_in_other_actors_of_a_flood_still_hear_each_other() -> None:
    founder, flooder, other = founded(2)
    flood = actors_of(flooder, 2 * FLOOD)
    founder.take(flood[:FLOOD])
    other.take(flood[FLOOD:])
    path = other.paths()[-1]
    other.show(path)
    other.edit(path, TWO)
    honest = other.edit("b", ONE)
    for _ in range(3):
        founder.pull(other)
        other.pull(founder)
    assert founder.heads("b") == (honest,)


def test_full_disk_while_taking_in_is_said_and_undoes_all(tmp_path: Path) -> None:
    founder, editor = founded(1)
    with editor.writing() as pen:
        for number in range(400):
            pen.edit(edit_of(editor, f"file {number}"))
    founding, batch = editor.batches()
    database = Database(str(tmp_path / "index.db"))
    with database.transaction() as connection:
        log = Log(connection, founder.genesis.drive)
        log.membership.grant(Grant(founder.device, Role.ADMIN, "founder"))
        log.ingest(founding, Ingested(), set())
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(DiskFull), database.transaction() as connection:
        Log(connection, founder.genesis.drive).ingest(batch, Ingested(), set())
    with database.transaction() as connection:
        assert [seq for seq, _ in Log(connection, founder.genesis.drive).frontier().values()] == [1]
        connection.execute("PRAGMA max_page_count = 100000")
        result = Ingested()
        Log(connection, founder.genesis.drive).ingest(batch, result, set())
        assert result.records == 400
    database.close()


def test_batch_made_by_hand_is_like_an_honest_one(pair: list[Machine]) -> None:
    """The tests of refusals stand on this: without the fault, the batch is taken."""
    founder, editor = pair
    batch = batch_of(editor, change_of("a"), Grant(editor.device, Role.EDITOR, "x"))
    assert batch.header.root == body_root(batch.records)
    refused(founder, batch, "no invitation")
    assert founder.take([batch_of(editor, change_of("a"))]).records == 1
    assert identity_of(1).device == editor.device
    assert isinstance(founder.heads("a")[0], Record)
    assert empty_index().execute("SELECT count(*) FROM batches").fetchone() == (0,)
