"""``p2pdrive lab simulate``: runs of seeds, and what is said of those that fail."""

import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from secrets import randbits
from shlex import quote
from typing import TextIO

from p2pdrive.lab.scenario import Outcome, plan, run
from p2pdrive.lab.shrink import shrink

Say = Callable[[str], None]

#: Lines of the trace that are shown with a failure; all of them go into the file.
_TRACE_LINES = 60
_SEED_BITS = 32


@dataclass(frozen=True)
class Simulation:
    """What to run: ``nodes`` machines and ``steps`` steps a seed, with these ``faults`` (None: all).

    ``trace``: where the traces go; ``shrinking``: whether failures are made short.
    """

    nodes: int = 3
    steps: int = 200
    faults: Sequence[str] | None = None
    trace: TextIO | None = None
    shrinking: bool = True


def simulate(simulation: Simulation, seeds: Iterable[int], say: Say) -> int:
    """Run them all, say how each went, and return how many failed; an interrupt too ends with the sum."""
    failed = count = 0
    began = time.monotonic()
    try:
        for seed in seeds:
            outcome, seconds = _timed(simulation, seed)
            count += 1
            if outcome.violation is None:
                say(
                    f"seed {seed}: kept all promises; {outcome.virtual_seconds:.0f} s in {seconds:.1f} s; "
                    f"trace {outcome.digest}"
                )
                _save(simulation, outcome)
            else:
                failed += 1
                _report(simulation, outcome, say)
    finally:
        noun = "scenario" if count == 1 else "scenarios"
        say(f"{count} {noun} in {time.monotonic() - began:.0f} s, {failed} failed.")
    return failed


def fresh_seeds(until: float) -> Iterator[int]:
    """Random ones, until the monotonic clock says ``until``; at least one."""
    yield randbits(_SEED_BITS)
    while time.monotonic() < until:
        yield randbits(_SEED_BITS)


def commit() -> str:
    """Of the code that runs, as far as it is known."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty"],  # noqa: S607 - whichever git there is
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return found.stdout.strip()


def _timed(simulation: Simulation, seed: int) -> tuple[Outcome, float]:
    began = time.monotonic()
    outcome = run(plan(seed, simulation.nodes, simulation.steps, simulation.faults))
    return outcome, time.monotonic() - began


def _report(simulation: Simulation, outcome: Outcome, say: Say) -> None:
    seed = outcome.scenario.seed
    say(f"seed {seed}: FAILED at commit {commit()}: {outcome.violation}")
    say(f"  again: p2pdrive lab simulate --seed {seed}{_options(simulation)}")
    if simulation.shrinking:
        outcome = shrink(outcome)
        say(f"  shrunk to {len(outcome.scenario.steps)} steps: {outcome.violation}")
        for step in outcome.scenario.steps:
            say(f"  {step}")
    say("  trace:" if len(outcome.lines) <= _TRACE_LINES else f"  last {_TRACE_LINES} lines of the trace:")
    for line in outcome.lines[-_TRACE_LINES:]:
        say(f"    {line}")
    _save(simulation, outcome)


def _options(simulation: Simulation) -> str:
    usual = Simulation()
    options = ""
    if simulation.nodes != usual.nodes:
        options += f" --nodes {simulation.nodes}"
    if simulation.steps != usual.steps:
        options += f" --steps {simulation.steps}"
    if simulation.faults is not None:
        options += f" --faults {quote(','.join(simulation.faults) or 'none')}"
    return options


def _save(simulation: Simulation, outcome: Outcome) -> None:
    if simulation.trace is not None:
        simulation.trace.write(f"seed {outcome.scenario.seed}\n")
        simulation.trace.writelines(f"{line}\n" for line in outcome.lines)
        simulation.trace.write(f"{outcome.violation or 'kept all promises'}\n\n")
        simulation.trace.flush()
