"""`lab`: whole swarms on one machine, simulated or real, to try p2pdrive and changes to it."""

import io
import math
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import click

from p2pdrive.cli.options import common
from p2pdrive.errors import WorldError
from p2pdrive.lab.hosts.names import NODES_MAX, NODES_MIN, SCENARIOS, usual_nodes

if TYPE_CHECKING:
    from typing_extensions import Buffer  # in collections.abc since 3.12

#: Cases of `lab plan` where nothing is said: a minute, more or less.
_CASES = 10_000
#: A week.
_PLAY_MINUTES_MAX = 7 * 24 * 60


class _Listing(click.Command):
    """A command whose help ends with what ``list_choices`` writes; it may load what takes its time."""

    def __init__(
        self, *args: Any, list_choices: Callable[[click.HelpFormatter], None], **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self._list_choices = list_choices

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        super().format_epilog(ctx, formatter)
        self._list_choices(formatter)


def _list_faults(formatter: click.HelpFormatter) -> None:
    from p2pdrive.lab.faults import FAULTS

    with formatter.section("Faults"):
        formatter.write_text(", ".join(FAULTS))


def _list_scenarios(formatter: click.HelpFormatter) -> None:
    with formatter.section("Scenarios"):
        formatter.write_dl(list(SCENARIOS.items()))


@click.group()
def lab() -> None:
    """Try whole swarms on this machine, simulated or real."""


def _minutes(_context: click.Context, _option: click.Parameter, value: float | None) -> float | None:
    """Callback: a number, which NaN is not, though it is in every range."""
    if value is not None and math.isnan(value):
        raise click.BadParameter(f"{value} is no number of minutes such as 1.5.")
    return value


def _seeds(_context: click.Context, _option: click.Parameter, value: str | None) -> range | None:
    """Callback: ``A..B``, both included."""
    if value is None:
        return None
    found = re.fullmatch(r"(\d{1,18})\.\.(\d{1,18})", value, re.ASCII)
    if found is None or int(found[2]) < int(found[1]):
        raise click.BadParameter(f"{value!r} is no range such as 1..20.")
    return range(int(found[1]), int(found[2]) + 1)


def _faults(_context: click.Context, _option: click.Parameter, value: str | None) -> tuple[str, ...] | None:
    """Callback: names separated by commas."""
    from p2pdrive.lab.faults import FAULTS

    if value is None:
        return None
    names = tuple(name.strip() for name in value.split(",") if name.strip())
    names = () if names == ("none",) else names
    for name in names:
        if name not in FAULTS:
            raise click.BadParameter(f"{name!r} is none of {', '.join(FAULTS)}, or none.")
    return names


@lab.command(cls=_Listing, list_choices=_list_faults)
@click.option("--seed", type=click.IntRange(min=0), metavar="N", help="Run this one scenario.")
@click.option("--seeds", callback=_seeds, metavar="A..B", help="Run all of these.")
@click.option(
    "--minutes",
    type=click.FloatRange(min=0),
    callback=_minutes,
    metavar="M",
    help="Run fresh ones for that long.",
)
@click.option(
    "--nodes", type=click.IntRange(2, 8), default=3, show_default=True, metavar="K", help="So many machines."
)
@click.option(
    "--steps",
    type=click.IntRange(0, 100_000),
    default=200,
    show_default=True,
    metavar="M",
    help="So many things that persons do or that befall machines.",
)
@click.option("--faults", callback=_faults, metavar="LIST", help="Only these, by commas, or none.")
@click.option("--trace", metavar="FILE", help="Write all that happened there.")
@click.option("--no-shrink", is_flag=True, help="Do not look for the shortest schedule that fails.")
@common
def simulate(
    seed: int | None,
    seeds: range | None,
    minutes: float | None,
    nodes: int,
    steps: int,
    faults: tuple[str, ...] | None,
    trace: str | None,
    no_shrink: bool,
) -> int:
    """Run whole nodes in a simulated world, where everything goes wrong by a seed.

    The same seed gives the same run. Without one, a fresh one is drawn.
    """
    if sum(choice is not None for choice in (seed, seeds, minutes)) > 1:
        raise click.UsageError("--seed, --seeds and --minutes exclude each other.")
    with _opened(trace) as file:
        _hash_alike()
        from p2pdrive.lab.simulate import Simulation, fresh_seeds, simulate

        chosen: Iterable[int] = fresh_seeds(time.monotonic() + 60 * (minutes or 0))
        if seed is not None or seeds is not None:
            chosen = seeds or (seed or 0,)
        under_way: list[int] = []
        simulation = Simulation(nodes, steps, faults, file, not no_shrink)
        _interruptible()
        try:
            return 1 if simulate(simulation, _noted(chosen, under_way), click.echo) else 0
        except* KeyboardInterrupt:  # alone, or in a group of a nursery
            for unfinished in under_way:
                click.echo(f"Seed {unfinished} was under way.")
            raise


def _case(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Callback: a seed, or a seed and the number of a case."""
    if value is not None and not re.fullmatch(r"\d{1,18}( \d{1,18})?", value, re.ASCII):
        raise click.BadParameter(f"{value!r} is no seed such as 7, and no case such as '7 25'.")
    return value


@lab.command()
@click.option("--seed", callback=_case, metavar="N", help="Try its cases, or with 'N K' case K alone.")
@click.option("--cases", type=click.IntRange(min=1), metavar="N", help="Try so many. [default: 10000]")
@click.option(
    "--minutes", type=click.FloatRange(min=0), callback=_minutes, metavar="M", help="Try for that long."
)
@common
def plan(seed: str | None, cases: int | None, minutes: float | None) -> int:
    """Try what nodes decide, without nodes: many cases in little time.

    Members change one tree at once, on paper, and hear of it in any order. Without a seed, a fresh one is
    drawn. Ends at the first case that fails.
    """
    from p2pdrive.lab.planner import Tried, failure_of, try_planner
    from p2pdrive.lab.simulate import commit, fresh_seeds

    if cases is not None and minutes is not None:
        raise click.UsageError("--cases and --minutes exclude each other.")
    seed = seed or str(next(fresh_seeds(0)))
    _interruptible()
    if " " in seed:
        tried = Tried(1, 0.0, failure_of(seed))
    elif minutes is not None:
        tried = try_planner(int(seed), seconds=60 * minutes)
    else:
        tried = try_planner(int(seed), cases or _CASES)
    if tried.interrupted:
        click.echo(
            f"seed {seed}: kept all promises so far; {tried}; case '{seed} {tried.cases}' was under way."
        )
        return 1
    if tried.failure is None:
        click.echo(f"seed {seed}: kept all promises; {tried}.")
        return 0
    again = tried.failure.seed
    click.echo(f"seed {again!r}: FAILED at commit {commit()}: {tried.failure.violation}")
    click.echo(f"  again: p2pdrive lab plan --seed {again!r}")
    click.echo(f"  {tried}.")
    return 1


@lab.command(cls=_Listing, list_choices=_list_scenarios)
@click.option(
    "--nodes",
    type=click.IntRange(NODES_MIN, NODES_MAX),
    show_default="as the scenario has",
    metavar="K",
    help="So many hosts.",
)
@click.option("--link", default="", metavar="SPEC", help="Such as 'delay=20ms,rate=100mbit,loss=0.1%'.")
@click.option(
    "--scenario", type=click.Choice(list(SCENARIOS)), default="split-brain", show_default=True, metavar="NAME"
)
@click.option(
    "--minutes",
    type=click.FloatRange(0, _PLAY_MINUTES_MAX),
    callback=_minutes,
    default=1.0,
    show_default=True,
    metavar="M",
    help="How long it is played; then it is checked.",
)
@common
def hosts(nodes: int | None, link: str, scenario: str, minutes: float) -> int:
    """Run real nodes, each in a network of its own, through a hard situation.

    Needs root, or a kernel that lets everybody make namespaces. Without, it says what it lacks and uses
    loopback addresses.
    """
    from rich.console import Console

    from p2pdrive.lab.hosts import run_hosts

    return run_hosts(nodes or usual_nodes(scenario), link, scenario, minutes, Console())


def _noted(seeds: Iterable[int], under_way: list[int]) -> Iterator[int]:
    """The seeds, and in ``under_way`` the one that is being run."""
    for seed in seeds:
        under_way[:] = [seed]
        yield seed
        under_way.clear()


class _TraceFile(io.FileIO):
    """What cannot be written is a WorldError, once: buffers try again as they are closed."""

    _failed = False

    def write(self, data: "Buffer") -> int:
        if self._failed:
            return memoryview(data).nbytes
        try:
            return super().write(data)
        except OSError as error:
            self._failed = True
            raise WorldError(f"The trace cannot be written to {self.name}: {error.strerror}.") from error


@contextmanager
def _opened(trace: str | None) -> Iterator[TextIO | None]:
    """The file to write a trace to; ``-`` is stdout. Raises FileError."""
    if trace is None or trace == "-":
        yield None if trace is None else sys.stdout
        return
    try:
        raw = _TraceFile(trace, "w")
    except OSError as error:
        raise click.FileError(trace, error.strerror) from error
    with io.TextIOWrapper(io.BufferedWriter(raw), encoding="utf-8") as file:
        yield file


def _hash_alike() -> None:
    """Begin again with a fixed seed of Python's hashes: sets have the same order in each run then."""
    if os.environ.get("PYTHONHASHSEED") != "0":
        arguments = [sys.executable, "-m", "p2pdrive.cli.main", *sys.argv[1:]]
        os.execve(sys.executable, arguments, {**os.environ, "PYTHONHASHSEED": "0"})  # noqa: S606 - ourselves


def _interruptible() -> None:
    """SIGTERM ends the scenario that runs as Ctrl-C does, and so does Ctrl-C where a shell has it ignored."""

    def end(_signal: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)

    signal.signal(signal.SIGINT, signal.default_int_handler)  # which trio replaces by its own as it runs
    signal.signal(signal.SIGTERM, end)
