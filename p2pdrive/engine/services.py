"""What a drive is given from outside: identity, clock, randomness, file system, threads.

Nothing in the engine reads the wall clock, rolls a die or opens a file by itself, so that the lab can
run whole nodes in a simulated world.
"""

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from p2pdrive.folder.files import Files
from p2pdrive.folder.outlook import Outlook
from p2pdrive.secure.identity import Identity

T = TypeVar("T")


class Offload(Protocol):
    """Runs blocking work off the event loop: a thread in production, inline in the lab."""

    def __call__(self, work: Callable[..., T], /, *arguments: Any) -> Awaitable[T]:
        """What ``work`` returns or raises."""


@dataclass(frozen=True, slots=True)
class Services:
    """``now_ns`` is wall time in nanoseconds since 1970; ``random`` gives that many random bytes.

    ``open_files`` opens a drive's folder by its absolute path; ``watch`` yields sets of paths in it that
    are to be looked at again, each with all that is in it: the root (empty) at first, and after a loss. The
    ``Outlook`` tells it what is ignored, and is told what cannot be watched.
    ``sync`` makes the file of a descriptor durable. ``own_key`` is the inode of the node's own key, 0 if that
    is on no disk.
    """

    identity: Identity
    name: str
    offload: Offload
    now_ns: Callable[[], int]
    random: Callable[[int], bytes]
    open_files: Callable[[str], Files]
    watch: Callable[[str, Outlook], AsyncGenerator[set[str], None]]
    sync: Callable[[int], None] = os.fsync
    own_key: int = 0

    def now_ms(self) -> int:
        """Wall time in milliseconds since 1970."""
        return self.now_ns() // 1_000_000
