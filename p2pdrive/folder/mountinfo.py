"""What is mounted where, by /proc/self/mountinfo (proc_pid_mountinfo(5)); nothing where there is none."""

import os
import re
import select
from contextlib import suppress
from threading import Lock
from typing import NamedTuple

_PLACE = "/proc/self/mountinfo"
#: File systems that other machines may change with no event here; ``fuse.*`` may be anything.
_SHARED = frozenset(
    {"9p", "afs", "beegfs", "ceph", "cifs", "coda", "drvfs", "glusterfs", "gpfs", "lustre", "nfs", "nfs4"}
    | {"orangefs", "prl_fs", "smb3", "smbfs", "vboxsf", "virtiofs", "vmhgfs"}
)
#: FUSE file systems of one disk of this machine.
_OWN_FUSE = frozenset({"fuse.exfat", "fuse.ntfs-3g", "fuse.ntfs", "fuse.ext2", "fuse.apfs", "fuse.hfs"})
_ESCAPED = re.compile(rb"\\([0-7]{3})")


class Mount(NamedTuple):
    """``device`` as in ``os.stat_result``; ``place`` is an absolute path, ``kind`` the file system's type."""

    device: int
    place: str
    kind: str

    @property
    def shared(self) -> bool:
        """Whether others may change it with no event here."""
        return self.kind in _SHARED or (self.kind.startswith("fuse.") and self.kind not in _OWN_FUSE)


def mounts(place: str | None = None) -> list[Mount]:
    """All mounts of this process, in the order in which they were made."""
    try:
        with open(place or _PLACE, "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    return [found for line in lines if (found := _parsed(line)) is not None]


class Table:
    """What is mounted beneath an open directory, read again only after something was mounted or unmounted."""

    def __init__(self, root: int) -> None:
        self._root = root
        self._beneath: frozenset[str] = frozenset()
        self._one_at_a_time = Lock()  # a poll object is for one thread; it tells of a change once
        self._poll = select.poll()
        self._fd = -1
        with suppress(OSError):
            self._fd = os.open(_PLACE, os.O_RDONLY | os.O_CLOEXEC)
            self._poll.register(self._fd, select.POLLPRI)
            self._read()

    def beneath(self) -> frozenset[str]:
        """The places, relative to the directory."""
        with self._one_at_a_time:
            if self._fd >= 0 and self._poll.poll(0):  # which it tells once
                self._read()
            return self._beneath

    def close(self) -> None:
        """Let the table go."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _read(self) -> None:
        with suppress(OSError):
            place = os.readlink(f"/proc/self/fd/{self._root}")
            self._beneath = frozenset(path for path in within_root(mounts(), place) if path)


def within_root(found: list[Mount], root: str) -> dict[str, Mount]:
    """Those that ``root`` (a real path) and what is in it lie on, by drive-relative path: the root's own
    under the empty path, where it is known. Of several in one place the last is seen."""
    inside: dict[str, Mount] = {}
    beneath = root.rstrip("/") + "/"
    for mount in found:
        if mount.place.startswith(beneath):
            inside[mount.place[len(beneath) :]] = mount
        elif beneath.startswith(mount.place.rstrip("/") + "/") and (
            "" not in inside or len(inside[""].place) <= len(mount.place)
        ):
            inside[""] = mount
    return inside


def _parsed(line: bytes) -> Mount | None:
    """A line is: ``36 35 98:0 /root /mount options [optional ...] - type source options``."""
    first, _, second = line.partition(b" - ")
    fields, more = first.split(b" "), second.split(b" ")
    try:
        major, minor = fields[2].split(b":")
        place = _ESCAPED.sub(lambda octal: bytes([int(octal[1], 8)]), fields[4])
        return Mount(os.makedev(int(major), int(minor)), os.fsdecode(place), more[0].decode())
    except (IndexError, ValueError):
        return None
