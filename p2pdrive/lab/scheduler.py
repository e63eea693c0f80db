"""A run that is the same each time: trio's scheduling by seed, and a clock that jumps.

The two private switches of trio (its own ``test_scheduler_determinism.py`` shows them) are used here and
nowhere else; a test sees that two runs of a seed are equal.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import trio
from trio._core import _run
from trio.testing import MockClock

T = TypeVar("T")


def run_simulated(main: Callable[[], Awaitable[T]], seed: int) -> T:
    """Run ``main`` in virtual time, which jumps whenever all tasks wait; the order of tasks is ``seed``'s.

    An interrupt ends it where ``main`` itself waits: elsewhere it may come in the midst of what passes over
    errors, such as a callback of SQLite's.
    """
    deterministic, order = _run._ALLOW_DETERMINISTIC_SCHEDULING, _run._r.getstate()  # noqa: SLF001
    try:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = True  # type: ignore[misc]  # noqa: SLF001
        _run._r.seed(seed)  # noqa: SLF001
        clock = MockClock(autojump_threshold=0)
        return trio.run(main, clock=clock, restrict_keyboard_interrupt_to_checkpoints=True)
    finally:
        _run._ALLOW_DETERMINISTIC_SCHEDULING = deterministic  # type: ignore[misc]  # noqa: SLF001
        _run._r.setstate(order)  # noqa: SLF001
