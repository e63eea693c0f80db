"""Status in words. Names and paths come from peers: nothing of them reaches the terminal unprinted."""

import os
from collections.abc import Iterator
from datetime import datetime

from p2pdrive.engine.status import (
    BusyStatus,
    DriveState,
    DriveStatus,
    NodeStatus,
    PeerStatus,
    ProblemStatus,
)
from p2pdrive.errors import DriveError

#: Problems of one drive that are shown in words; `--json` has all.
PROBLEMS_SHOWN = 10


def status_text(status: NodeStatus, drives: tuple[DriveStatus, ...]) -> str:
    """The node and the given drives, for a person."""
    node = status.node
    where = f"listening on {', '.join(map(printable, node.listen))}" if node.listen else "not listening"
    lines = [f"{printable(node.name)} (device {node.device[:8]}), {where}"]
    for drive in drives:
        lines += ["", *drive_lines(drive)]
    if not status.drives:
        lines += [
            "",
            "No drives yet. `p2pdrive share DIR` makes a folder one, `p2pdrive join INVITE DIR` joins one.",
        ]
    return "\n".join(lines)


def drive_lines(drive: DriveStatus) -> Iterator[str]:
    """One drive: what state it is in and what to do about it, its peers, its problems."""
    role = f"  ({drive.role})" if drive.role else ""  # not known while the drive is not open
    yield f"{printable(drive.name)}  {printable(drive.path)}{role}"
    yield f"  {state_text(drive)}"
    yield f"  {contents(drive)}"
    if drive.conflicts:
        yield (
            f"  {counted(drive.conflicts, 'conflict')}: look for files named '... (conflict ...)', "
            "take what you need from them, and delete them"
        )
    if drive.brought:
        yield from brought_lines(drive)
    for peer in drive.peers:
        yield f"  {peer_text(peer)}"
    if drive.watching:
        yield f"  {printable(drive.watching)}"
    for busy in drive.busy[:PROBLEMS_SHOWN]:
        yield f"  busy since {local_time(busy.since)}: {busy_text(busy)}"
    if len(drive.busy) > PROBLEMS_SHOWN:
        yield f"  and {len(drive.busy) - PROBLEMS_SHOWN:,} more; `p2pdrive status --json` lists all"
    for problem in drive.problems[:PROBLEMS_SHOWN]:
        yield f"  problem since {local_time(problem.since)}: {problem_text(problem)}"
    if len(drive.problems) > PROBLEMS_SHOWN:
        more = counted(len(drive.problems) - PROBLEMS_SHOWN, "more problem")
        yield f"  and {more}; `p2pdrive status --json` lists all"


def brought_lines(drive: DriveStatus) -> Iterator[str]:
    """What a person is to choose about files that were deleted elsewhere."""
    were = "was" if drive.brought == 1 else "were"
    yield (
        f"  {counted(drive.brought, 'file')} here {were} deleted on other machines since this folder was "
        "copied or left. Until you choose, they stay here alone:"
    )
    share = f"`p2pdrive share {printable(drive.path)}"
    yield f"    {share} --restore` brings them back everywhere"
    yield f"    {share} --catch-up` deletes them here too; history keeps them"


def state_text(drive: DriveStatus) -> str:
    """The state, what it means, and what to do where something is to be done."""
    verb = "is" if len(drive.busy) == 1 else "are"
    unrest = f"{counted(len(drive.busy), 'file')} that {verb} not at rest"
    match drive.state:
        case DriveState.IN_SYNC if drive.busy:
            return f"in sync, but for {unrest}"
        case DriveState.SYNCING if drive.busy and not drive.missing_files and not drive.missing_bytes:
            return f"syncing: comparing with the other members, with {unrest}"
        case DriveState.IN_SYNC if not drive.peers:
            return f"in sync: no other member yet; `p2pdrive share {printable(drive.path)}` prints an invite"
        case DriveState.IN_SYNC:
            return "in sync"
        case DriveState.SCANNING if drive.deleting:
            gone = counted(drive.deleting, "file or folder", "files and folders")
            return f"scanning: {gone} deleted here; the others are told in a moment, once no more go"
        case DriveState.SCANNING:
            return "scanning: looking for changes in the folder"
        case DriveState.SYNCING:
            return f"syncing: {missing(drive)}"
        case DriveState.WAITING:
            return "waiting: no other member is connected; start p2pdrive on one of them"
        case DriveState.PAUSED:
            return "paused: nothing is sent or received"
        case DriveState.OFFLINE:
            return f"offline: the folder, or its .p2pdrive, is not there ({_deleted_elsewhere(drive)})"
        case DriveState.ERROR:
            return "error: this drive has stopped, see its problems; the node's log says more"


def _deleted_elsewhere(drive: DriveStatus) -> str:
    if not drive.deleted_lately:
        return "nothing was deleted elsewhere"
    gone = counted(drive.deleted_lately, "file or folder", "files and folders")
    return f"{gone} deleted just before counted as yours; the others' history keeps them, nothing else went"


def missing(drive: DriveStatus) -> str:
    """What is still to come."""
    if drive.missing_files or drive.missing_bytes:
        return f"{counted(drive.missing_files, 'file')} ({size(drive.missing_bytes)}) to come"
    return "comparing with the other members"


def contents(drive: DriveStatus) -> str:
    """How much is in the drive."""
    files, folders = counted(drive.files, "file"), counted(drive.directories, "folder")
    return f"{files}, {folders}, {size(drive.bytes)}"


def peer_text(peer: PeerStatus) -> str:
    """Another member, and how far it is."""
    who = f"{printable(peer.name)} ({peer.role})"
    if not peer.connected:
        return f"{who}: not connected"
    progress = "up to date" if peer.in_sync else "catching up"
    traffic = f"sent {size(peer.sent_bytes)}, received {size(peer.received_bytes)}"
    return f"{who}: connected at {printable(peer.address or '?')}, {progress}; {traffic}"


def problem_text(problem: ProblemStatus) -> str:
    """Where it is, and what is wrong."""
    return f"{printable(problem.path) or 'the drive'}: {printable(problem.what)}"


def busy_text(busy: BusyStatus) -> str:
    """Which file, and what keeps it from being synced."""
    return f"{printable(busy.path)}: {printable(busy.what)}"


def selected(status: NodeStatus, directory: str | None) -> tuple[DriveStatus, ...]:
    """All drives, or the one that ``directory`` is in. Raises DriveError where it is in none."""
    if directory is None:
        return status.drives
    wanted = os.path.realpath(directory)
    for drive in status.drives:
        root = os.path.realpath(drive.path)
        if wanted == root or wanted.startswith(root.rstrip("/") + "/"):
            return (drive,)
    raise DriveError(f"{directory} is in no drive of this node. `p2pdrive status` lists its drives.")


def size(count: int) -> str:
    """Bytes, in the unit that leaves up to three digits before the point."""
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, ["kB", "MB", "GB", "TB", "PB"]
    while value >= 999.5 and len(units) > 1:
        value /= 1000
        del units[0]
    return f"{value:.0f} {units[0]}" if value >= 99.95 else f"{value:.1f} {units[0]}"


def counted(count: int, noun: str, many: str = "") -> str:
    """``1 file``, ``2,000 files``; ``many`` where an s is not enough."""
    return f"{count:,} {noun if count == 1 else many or noun + 's'}"


def printable(text: str) -> str:
    """``text`` with every control character, and whatever else does not print, as '?'."""
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def local_time(stamp: str) -> str:
    """An RFC 3339 time on this machine's clock, to the second."""
    try:
        return datetime.fromisoformat(stamp).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except ValueError:
        return printable(stamp)
