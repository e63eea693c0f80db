"""When a path that cannot be synced is tried again."""

import time

from p2pdrive.engine.problems import Kind, Problems
from p2pdrive.limits import RETRY_SECONDS_MAX, RETRY_SECONDS_MIN
from p2pdrive.model.problem import Problem


class Clock:
    seconds = 1000.0


def tried_for_long(clock: Clock) -> Problems:
    """A problem of ``f`` that was met so often that the next try is far away."""
    problems = Problems(lambda: 0, lambda: clock.seconds)
    for _ in range(20):
        problems.report(Problem("f", "it cannot be read"))
    clock.seconds += RETRY_SECONDS_MAX / 2
    assert problems.waits("f")
    return problems


def test_path_of_which_there_is_news_is_tried_at_once() -> None:
    problems = tried_for_long(Clock())
    problems.hurry(["f"])
    assert not problems.waits("f")
    assert problems.due() == (["f"], [])


def test_ending_problems_costs_as_much_each_however_many_there_are() -> None:
    """A log that came before its contents held the event loop up for minutes."""
    problems = Problems(lambda: 0, lambda: 1000.0)
    named = [f"photos/{number % 10}/{number}.jpg" for number in range(20_000)]
    for path in named:
        problems.report(Problem(path, "nobody has its content"))
    began = time.process_time()
    for path in named:
        problems.resolve(path)
    assert time.process_time() - began < 10  # it was many minutes
    assert not problems.paths()
    assert not problems.inside("photos")


def test_problem_that_was_met_before_the_news_and_is_reported_after_it_does_not_wait_for_long() -> None:
    """Seed 3148352512: what others had made of a viewer's file was shown half a minute late, or five."""
    clock = Clock()
    problems = tried_for_long(clock)
    problems.hurry(["f"])
    problems.report(Problem("f", "it cannot be read"))
    assert problems.waits("f")
    clock.seconds += RETRY_SECONDS_MIN
    assert not problems.waits("f")


def test_what_is_in_a_directory_is_tried_as_soon_as_a_scan_finds_it_well_again() -> None:
    now = [0.0]
    problems = Problems(lambda: 0, lambda: now[0])
    problems.report_scanned("", [Problem("photos", "its disk is away")])
    for _ in range(8):
        problems.report(Problem("photos/a.jpg", "its disk is away"), Kind.SHOWN)
    now[0] = 10.0
    assert problems.waits("photos/a.jpg")
    assert problems.report_scanned("", [])
    assert not problems.waits("photos/a.jpg")
