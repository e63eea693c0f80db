"""When deletions may be told: a moment after a few, a rest after many."""

import pytest

from p2pdrive.limits import (
    BURST_DELETIONS_MIN,
    BURST_REST_SECONDS,
    BURST_WINDOW_SECONDS,
    DELETION_MOMENT_SECONDS,
    DELETIONS_HELD_MAX,
    SLOW_DELETIONS_SECONDS,
)
from p2pdrive.planning.deletions import Deletions, Gone

OLD = 1e6


def find(deletions: Deletions, count: int, now: float, seconds: float = 0.0, age: float = OLD) -> float:
    """So many files are gone, one every so many seconds; the time of the last."""
    for number in range(count):
        at = now + number * seconds
        deletions.find(Gone(f"{at} {number}", age), at)
    return now + (count - 1) * seconds


def test_a_single_deletion_waits_a_moment() -> None:
    deletions = Deletions()
    assert deletions.due() is None
    deletions.find(Gone("a", OLD), 10.0)
    assert deletions.due() == 10.0 + DELETION_MOMENT_SECONDS
    assert DELETION_MOMENT_SECONDS < 1.0


def test_many_at_once_wait_until_they_have_rested() -> None:
    deletions = Deletions()
    last = find(deletions, BURST_DELETIONS_MIN, 10.0, 0.1)
    assert deletions.due() == last + BURST_REST_SECONDS


@pytest.mark.parametrize("seconds", [0.1, 1.0, BURST_WINDOW_SECONDS / BURST_DELETIONS_MIN])
def test_a_slow_removal_is_a_burst_to_its_end(seconds: float) -> None:
    deletions = Deletions()
    last = find(deletions, 1000, 10.0, seconds)
    assert deletions.due() == last + BURST_REST_SECONDS
    assert len(deletions.take()) == 1000


def test_deletions_far_apart_are_no_burst() -> None:
    deletions = Deletions()
    last = find(deletions, 1, 10.0)
    for _ in range(100):
        deletions.take()
        last = find(deletions, 1, last + 1.1 * BURST_WINDOW_SECONDS)
        assert deletions.due() == last + DELETION_MOMENT_SECONDS


def test_deletions_in_a_row_wait_longer_and_longer_but_not_for_ever() -> None:
    deletions = Deletions()
    waits = []
    for number in range(5):
        last = find(deletions, 1, 10.0 + 2 * number)
        due = deletions.due()
        assert due is not None
        waits.append(round(due - last, 1))
    assert waits == [0.4, 0.8, 1.6, 3.2, 4.0]
    last = find(deletions, 20, 20.0, 1.9)
    due = deletions.due()
    assert due is not None
    assert due == last
    assert due >= 10.0 + SLOW_DELETIONS_SECONDS


def test_what_was_made_during_a_burst_and_deleted_again_does_not_prolong_it() -> None:
    """A program that makes and deletes files all the time holds up nobody's deletions for ever."""
    deletions = Deletions()
    last = find(deletions, BURST_DELETIONS_MIN, 100.0)
    find(deletions, 1000, 101.0, 1.0, age=0.5)
    assert deletions.due() == last + BURST_REST_SECONDS


def test_a_path_that_is_found_again_while_it_waits_does_not_prolong_it() -> None:
    deletions = Deletions()
    deletions.find(Gone("a", OLD), 10.0)
    deletions.find(Gone("a", OLD), 10.3)
    assert deletions.due() == 10.0 + DELETION_MOMENT_SECONDS
    assert len(deletions) == 1


def test_what_is_back_waits_no_more() -> None:
    deletions = Deletions()
    deletions.find(Gone("a", OLD), 10.0)
    deletions.forget(["a", "b"], 10.0)
    assert deletions.due() is None
    assert deletions.take() == []


def test_copies_are_told_first_and_the_inside_of_a_directory_before_itself() -> None:
    deletions = Deletions()
    for path in ("d", "d/a.txt", "b.txt", "d/e", "d/e/c.txt"):
        deletions.find(Gone(path, OLD), 1.0)
    deletions.find(Gone("z (conflict 1).txt", OLD, is_copy=True), 1.0)
    taken = deletions.take()
    assert taken[0] == "z (conflict 1).txt"
    assert taken.index("d/e/c.txt") < taken.index("d/e") < taken.index("d")
    assert taken.index("d/a.txt") < taken.index("d")


def test_a_burst_is_over_once_it_was_taken() -> None:
    deletions = Deletions()
    find(deletions, BURST_DELETIONS_MIN, 10.0)
    deletions.take()
    deletions.find(Gone("later", OLD), 1000.0)
    assert deletions.due() == 1000.0 + DELETION_MOMENT_SECONDS


def test_more_than_memory_has_room_for_are_counted() -> None:
    deletions = Deletions()
    find(deletions, DELETIONS_HELD_MAX + 5, 10.0)
    assert (len(deletions), deletions.left_out) == (DELETIONS_HELD_MAX + 5, 5)
    assert len(deletions.take()) == DELETIONS_HELD_MAX
    assert len(deletions) == 0


# --- what may be renamed


def test_what_may_be_renamed_is_held_apart_until_that_is_known() -> None:
    deletions = Deletions()
    for path in ("d/film", "d/notes", "d", "other"):
        deletions.find(Gone(path, OLD), 10.0)
    assert deletions.hold_apart({"d/film"}.__contains__)
    assert not deletions.hold_apart({"d/film"}.__contains__)
    assert deletions.take() == ["other", "d/notes"], "the directory is told after all that was in it"
    deletions.find(Gone("d/film", OLD), 11.0)
    assert ("d/film" in deletions, len(deletions), deletions.due()) == (True, 0, None)
    deletions.free(["d/film", "unknown"], 50.0)
    assert (deletions.due() or 0.0) > 50.0
    assert deletions.take() == ["d/film", "d"]


def test_directory_is_told_once_the_last_that_was_in_it_is_renamed() -> None:
    deletions = Deletions()
    for path in ("d/a", "d/b", "d"):
        deletions.find(Gone(path, OLD), 10.0)
    deletions.hold_apart({"d/a", "d/b"}.__contains__)
    deletions.forget(["d/a"], 20.0)
    assert len(deletions) == 0
    deletions.forget(["d/b"], 30.0)
    assert deletions.take() == ["d"]


def test_deletion_after_a_burst_that_came_to_nothing_waits_for_its_moment() -> None:
    deletions = Deletions()
    find(deletions, BURST_DELETIONS_MIN, 10.0, 0.1)
    deletions.forget(list(deletions), 11.0)
    deletions.find(Gone("a", 1.0), 100.0)
    assert (deletions.due() or 0.0) > 100.0
