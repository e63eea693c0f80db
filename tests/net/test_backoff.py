from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import DIAL_SECONDS_MAX, DIAL_SECONDS_MIN, LINK_STABLE_SECONDS
from p2pdrive.net.backoff import Backoff

draws = st.floats(min_value=0, max_value=1, exclude_max=True)


@given(st.lists(draws, min_size=1, max_size=200))
def test_first_retry_comes_within_a_second_and_none_later_than_the_most(numbers: list[float]) -> None:
    remaining = iter(numbers)
    backoff = Backoff(lambda: next(remaining))
    pauses = [backoff.pause() for _ in numbers]
    assert pauses[0] <= 1
    assert all(DIAL_SECONDS_MIN <= pause <= DIAL_SECONDS_MAX for pause in pauses)


@given(draws)
def test_equal_draws_give_pauses_that_never_shrink(number: float) -> None:
    backoff = Backoff(lambda: number)
    pauses = [backoff.pause() for _ in range(100)]
    assert pauses == sorted(pauses)


def test_ceiling_doubles_until_the_most() -> None:
    backoff = Backoff(lambda: 1.0)
    assert [backoff.pause() for _ in range(9)] == [1, 2, 4, 8, 16, 32, DIAL_SECONDS_MAX, 60, 60]


def test_jitter_is_full_so_that_nodes_spread_out() -> None:
    draws = iter([0.0] * 10 + [0.0, 0.5])
    backoff = Backoff(lambda: next(draws))
    for _ in range(10):
        backoff.pause()
    assert backoff.pause() == DIAL_SECONDS_MIN
    assert backoff.pause() == DIAL_SECONDS_MIN + (DIAL_SECONDS_MAX - DIAL_SECONDS_MIN) / 2


@given(st.integers(0, 100), draws, st.floats(LINK_STABLE_SECONDS, 1e9))
def test_link_lost_after_a_stable_time_is_dialled_again_within_a_second(
    failures: int, number: float, seconds: float
) -> None:
    backoff = Backoff(lambda: number)
    for _ in range(failures):
        backoff.pause()
    backoff.lasted(seconds)
    assert backoff.pause() <= 1


@given(st.floats(0, LINK_STABLE_SECONDS, exclude_max=True))
def test_link_that_ends_at_once_does_not_make_the_pauses_start_over(seconds: float) -> None:
    backoff = Backoff(lambda: 0.9)
    backoff.pause()
    backoff.lasted(seconds)
    assert backoff.pause() > 1


def test_news_of_a_peer_make_the_pauses_start_over() -> None:
    backoff = Backoff(lambda: 0.9)
    first = [backoff.pause() for _ in range(3)]
    backoff.reset()
    assert [backoff.pause() for _ in range(3)] == first
