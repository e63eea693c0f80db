"""`status` and `wait`."""

import dataclasses
import math
import sys
import time
from collections.abc import Callable

import click

from p2pdrive.cli.options import Settings, absolute, common
from p2pdrive.cli.words import busy_text, printable, selected, state_text, status_text
from p2pdrive.engine.status import DriveState, DriveStatus, NodeStatus
from p2pdrive.errors import NotInSync
from p2pdrive.limits import (
    REDRAW_SECONDS,
    WAIT_POLL_SECONDS_MAX,
    WAIT_POLL_SECONDS_MIN,
    WAIT_STEADY_SECONDS,
)


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, callback=absolute)
@click.option("--json", "as_json", is_flag=True, help="For programs; with --watch a line each change.")
@click.option("--watch", is_flag=True, help="Show it again whenever it changes, until Ctrl-C.")
@common
@click.pass_obj
def status(settings: Settings, directory: str | None, as_json: bool, watch: bool) -> None:
    """Show the node, its drives, their peers and problems."""
    client = settings.client
    _show(shown := client.status(), directory, as_json)
    try:
        while watch:
            time.sleep(REDRAW_SECONDS)
            if (current := client.status()) != shown:
                if sys.stdout.isatty() and not as_json:
                    click.clear()
                _show(shown := current, directory, as_json)
    except KeyboardInterrupt:
        return


@click.command()
@click.argument("directory", metavar="[DIR]", required=False, callback=absolute)
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=math.inf, metavar="S", help="Give up after S seconds."
)
@click.option("--except-busy", is_flag=True, help="But for files that programs write to all the time.")
@common
@click.pass_obj
def wait(settings: Settings, directory: str | None, timeout: float, except_busy: bool) -> None:
    """Return once every drive (or that of DIR) is in sync; exit code 3 at the timeout."""
    wait_in_sync(
        settings.client.status,
        directory,
        timeout,
        time.monotonic,
        time.sleep,
        except_busy=except_busy,
        tell=_tell,
    )


def _tell(line: str) -> None:
    click.echo(line, err=True)


def wait_in_sync(
    ask: Callable[[], NodeStatus],
    directory: str | None,
    timeout: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    *,
    except_busy: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> None:
    """Returns once all asked drives were in sync in every answer over WAIT_STEADY_SECONDS; of files that
    programs write to all the time ``tell`` is told, and they are waited for, unless ``except_busy``.

    Steady, as a change may be on disk and not yet seen by the watcher. ``timeout`` is in seconds,
    may be infinite. Raises NotInSync at the timeout, DriveError where ``directory`` is in no drive.
    """
    deadline = clock() + timeout
    since: float | None = None
    told = set[str]()
    pause = WAIT_POLL_SECONDS_MIN
    while True:
        answer = ask()
        now = clock()
        busy = {busy_text(each) for drive in selected(answer, directory) for each in drive.busy}
        if not except_busy:
            for line in sorted(busy - told):
                tell(f"waiting for {line} `wait --except-busy` does not wait for such files.")
            told |= busy
        if any(not _in_sync(drive, except_busy) for drive in selected(answer, directory)):
            since = None
        elif since is None:
            since = now
        if since is not None and now - since >= WAIT_STEADY_SECONDS:
            return
        if now >= deadline:
            raise NotInSync(_lateness(selected(answer, directory), timeout, except_busy))
        sleep(min(pause, deadline - now))
        pause = min(pause * 1.2, WAIT_POLL_SECONDS_MAX)


def _in_sync(drive: DriveStatus, except_busy: bool) -> bool:
    return drive.state is DriveState.IN_SYNC and (except_busy or not drive.busy)


def _lateness(drives: tuple[DriveStatus, ...], timeout: float, except_busy: bool) -> str:
    late = [drive for drive in drives if not _in_sync(drive, except_busy)]
    told = "; ".join(_late(drive) for drive in late[:3])
    more = f"; and {len(late) - 3} more" if len(late) > 3 else ""
    said = f"{told or 'changes are still coming in'}{more}"
    return f"Not in sync after {timeout:g} s: {said.removesuffix('.')}."


def _late(drive: DriveStatus) -> str:
    busy = "".join(f"; {busy_text(each)}" for each in drive.busy[:3])
    return f"{printable(drive.name)} is {state_text(drive)}{busy}"


def _show(answer: NodeStatus, directory: str | None, as_json: bool) -> None:
    drives = selected(answer, directory)
    if as_json:
        click.echo(dataclasses.replace(answer, drives=drives).to_json())
    else:
        click.echo(status_text(answer, drives))
