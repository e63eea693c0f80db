"""What a node says of itself: plain frozen values, the same in Python and as JSON.

Ids are hex strings, times RFC 3339 strings in UTC, sizes bytes. No value holds a secret. The field
names are the keys of the JSON and a promise to scripts: add to them, never rename.
"""

import dataclasses
import json
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self


class DriveState(StrEnum):
    """What a drive is doing; one at a time, the first that applies from the bottom up."""

    IN_SYNC = "in-sync"  # scanned, connected, holding all that the connected members have, shown on disk
    SCANNING = "scanning"  # looking for what changed on this disk
    SYNCING = "syncing"  # fetching what others have
    WAITING = "waiting"  # has other members, and none is connected
    PAUSED = "paused"
    OFFLINE = "offline"  # the folder is not there: an unplugged disk, say
    ERROR = "error"  # the drive stopped; its problems say why


@dataclass(frozen=True, slots=True)
class ProblemStatus:
    """``what`` keeps ``path`` from being synced; ``since`` is when that was first seen."""

    path: str
    what: str
    since: str


@dataclass(frozen=True, slots=True)
class BusyStatus:
    """``path`` has not been at rest ``since`` then, as ``what`` says; it is looked at again at ``next``."""

    path: str
    what: str
    since: str
    next: str


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """Another member of a drive; bytes are those on the wire since the node started.

    ``address`` is None while not connected. ``in_sync``: the peer acknowledged all that we have.
    """

    device: str
    name: str
    role: str
    connected: bool
    address: str | None
    in_sync: bool
    sent_bytes: int
    received_bytes: int


@dataclass(frozen=True, slots=True)
class DriveStatus:
    """One drive as this node sees it; ``missing_*`` is known of, and not yet here.

    ``deleting``: files and folders that are gone here, of which the others will be told in a moment.
    ``brought``: files here that were deleted elsewhere since the folder was copied or left; a person is to
    choose what becomes of them.
    ``deleted_lately``: of how many they were told in the minute before the folder went away.
    ``polled_directories`` are looked through now and then, as changes in them are not told; ``watching`` says
    in words why, how late changes are noticed there, and what mends it.
    ``busy`` are files that programs write to all the time: their last state is not recorded yet, and
    ``state`` is about all else.
    """

    id: str
    name: str
    path: str
    role: str
    state: DriveState
    files: int
    directories: int
    bytes: int
    missing_files: int
    missing_bytes: int
    conflicts: int
    problems: tuple[ProblemStatus, ...]
    peers: tuple[PeerStatus, ...]
    deleting: int = 0
    deleted_lately: int = 0
    polled_directories: int = 0
    watching: str = ""
    busy: tuple[BusyStatus, ...] = ()
    brought: int = 0


@dataclass(frozen=True, slots=True)
class NodeInfo:
    """Who is speaking; ``listen`` holds the ``host:port`` that peers can reach."""

    device: str
    name: str
    version: str
    listen: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """The whole of ``p2pdrive status --json``."""

    node: NodeInfo
    drives: tuple[DriveStatus, ...]

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The value that ``to_json`` gave; keys that a newer node adds are left out.

        Raises ValueError for anything else.
        """
        try:
            data = json.loads(text)
            node = _pick(NodeInfo, data["node"]) | {"listen": tuple(data["node"]["listen"])}
            return cls(NodeInfo(**node), tuple(_drive(drive) for drive in data["drives"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not a node's status: {error!r}") from error


def _drive(data: dict[str, Any]) -> DriveStatus:
    fields = _pick(DriveStatus, data) | {
        "state": DriveState(data["state"]),
        "problems": tuple(ProblemStatus(**_pick(ProblemStatus, entry)) for entry in data["problems"]),
        "busy": tuple(BusyStatus(**_pick(BusyStatus, entry)) for entry in data.get("busy", ())),
        "peers": tuple(PeerStatus(**_pick(PeerStatus, entry)) for entry in data["peers"]),
    }
    return DriveStatus(**fields)


def _pick(kind: type, data: dict[str, Any]) -> dict[str, Any]:
    names = (field.name for field in dataclasses.fields(kind))
    return {name: data[name] for name in names if name != "busy" or name in data}
