"""Shows what the stage tells: a live table on a terminal, plain lines elsewhere."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from p2pdrive.lab.hosts.telling import Event, HostLook

#: Seconds between two lines about all hosts where there is no table.
_SUMMARY_SECONDS = 10.0
#: Columns of the terminal that the table takes, and those for each host that others received from.
_TABLE_COLUMNS = 90
_SENDER_COLUMNS = 9
_COLOURS = {"running": "green", "asleep": "yellow", "silent": "yellow", "down": "red", "in-sync": "green"}


@contextmanager
def shown_on(console: Console) -> Iterator[Callable[[Event], None]]:
    """A function that shows events on ``console`` while the context is open."""
    if not console.is_terminal:
        yield _Lines(console).show
        return
    with Live(console=console, auto_refresh=False) as live:

        def show(event: Event) -> None:
            if event.hosts is not None:
                live.update(table(event, console.width), refresh=True)
            _say(live.console, event)

        yield show


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._told = 0.0

    def show(self, event: Event) -> None:
        _say(self._console, event)
        if event.hosts is not None and event.seconds - self._told >= _SUMMARY_SECONDS:
            self._told = event.seconds
            _print(self._console, event.seconds, "; ".join(map(summary, event.hosts)))


def _say(console: Console, event: Event) -> None:
    if event.say is not None:
        _print(console, event.seconds, event.say, "red" if event.bad else "")
    if event.code is not None:
        verdict = "failed" if event.code else "Passed: equal, nothing lost, memory within its bound"
        _print(console, event.seconds, verdict, "bold red" if event.code else "bold green")


def _print(console: Console, seconds: float, text: str, style: str = "") -> None:
    console.print(Text(f"{seconds:7.1f} s  {text}", style), soft_wrap=True)


def summary(host: HostLook) -> str:
    """A host in some words."""
    parts = [host.name, host.process, host.drive, f"{host.files} files", f"{_size(host.memory)}"]
    return " ".join(part for part in parts if part)


def table(event: Event, width: int) -> Table:
    """All hosts, their state and the traffic between them; its sum where ``width`` columns are too few."""
    hosts = event.hosts or ()
    shown = Table(title=f"{event.seconds:.0f} s", title_justify="left")
    for column in ("host", "address", "node", "drive"):
        shown.add_column(column, no_wrap=True)
    for column in ("peers", "files", "conflicts", "problems", "memory"):
        shown.add_column(column, justify="right", no_wrap=True)
    fits = _TABLE_COLUMNS + _SENDER_COLUMNS * len(hosts) <= width
    senders = [host.name for host in hosts] if fits else []
    for column in [f"from {name.removeprefix('host')}" for name in senders] or ["received"]:
        shown.add_column(column, justify="right", no_wrap=True)
    for host in hosts:
        received = [host.received.get(name) for name in senders] or [sum(host.received.values())]
        shown.add_row(
            host.name,
            host.address,
            Text(host.process, _COLOURS.get(host.process, "")),
            Text(host.drive, _COLOURS.get(host.drive, "cyan")),
            *(str(number) if number else "" for number in (host.connected, host.files)),
            *(str(number) if number else "" for number in (host.conflicts, host.problems)),
            _size(host.memory),
            *(_size(count) for count in received),
        )
    return shown


def _size(count: int | None) -> str:
    """Bytes, in as few letters as will do."""
    value = float(count or 0)
    for unit in ("B", "k", "M"):
        if value < 1000:
            return f"{value:.0f} {unit}" if value else ""
        value /= 1000
    return f"{value:.1f} G"
