"""Heads: one value whatever the order, grouping and repetition of the records that come in."""

from functools import reduce

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.model.heads import Heads, merge, rank, winner
from p2pdrive.model.record import DELETED, Record
from p2pdrive.planning.conflicts import copy_path, judge
from tests.model.histories import CONTENTS, DEVICES, PATH, History, dot, histories

Chosen = tuple[list[Record], list[Record], list[Record]]


@st.composite
def three_parts(draw: st.DrawFn) -> Chosen:
    """Any three parts of a history; they overlap, lack what others stand on, and are in any order."""
    every = draw(histories()).records
    part = st.lists(st.sampled_from(every), max_size=12) if every else st.just([])
    return draw(part), draw(part), draw(part)


@given(three_parts())
def test_merge_is_commutative(parts: Chosen) -> None:
    one, two, _ = parts
    assert merge(one, two) == merge(two, one)


@given(three_parts())
def test_merge_is_associative(parts: Chosen) -> None:
    one, two, three = parts
    assert merge(merge(one, two), three) == merge(one, merge(two, three)) == merge(merge(one, three), two)


@given(three_parts())
def test_merge_is_idempotent(parts: Chosen) -> None:
    heads = merge(parts[0], parts[1])
    assert merge(heads, heads) == merge(heads, ()) == merge((), heads) == heads
    assert merge(heads, parts[0]) == heads


@given(histories())
def test_vectors_tell_exactly_what_a_record_had_seen(history: History) -> None:
    for record in history.records:
        for other in history.records:
            assert record.supersedes(other) == (dot(other) in history.pasts[dot(record)])


@given(histories())
def test_no_dot_is_written_twice(history: History) -> None:
    assert len({dot(record) for record in history.records}) == len(history.records)


@given(histories())
def test_heads_are_what_nobody_had_seen(history: History) -> None:
    seen = frozenset().union(*history.pasts.values())
    assert {dot(head) for head in merge((), history.records)} == {dot(r) for r in history.records} - seen


@given(histories())
def test_a_path_with_records_has_heads(history: History) -> None:
    assert bool(merge((), history.records)) == bool(history.records)


@given(histories(), st.data())
def test_any_order_grouping_and_repetition_shows_the_same(history: History, data: st.DataObject) -> None:
    heads = merge((), history.records)
    order = data.draw(st.permutations([*history.records, *history.records[:3]]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(order)), max_size=4)))
    bounds = zip([0, *cuts], [*cuts, len(order)], strict=True)
    groups = [order[start:end] for start, end in bounds]
    again: Heads = reduce(merge, groups, ())
    assert again == heads
    assert winner(again) == winner(heads)
    for live_child in (False, True):
        verdict = judge(heads, live_child)
        assert judge(again, live_child) == verdict
        assert judge(tuple(reversed(heads)), live_child) == verdict
        assert [copy_path(lost, "anna") for lost in judge(again, live_child).losers] == [
            copy_path(lost, "anna") for lost in verdict.losers
        ]


@given(histories())
def test_devices_that_have_seen_all_agree(history: History) -> None:
    for device in history.devices:
        for record in history.records:
            device.known[dot(record)] = record
    first, *others = history.devices
    assert len(others) == DEVICES - 1
    assert all(device.heads == first.heads for device in others)


@given(histories())
def test_ranks_of_different_records_differ(history: History) -> None:
    assert len({rank(record) for record in history.records}) == len(history.records)


def test_live_wins_over_deleted_and_directory_over_file() -> None:
    def head(number: int, content_number: int, clock: int) -> Record:
        return Record(PATH, CONTENTS[content_number], b"", 0, {}, clock).placed(bytes([number]) * 16, 1)

    deleted, directory, old, new = head(1, 6, 9), head(2, 5, 1), head(3, 0, 2), head(4, 1, 3)
    assert deleted.content == DELETED
    assert winner((deleted, old)) == old
    assert winner((old, new)) == new
    assert winner((deleted, new, old, directory)) == directory
    assert winner(()) is None


def test_content_and_then_actor_decide_at_equal_clocks() -> None:
    def head(actor: int, content_number: int) -> Record:
        return Record(PATH, CONTENTS[content_number], b"", 0, {}, 7).placed(bytes([actor]) * 16, 1)

    assert winner((head(9, 0), head(1, 1))) == head(1, 1)
    assert winner((head(9, 0), head(1, 0))) == head(9, 0)
