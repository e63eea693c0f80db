"""What a running node can be asked to do: the one surface behind HTTP and the commands."""

from dataclasses import dataclass
from typing import Protocol

from p2pdrive.engine.status import NodeStatus


@dataclass(frozen=True, slots=True)
class Shared:
    """The folder at ``path`` is a drive (``created``: just now); whoever has ``link`` may join it."""

    drive: str
    path: str
    created: bool
    link: str


@dataclass(frozen=True, slots=True)
class Joined:
    """The folder at ``path`` will show the drive as soon as one of its members is reached."""

    drive: str
    name: str
    path: str


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one path.

    ``when`` is RFC 3339; ``device`` the writer's id in hex, ``device_name`` its name; ``size`` in bytes;
    ``kind`` is file, directory, symlink or deleted; ``readable``: its content can be had now;
    ``current``: no other version supersedes it.
    """

    when: str
    device: str
    device_name: str
    size: int
    kind: str
    readable: bool
    current: bool


@dataclass(frozen=True, slots=True)
class Member:
    """One device of one drive; ``last_seen`` is RFC 3339, None for never; ``own`` marks this node."""

    drive: str
    drive_name: str
    device: str
    name: str
    role: str
    own: bool
    connected: bool
    last_seen: str | None


class Control(Protocol):
    """Implemented by the node. Paths are absolute; every method raises P2PDriveError."""

    async def status(self) -> NodeStatus:
        """The node and its drives as they are now."""

    async def share(
        self, path: str, name: str | None, role: str, uses: int, expires: int, yes: bool
    ) -> Shared:
        """Makes the folder a drive if it is none, and an invite to it.

        ``name`` defaults to the folder's; ``uses`` is how many devices the invite admits; ``expires`` is
        in seconds from now, 0 for never. Without ``yes``, AskFirst is raised where the folder is more than
        a person may think.
        """

    async def join(self, link: str, path: str, yes: bool) -> Joined:
        """Registers the folder as the invite's drive; becoming a member goes on in the background. ``yes`` as
        for ``share``."""

    async def choose(self, path: str, choice: str) -> None:
        """What becomes of files in the drive at ``path`` that were deleted elsewhere since it was copied or
        left: ``restore``, ``catch-up`` or ``ask`` (they stay here alone)."""

    async def leave(self, path: str, forget: bool) -> None:
        """Stops syncing the drive at ``path``; its files stay. ``forget`` removes its ``.p2pdrive``."""

    async def log(self, path: str) -> list[Version]:
        """The versions of one path, newest first."""

    async def devices(self, path: str | None) -> list[Member]:
        """The members of the drive at ``path``, or of all drives."""

    async def stop(self) -> None:
        """Begins a clean end of the node, and returns before it is reached."""
