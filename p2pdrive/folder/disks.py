"""What the disks that drives lie on really keep, found out once for each, as git's ``core.fileMode`` is.

A disk is known by its device number, which means the same to the whole machine; so what is known of it is
kept for the whole process. It is asked anew whenever a drive is opened, and whenever a mount in one is met,
as device numbers are given out again. It is asked by making files with a prefix of ours; what a kill leaves
of them goes when the disk is asked again.
"""

import errno
import fcntl
import os
import stat
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from p2pdrive.folder.ignore import SIBLING_PREFIX
from p2pdrive.folder.mountinfo import mounts
from p2pdrive.limits import NAME_BYTES_MAX

#: How the names begin by which a disk is asked: in the temporary area, and on one mounted inside of a drive.
ASKED = "own.asked."
ASKED_INSIDE = f"{SIBLING_PREFIX}asked."
#: What FAT, exFAT, NTFS and SMB refuse in names, and at their ends.
_CHARACTERS = '<>:"|?*\\' + "".join(map(chr, range(1, 32)))
_ENDS = ". "
#: Permissions that a disk is to keep; the first are what no disk gives by itself.
_MODES = (0o600, 0o744)
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Disk:
    """What a disk keeps.

    ``leases``: a lease tells whether a program has a file open for writing; NFSv4 and SMB may refuse every
    one. ``executable``: a file is executable for its owner where it was made so; ``modes``: all permissions
    are kept. ``links``: it holds symlinks. ``exact``: names that differ in case or Unicode form alone are two
    names. ``characters`` are in no name on it, ``ends`` at the end of none; its ``longest`` name has so many
    bytes (143 on eCryptfs).
    """

    leases: bool = True
    executable: bool = True
    modes: bool = True
    links: bool = True
    exact: bool = True
    characters: str = ""
    ends: str = ""
    longest: int = NAME_BYTES_MAX

    @property
    def odd(self) -> bool:
        """Whether there is anything that a drive can have and this disk cannot hold."""
        short = self.longest < NAME_BYTES_MAX
        return not (self.exact and self.links) or short or bool(self.characters or self.ends)

    def refusal(self, path: str) -> str | None:
        """Why no file can have this path on the disk, in words; None where one can, as far as is known."""
        for name in path.split("/"):
            if self.longest < NAME_BYTES_MAX and len(name.encode()) > self.longest:
                return f"{name!r} cannot be on this disk, whose names have at most {self.longest} bytes"
            for letter in self.characters:
                if letter in name:
                    said = f"'{letter}'" if letter.isprintable() else "a control character"
                    return f"{name!r} cannot be on this disk, whose names have no {said}"
            if name.endswith(tuple(self.ends)):
                return f"{name!r} cannot be on this disk, whose names do not end in {name[-1]!r}"
        return None


#: A disk that takes no file to be asked by, as it is full or may only be read, counts as one that keeps all.
_KEEPS_ALL = Disk()
_known: dict[int, Disk] = {}


def disk_of(device: int) -> Disk:
    """What is known of the disk that has this device number."""
    return _known.get(device, _KEEPS_ALL)


def longest_name(directory: int) -> int:
    """Bytes of the longest name in the open directory that a drive can have, as far as the disk says."""
    try:
        return min(NAME_BYTES_MAX, os.fpathconf(directory, "PC_NAME_MAX"))
    except OSError:
        return NAME_BYTES_MAX


def ask(directory: int, prefix: str) -> Disk:
    """Find out what the disk keeps on which the open ``directory`` is. All names in it that begin with
    ``prefix`` are ours, and go. Where no file can be made there, what was known before holds."""
    device = os.fstat(directory).st_dev
    try:
        _tidy(directory, prefix)
        _known[device] = _ask(directory, prefix, device)
    except OSError:
        pass
    finally:
        with suppress(OSError):
            _tidy(directory, prefix)
    return disk_of(device)


def _tidy(directory: int, prefix: str) -> None:
    for name in os.listdir(directory):
        if name.startswith(prefix):
            with suppress(OSError):
                os.unlink(name, dir_fd=directory)


def _ask(directory: int, prefix: str, device: int) -> Disk:
    name = f"{prefix}\u00e4"  # has another case, and another Unicode form
    with _made(directory, name) as fd:
        kept = [_mode_kept(fd, mode) for mode in _MODES]
    bits = [(found ^ mode) & stat.S_IXUSR for found, mode in zip(kept, _MODES, strict=True)]
    characters, ends = "", ""
    whole = (f"{prefix}{_CHARACTERS}{_ENDS}", f"{prefix}{_ENDS[::-1]}")
    if not all(_holds(directory, each) for each in whole):
        characters = "".join(each for each in _CHARACTERS if not _holds(directory, f"{prefix}{each}x"))
        ends = "".join(each for each in _ENDS if not _holds(directory, f"{prefix}x{each}"))
    return Disk(
        leases=_gives_leases(directory, name, device),
        executable=not any(bits),
        modes=tuple(kept) == _MODES,
        links=_holds_links(directory, f"{prefix}link"),
        exact=_is_exact(directory, name),
        characters=characters,
        ends=ends,
        longest=longest_name(directory),
    )


@contextmanager
def _made(directory: int, name: str) -> Iterator[int]:
    """A new empty file, open; its name stays."""
    fd = os.open(name, _FLAGS, 0o600, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def _mode_kept(fd: int, mode: int) -> int:
    """The permissions of the file once it was given these."""
    with suppress(OSError):
        os.fchmod(fd, mode)
    return stat.S_IMODE(os.fstat(fd).st_mode)


def _gives_leases(directory: int, name: str, device: int) -> bool:
    """Whether it does for a file that nobody has open; NFS may for one that was just made, and no other."""
    if any(mount.device == device and mount.shared for mount in mounts()):
        return False
    fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return error.errno != errno.EAGAIN
    except AttributeError:  # no Linux: nobody asks for one
        return False
    finally:
        os.close(fd)
    return True


def _holds(directory: int, name: str) -> bool:
    """Whether a file can have this very name."""
    try:
        with _made(directory, name):
            return name in os.listdir(directory)
    except OSError:
        return False


def _holds_links(directory: int, name: str) -> bool:
    try:
        os.symlink("nowhere", name, dir_fd=directory)
    except OSError:
        return False
    return True


def _is_exact(directory: int, name: str) -> bool:
    """Whether what has ``name`` is found under no other; who lists it under another cannot be asked."""
    if name not in os.listdir(directory):
        return True
    others = (name.upper(), unicodedata.normalize("NFD", name))
    return not any(_is_there(directory, other) for other in others)


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except OSError:
        return False
    return True
