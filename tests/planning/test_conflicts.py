"""Conflicts: who wins, what its edit has seen, and what the losers' copies are called."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import LABEL_BYTES_MAX, NAME_BYTES_MAX
from p2pdrive.model.heads import merge, rank, winner
from p2pdrive.model.paths import name, parent, refusal
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind, Record
from p2pdrive.model.vector import covers, descends
from p2pdrive.planning.conflicts import IMPLIED, copy_path, dismissal, judge
from tests.model.histories import History, histories
from tests.model.values import labels, names, records

CONTENT = Content(Kind.FILE, 5, b"\x01" * 32, 1)
OTHER = Content(Kind.FILE, 5, b"\x02" * 32, 1)


def head(actor: int, content: Content, clock: int = 0, path: str = "report.docx") -> Record:
    return Record(path, content, b"", 0, {}, clock).placed(bytes([actor]) * 16, 1)


@given(histories())
def test_k_heads_show_at_most_k_less_one_copies(history: History) -> None:
    heads = merge((), history.records)
    assert len(judge(heads, live_child=False).losers) <= max(0, len(heads) - 1)


@given(histories())
def test_a_live_child_costs_its_name_to_one_head_at_most(history: History) -> None:
    heads = merge((), history.records)
    verdict = judge(heads, live_child=True)
    assert verdict.content.kind is Kind.DIRECTORY
    assert len(verdict.losers) <= len(heads)


@given(histories(), st.booleans())
def test_every_live_content_is_shown_once(history: History, live_child: bool) -> None:
    heads = merge((), history.records)
    verdict = judge(heads, live_child)
    shown = [content.identity for content in (verdict.content, *(lost.content for lost in verdict.losers))]
    assert len(set(shown)) == len(shown)
    assert {h.content.identity for h in heads if h.content.live} <= set(shown)
    assert all(lost in heads and lost.content.live for lost in verdict.losers)


@given(histories(), st.booleans())
def test_copies_of_one_path_have_different_names(history: History, live_child: bool) -> None:
    losers = judge(merge((), history.records), live_child).losers
    names_shown = {copy_path(lost, "anna-laptop") for lost in losers}
    assert len(names_shown) == len(losers)
    assert all(parent(copy) == "folder" and refusal(copy) is None for copy in names_shown)


@given(histories(), st.booleans())
def test_an_edit_supersedes_all_but_the_losers(history: History, live_child: bool) -> None:
    heads = merge((), history.records)
    verdict = judge(heads, live_child)
    edit = Record(heads[0].path if heads else "a", DELETED, b"", 0, verdict.seen, 0).placed(b"e" * 16, 1)
    contents = {lost.content.identity for lost in verdict.losers}
    left = [h for h in merge(heads, [edit]) if h != edit]
    assert left == [h for h in heads if h.content.identity in contents]


@given(histories(), st.booleans(), st.data())
def test_dismissing_a_copy_takes_its_content_and_no_other_from_the_heads(
    history: History, live_child: bool, data: st.DataObject
) -> None:
    heads = merge((), history.records)
    verdict = judge(heads, live_child)
    if not verdict.losers:
        return
    loser = data.draw(st.sampled_from(verdict.losers))
    seen = dismissal(heads, verdict, loser)
    settled = Record(loser.path, verdict.content, b"", 0, seen, 99).placed(b"e" * 16, 1)
    after = judge(merge(heads, [settled]), live_child)
    assert after.content.identity == verdict.content.identity
    assert after.losers == tuple(lost for lost in verdict.losers if lost != loser)


@given(histories())
def test_the_winner_is_what_ranks_highest(history: History) -> None:
    heads = merge((), history.records)
    best = winner(heads)
    assert (best is None) == (heads == ())
    assert best is None or all(rank(best) >= rank(other) for other in heads)
    content = judge(heads, False).content
    assert content == (best.content if best else DELETED)


def test_edit_survives_a_concurrent_delete_and_has_seen_it() -> None:
    edited, deleted = head(1, CONTENT), head(2, DELETED, clock=9)
    verdict = judge((edited, deleted), live_child=False)
    assert (verdict.content, verdict.losers) == (CONTENT, ())
    assert covers(verdict.seen, deleted.actor, deleted.seq) and descends(verdict.seen, edited.vector)


def test_same_content_twice_is_no_conflict() -> None:
    touched = replace(CONTENT, mtime_ns=5, executable=True)
    one, two = head(1, CONTENT, 1), head(2, touched, 2)
    verdict = judge((one, two), live_child=False)
    assert (verdict.content, verdict.losers) == (touched, ())
    assert dict(verdict.seen) == {**one.vector, **two.vector}


def test_two_losers_of_one_content_are_one_copy_whoever_comes_first() -> None:
    heads = (head(1, CONTENT, 1), head(2, CONTENT, 2), head(3, OTHER, 3))
    verdict = judge(heads, live_child=False)
    assert verdict.losers == (heads[1],)
    assert judge(tuple(reversed(heads)), live_child=False) == verdict


def test_directory_keeps_the_name_and_the_file_becomes_a_copy() -> None:
    file, directory = head(1, CONTENT, clock=9), head(2, DIRECTORY)
    verdict = judge((file, directory), live_child=False)
    assert (verdict.content, verdict.losers) == (DIRECTORY, (file,))


def test_file_with_a_live_child_below_it_gives_way_to_a_directory() -> None:
    file = head(1, CONTENT, clock=9)
    verdict = judge((file,), live_child=True)
    assert (verdict.content, verdict.losers, dict(verdict.seen)) == (IMPLIED, (file,), {})


def test_deleted_directory_lives_while_a_child_does() -> None:
    gone = head(1, DELETED)
    verdict = judge((gone,), live_child=True)
    assert (verdict.content, verdict.losers, dict(verdict.seen)) == (IMPLIED, (), dict(gone.vector))


def test_moved_from_is_the_winners() -> None:
    moved = replace(head(1, CONTENT, clock=2), moved_from="old.docx")
    plain = head(2, OTHER, clock=1)
    assert judge((moved, plain), False).moved_from == "old.docx"
    assert judge((moved, head(2, OTHER, clock=3)), False).moved_from == ""
    assert judge((moved,), live_child=True).moved_from == ""


def test_copy_is_named_for_its_record_and_device() -> None:
    lost = head(1, CONTENT, path="work/report.docx")
    mark = lost.digest.hex()[:8]
    assert copy_path(lost, "anna-laptop") == f"work/report (conflict {mark} from anna-laptop).docx"
    assert copy_path(head(1, CONTENT), "a/b:c\n").endswith(" from a_b_c_).docx")


def test_copy_of_a_name_without_a_suffix_has_none() -> None:
    for plain in ("Makefile", ".bashrc"):
        lost = head(1, CONTENT, path=plain)
        assert copy_path(lost, "x") == f"{plain} (conflict {lost.digest.hex()[:8]} from x)"


@given(records(), st.one_of(labels, st.text("é/\\:\0\n", min_size=1, max_size=LABEL_BYTES_MAX // 2)), names)
def test_copy_of_any_name_may_be_in_a_drive(record: Record, device: str, last: str) -> None:
    for path in (record.path, f"{parent(record.path)}/{last}".lstrip("/"), "n" * 250 + ".txt", "é" * 127):
        if refusal(path) is None:
            copy = copy_path(replace(record, path=path), device)
            assert refusal(copy) is None
            assert parent(copy) == parent(path)
            assert len(name(copy).encode()) <= NAME_BYTES_MAX
            assert copy != path
