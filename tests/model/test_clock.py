"""The hybrid clock: never backwards, near the wall, and not led astray by a peer."""

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import CLOCK_LEAD_MS_MAX
from p2pdrive.model.clock import HybridClock, from_milliseconds, milliseconds

walls = st.integers(0, 1 << 45)
events = st.lists(st.tuples(st.booleans(), walls, walls))


@given(events)
def test_readings_only_grow(steps: list[tuple[bool, int, int]]) -> None:
    clock = HybridClock()
    last = 0
    for ticking, wall, other in steps:
        if ticking:
            reading = clock.tick(wall)
            assert reading > last
            assert milliseconds(reading) >= wall
            last = reading
        else:
            clock.follow(from_milliseconds(other), wall)
            assert clock.latest >= last


@given(walls, walls)
def test_what_was_followed_is_behind_the_next_reading(peer: int, wall: int) -> None:
    clock = HybridClock()
    clock.follow(from_milliseconds(peer), wall)
    near = peer <= wall + CLOCK_LEAD_MS_MAX
    assert (clock.tick(wall) > from_milliseconds(peer)) == (near or wall >= peer)


def test_a_peer_a_day_ahead_is_not_followed() -> None:
    clock = HybridClock()
    clock.follow(from_milliseconds(1000 + CLOCK_LEAD_MS_MAX) + 1, 1000)
    assert clock.latest == 0
    clock.follow(from_milliseconds(1000 + CLOCK_LEAD_MS_MAX), 1000)
    assert clock.latest == from_milliseconds(1000 + CLOCK_LEAD_MS_MAX)


def test_many_readings_of_one_millisecond_differ() -> None:
    clock = HybridClock()
    readings = [clock.tick(5) for _ in range(1000)]
    assert sorted(set(readings)) == readings
    assert {milliseconds(reading) for reading in readings} == {5}


def test_time_before_1970_reads_as_its_start() -> None:
    assert from_milliseconds(-5) == 0
    assert HybridClock().tick(-5) == 1


def test_clock_goes_on_where_it_was_left() -> None:
    assert HybridClock(latest=77).tick(0) == 78
