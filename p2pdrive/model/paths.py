"""Portable drive-relative paths.

A path is UTF-8 text, its names separated by ``/``, relative to the drive's root, which itself is the
empty path. The same rules hold for a name found on disk and for one that a peer sends.
"""

from functools import lru_cache

from p2pdrive.limits import NAME_BYTES_MAX, PATH_BYTES_MAX, PATH_NAMES_MAX

#: A drive's own folder at its root; no record may name one, at any depth, in whatever case.
STATE_DIRECTORY = ".p2pdrive"
#: The file at the root with a person's ignore rules; it is synced like any other.
IGNORE_FILE = ".p2pdriveignore"

_INVERTED = bytes(255 - byte for byte in range(256))


@lru_cache(8192)  # asked several times about each path while it is settled and shown
def refusal(path: str) -> str | None:
    """Why ``path`` may not be in a drive, in words; None where it may."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8"
    if not encoded:
        return "the path is empty"
    if len(encoded) > PATH_BYTES_MAX:
        return f"the path is longer than {PATH_BYTES_MAX} bytes"
    if "\0" in path:
        return "its name contains a NUL"
    if path.count("/") >= PATH_NAMES_MAX:
        return f"the path has more than {PATH_NAMES_MAX} names, one folder in another"
    for name in path.split("/"):
        if name[:1] in ("", "."):
            if name.casefold() == STATE_DIRECTORY:
                return f"{STATE_DIRECTORY} is p2pdrive's own"
            if name in ("", ".", ".."):
                return "the path is absolute, or has an empty, '.' or '..' part"
        if len(encoded) > NAME_BYTES_MAX and len(name.encode()) > NAME_BYTES_MAX:
            return f"a name is longer than {NAME_BYTES_MAX} bytes"
    return None


@lru_cache(8192)
def key(path: str) -> bytes:
    """Sort key: a directory is directly followed by all that is in it (``/`` sorts lowest)."""
    return path.encode().replace(b"/", b"\0")


def inside_first(path: str) -> bytes:
    """Sort key by which all that is in a directory comes before the directory itself."""
    return key(path).translate(_INVERTED) + b"\xff\xff"


def from_key(value: bytes) -> str:
    """The path of a sort key."""
    return value.replace(b"\0", b"/").decode()


def parent(path: str) -> str:
    """The directory that holds ``path``; the empty path for one at the root."""
    return path.rpartition("/")[0]


def name(path: str) -> str:
    """The last part of ``path``."""
    return path.rpartition("/")[2]


def join(directory: str, child: str) -> str:
    """The path of ``child`` in ``directory``."""
    return f"{directory}/{child}" if directory else child


def within(path: str, directory: str) -> bool:
    """Whether ``path`` is ``directory`` or in it; all is in the root."""
    return not directory or path == directory or path.startswith(directory + "/")


def ancestors(path: str) -> list[str]:
    """The directories above ``path``, nearest first, the root left out."""
    found = []
    while path := parent(path):
        found.append(path)
    return found
