"""How a running node shows what it does: live on a terminal, as log lines elsewhere."""

import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterator

import trio
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from p2pdrive.cli.words import (
    brought_lines,
    busy_text,
    contents,
    counted,
    missing,
    peer_text,
    printable,
    problem_text,
    size,
    state_text,
)
from p2pdrive.engine.status import DriveState, DriveStatus, NodeStatus
from p2pdrive.limits import PROGRESS_LOG_SECONDS, PROGRESS_LOOK_SECONDS, REDRAW_SECONDS

logger = logging.getLogger(__name__)

AskStatus = Callable[[], Awaitable[NodeStatus]]

PROBLEMS_SHOWN = 3
#: Seconds that a speed is an average of.
SPEED_SECONDS = 3.0
COLOURS = {
    DriveState.IN_SYNC: "green",
    DriveState.SCANNING: "cyan",
    DriveState.SYNCING: "cyan",
    DriveState.WAITING: "yellow",
    DriveState.PAUSED: "yellow",
    DriveState.OFFLINE: "red",
    DriveState.ERROR: "red",
}


async def show_progress(ask: AskStatus, console: Console) -> None:
    """Redraws the drives in place until cancelled."""
    speed = Speed()
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            status = await _asked(ask)
            speed.note(trio.current_time(), status)
            live.update(render(status, speed), refresh=True)
            await trio.sleep(REDRAW_SECONDS)


async def log_progress(ask: AskStatus) -> None:
    """Logs what changes, and how far a transfer is every PROGRESS_LOG_SECONDS, until cancelled."""
    before: NodeStatus | None = None
    told = trio.current_time()
    while True:
        status = await _asked(ask)
        for line in changes(before, status):
            logger.info("%s", line)
        if trio.current_time() - told >= PROGRESS_LOG_SECONDS:
            told = trio.current_time()
            for drive in status.drives:
                if drive.state in (DriveState.SYNCING, DriveState.SCANNING):
                    logger.info("%s: %s", printable(drive.name), state_text(drive))
        before = status
        await trio.sleep(PROGRESS_LOOK_SECONDS)


async def _asked(ask: AskStatus) -> NodeStatus:
    """The status, unless we were cancelled meanwhile: it may have been asked of a node that ends."""
    status = await ask()
    await trio.lowlevel.checkpoint_if_cancelled()
    return status


def changes(before: NodeStatus | None, after: NodeStatus) -> Iterator[str]:
    """What a person would want to hear of between two looks, in words."""
    if before is None or before.node.listen != after.node.listen:
        listen = ", ".join(after.node.listen) or "nowhere"
        yield f"{printable(after.node.name)} (device {after.node.device[:8]}) listens on {listen}"
    known = {drive.id: drive for drive in before.drives} if before else {}
    for drive in after.drives:
        for line in _drive_changes(known.pop(drive.id, None), drive):
            yield f"{printable(drive.name)}: {line}"
    for drive in known.values():
        yield f"{printable(drive.name)}: no longer synced"


def _drive_changes(before: DriveStatus | None, after: DriveStatus) -> Iterator[str]:
    if before is None:
        yield f"at {printable(after.path)}"
    if before is None or before.state != after.state:
        yield f"{state_text(after)} ({contents(after)})"
    was_connected = {peer.device for peer in before.peers if peer.connected} if before else set()
    for peer in after.peers:
        if peer.connected != (peer.device in was_connected):
            where = f"connected at {printable(peer.address or '?')}" if peer.connected else "disconnected"
            yield f"{printable(peer.name)} {where}"
    had = {problem_text(problem) for problem in before.problems} if before else set()
    has = {problem_text(problem) for problem in after.problems}
    yield from (f"problem: {text}" for text in sorted(has - had))
    yield from (f"solved: {text}" for text in sorted(had - has))
    known = before.brought if before and before.state is not DriveState.SCANNING else 0
    if after.state is not DriveState.SCANNING and after.brought > known:
        yield from map(str.strip, brought_lines(after))
    if after.conflicts > (before.conflicts if before else 0):
        yield counted(after.conflicts, "conflict")


class Speed:
    """Bytes a second of each drive, over the last SPEED_SECONDS."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, dict[str, tuple[int, int]]]] = deque()

    def note(self, now: float, status: NodeStatus) -> None:
        """Takes a look at the counters at ``now``, in seconds."""
        self._seen.append((now, {drive.id: _traffic(drive) for drive in status.drives}))
        while len(self._seen) > 2 and now - self._seen[0][0] > SPEED_SECONDS:
            self._seen.popleft()

    def of(self, drive: str) -> tuple[float, float]:
        """Bytes a second sent and received."""
        (start, first), (end, last) = self._seen[0], self._seen[-1]
        if end <= start or drive not in first or drive not in last:
            return 0.0, 0.0
        sent, received = (max(0, now - then) for then, now in zip(first[drive], last[drive], strict=True))
        return sent / (end - start), received / (end - start)


def _traffic(drive: DriveStatus) -> tuple[int, int]:
    return sum(peer.sent_bytes for peer in drive.peers), sum(peer.received_bytes for peer in drive.peers)


def render(status: NodeStatus, speed: Speed) -> RenderableType:
    """The screen: a few lines a drive."""
    listen = ", ".join(map(printable, status.node.listen))
    head = Text(f"{printable(status.node.name)}  {listen}  (Ctrl-C stops)", style="dim")
    return Group(head, *(part for drive in status.drives for part in _render_drive(drive, speed)))


def _render_drive(drive: DriveStatus, speed: Speed) -> Iterator[RenderableType]:
    sent, received = speed.of(drive.id)
    name, state = (printable(drive.name), "bold"), (drive.state, COLOURS[drive.state])
    yield Text.assemble(name, f"  {printable(drive.path)}  ", state)
    table = Table.grid(padding=(0, 2))
    if drive.state is DriveState.SYNCING and drive.missing_bytes:
        total = drive.bytes + drive.missing_bytes
        bar = ProgressBar(total=total, completed=drive.bytes, width=30)
        table.add_row(" ", bar, Text(missing(drive)))
    elif drive.state is not DriveState.IN_SYNC or not drive.peers:
        table.add_row(" ", Text(state_text(drive)))
    flow = f"↓ {size(round(received))}/s  ↑ {size(round(sent))}/s" if sent or received else ""
    table.add_row(" ", Text(contents(drive)), Text(flow))
    yield table
    for peer in drive.peers:
        yield Text(f"   {peer_text(peer)}", style="" if peer.connected else "dim")
    for busy in drive.busy[:PROBLEMS_SHOWN]:
        yield Text(f"   {busy_text(busy)}", style="dim")
    for problem in drive.problems[:PROBLEMS_SHOWN]:
        yield Text(f"   {problem_text(problem)}", style="red")
    if len(drive.problems) > PROBLEMS_SHOWN:
        more = counted(len(drive.problems) - PROBLEMS_SHOWN, "more problem")
        yield Text(f"   and {more}; see `p2pdrive status`", style="red")
    for line in brought_lines(drive) if drive.brought else ():
        yield Text(f" {line}", style="yellow")
    if drive.conflicts:
        yield Text(f"   {counted(drive.conflicts, 'conflict')}; see `p2pdrive status`", style="yellow")
