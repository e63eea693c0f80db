"""A failing schedule, made as short as may be: delta debugging on its steps.

Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE TSE 28(2), 2002, with bounds
on the runs and the time. Steps that are left out leave the random numbers of the others as they were. Members
join in any case: a drive that nobody makes is never open, which is another failure.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from p2pdrive.lab.scenario import JOIN, Outcome, Scenario, Step, run

#: Runs and seconds of the wall clock that a shrink may take: one that waits in vain to converge takes long.
RUNS_MAX = 300
SECONDS_MAX = 300.0


def shrink(failed: Outcome, runs: int = RUNS_MAX, told: Callable[[int, int], None] | None = None) -> Outcome:
    """The outcome of the shortest schedule found that breaks the same promise.

    ``told(steps, runs left)`` hears of each shorter one.
    """
    assert failed.violation is not None
    search = _Search(failed, runs, told)
    search.halve()
    return search.best


class _Search:
    def __init__(self, failed: Outcome, runs: int, told: Callable[[int, int], None] | None) -> None:
        assert failed.violation is not None
        self.best = failed
        self._promise = failed.violation.checker
        self._left = runs
        self._deadline = time.monotonic() + SECONDS_MAX
        self._told = told
        self._salts = 0

    def halve(self) -> None:
        """Leave out ever smaller parts, until no single step can be left out or runs or time are used up."""
        pieces = 2
        while self._may_go_on and len(self._steps) > 1:
            size = -(-len(self._steps) // pieces)
            if self._leave_out_one_of(size):
                pieces = max(pieces - 1, 2)
            elif size == 1:
                break
            else:
                pieces = min(pieces * 2, len(self._steps))

    @property
    def _may_go_on(self) -> bool:
        return self._left > 0 and time.monotonic() < self._deadline

    @property
    def _steps(self) -> Sequence[Step]:
        return self.best.scenario.steps

    def _leave_out_one_of(self, size: int) -> bool:
        """From the end, as what follows a failure matters least."""
        steps, shorter = self._steps, False
        for start in reversed(range(0, len(steps), size)):
            if not self._may_go_on:
                break
            part = range(start, start + size)
            kept = tuple(step for at, step in enumerate(self._steps) if at not in part or step.act == JOIN)
            if len(kept) < len(self._steps):
                shorter = self._try(replace(self.best.scenario, steps=kept)) or shorter
        return shorter

    def _try(self, scenario: Scenario) -> bool:
        """Whether it still fails, once with chance as it was, once with another."""
        return any(
            self._fails(replace(scenario, salt=salt)) for salt in (self.best.scenario.salt, self._salt())
        )

    def _salt(self) -> int:
        self._salts += 1
        return self._salts

    def _fails(self, scenario: Scenario) -> bool:
        self._left -= 1
        outcome = run(scenario)
        if outcome.violation is None or outcome.violation.checker != self._promise:
            return False
        self.best = outcome
        if self._told is not None:
            self._told(len(scenario.steps), self._left)
        return True
