"""What an error of the operating system means for the drive."""

import errno
from collections.abc import Callable, Iterable

from p2pdrive.errors import Changed, DiskFull, NotWritable, RootMissing, Unreadable, WorldError

_FULL = {errno.ENOSPC, errno.EDQUOT}
_CHANGED = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EEXIST,
    errno.ELOOP,
    errno.EISDIR,
    errno.ENXIO,
    errno.ENOTEMPTY,
}


def fault(error: OSError | OverflowError, path: str, access: type[Unreadable | NotWritable]) -> WorldError:
    """The error of ours for one met while reading or writing (``access``) at ``path``."""
    verb = "read" if access is Unreadable else "written"
    if not isinstance(error, OSError):
        return access(f"{path}: cannot be {verb}: a number is too large for this system ({error})")
    why = error.strerror or str(error)
    if error.errno in _FULL:
        return DiskFull(f"{path}: no space left on this disk ({why}); free some, and it is tried again")
    if error.errno in _CHANGED:
        return Changed(f"{path}: not what was expected there ({why})")
    if error.errno in (errno.EACCES, errno.EPERM):
        return access(f"{path}: may not be {verb} ({why}); give this account the permission to")
    return access(f"{path}: cannot be {verb} ({why})")


def failures(names: Iterable[str], act: Callable[[str], None]) -> dict[str, WorldError]:
    """Do it for each, whatever becomes of the others; for which it failed, and why. Raises RootMissing."""
    failed: dict[str, WorldError] = {}
    for name in names:
        try:
            act(name)
        except RootMissing:
            raise
        except WorldError as error:
            failed[name] = error
    return failed
