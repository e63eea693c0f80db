"""What a file has beside its bytes and time: owner, group, permissions, access list, extended attributes.

What replaces a file gets what the person here gave the file (``keep``), and what is new is as if that person
had made it in its folder (``as_made_in``). Never may anyone do more with the file than before, not even for a
moment: while its owner and list change, it is its owner's alone. Errors are plain OSError.
"""

import errno
import os
import stat
from contextlib import suppress

from p2pdrive.folder import acl
from p2pdrive.folder.disks import disk_of
from p2pdrive.folder.place import Place

#: How a system says that something is not for us to set, or not for this file system to keep.
_REFUSED = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENODATA}
_ALL = 0o777
_OWNERS = 0o700
_OTHERS = 0o007
_WRITABLE = 0o600  # or no attribute could be set
_LISTS = hasattr(os, "listxattr")


def umask() -> int:
    """What new files of this process are not to have. No other thread may make files meanwhile."""
    found = os.umask(0o077)
    os.umask(found)
    return found


def mode_for(mode: int, executable: bool, private: bool | None, new: int) -> int:
    """``mode`` with execution allowed to all who may read, or to nobody; as it is where that says so.

    ``private``: for nobody but the owner, or for others too, who may do what the owner may and a file that is
    ``new`` lets them do; None: as it is.
    """
    mode &= _ALL
    if (mode & stat.S_IXUSR != 0) != executable:
        mode &= 0o666
        mode |= (mode & 0o444) >> 2 if executable else 0
    return _opened(mode, private, new)


def set_directory_private(fd: int, private: bool, new_mode: int) -> None:
    """Close an open directory to others, or open it as far as ``new_mode`` opens files.

    Another account's stays as it is.
    """
    mode = stat.S_IMODE(os.fstat(fd).st_mode)
    wanted = mode & ~_ALL | _opened(mode & _ALL, private, new_mode)
    with suppress(PermissionError):
        os.fchmod(fd, wanted)


def _opened(mode: int, private: bool | None, new: int) -> int:
    if private:
        return mode & _OWNERS
    if private is None or mode & ~_OWNERS:
        return mode
    return mode | (mode >> 3 | mode >> 6) & (new | (new & 0o444) >> 2)


def keep(ours: Place, theirs: Place, private: bool | None = None) -> None:
    """Give ``ours``, a file, what ``theirs`` has, which it is to replace; its executable bit stays its own.

    ``private``: for nobody but the owner, or for others too, as ``ours`` is so far; None: as ``theirs``.

    An account other than root's cannot give files away: the owner is then the node's, and a group that the
    node's account is no member of may do no more than everybody. Set-id bits go, as with every write.
    """
    own, old = _raw(ours), _raw(theirs)
    if not disk_of(own.st_dev).modes:
        return
    mode = mode_for(old.st_mode, own.st_mode & stat.S_IXUSR != 0, private, own.st_mode)
    names = _kept_names(theirs)
    surplus = _kept_names(ours) - names
    moves = (own.st_uid, own.st_gid) != (old.st_uid, old.st_gid)
    if moves or names or surplus:
        os.chmod(ours.name, mode & _OWNERS | _WRITABLE, dir_fd=ours.directory)
        same_group = not moves or _give(ours, old.st_uid, old.st_gid)
        if not same_group:
            mode = mode & ~0o070 | (mode & _OTHERS) << 3
        for name in surplus:
            os.removexattr(_path(ours), name, follow_symlinks=False)
        refused = [name for name in sorted(names) if not _copy(name, ours, theirs, same_group)]
        if acl.ACCESS in refused:
            mode &= _OWNERS
    elif mode == stat.S_IMODE(own.st_mode):
        return
    os.chmod(ours.name, mode, dir_fd=ours.directory)


def as_made_in(ours: Place, directory: int, private: bool | None) -> bool:
    """Give ``ours``, which is new, what a file or symlink gets that is made in the open ``directory``.

    Returns whether that may have changed its permissions. What is ``private`` gets no list.
    """
    above = os.fstat(directory)
    if above.st_mode & stat.S_ISGID:
        with suppress(PermissionError):  # who may make files there need not be of that group
            os.chown(ours.name, -1, above.st_gid, dir_fd=ours.directory, follow_symlinks=False)
    default = _read(Place(directory, "."), acl.DEFAULT) if _LISTS and not private else None
    if default is None:
        return False
    mode = _raw(ours).st_mode
    if stat.S_ISREG(mode):
        given = acl.for_new(default, executable=mode & stat.S_IXUSR != 0)
        if not _write(ours, acl.ACCESS, given):
            os.chmod(ours.name, mode & _OWNERS, dir_fd=ours.directory)
    return True


def close_to_others(fd: int) -> None:
    """Let nobody but its owner into the open directory of ours, and none into what is made in it."""
    if stat.S_IMODE(os.fstat(fd).st_mode) & ~_OWNERS:
        with suppress(PermissionError):  # another account's, who has let us in
            os.fchmod(fd, _OWNERS)
    if _LISTS:
        with suppress(OSError):
            os.removexattr(fd, acl.DEFAULT)


def _give(ours: Place, owner: int, group: int) -> bool:
    """Change owner and group as far as that may be; whether it is of that group then."""
    for uid in (owner, -1):
        try:
            os.chown(ours.name, uid, group, dir_fd=ours.directory, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _REFUSED:
                raise
        else:
            return True
    return _raw(ours).st_gid == group


def _kept_names(place: Place) -> set[str]:
    """The extended attributes that follow a path. Capabilities go with each write, as the set-id bits do."""
    if not _LISTS:
        return set()
    try:
        names = os.listxattr(_path(place), follow_symlinks=False)
    except OSError as error:
        if error.errno not in _REFUSED | {errno.ENOENT}:  # there may be no /proc
            raise
        return set()
    return {name for name in names if name.startswith("user.") or name in (acl.ACCESS, "security.selinux")}


def _copy(name: str, ours: Place, theirs: Place, same_group: bool) -> bool:
    """Copy one attribute; whether that may be."""
    value = _read(theirs, name)
    if value is None:
        return False
    if name == acl.ACCESS and not same_group:
        value = acl.for_another_group(value)
    return _write(ours, name, value)


def _write(place: Place, name: str, value: bytes) -> bool:
    """Set an extended attribute; whether that may be."""
    try:
        os.setxattr(_path(place), name, value, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _REFUSED:
            raise
        return False
    return True


def _read(place: Place, name: str) -> bytes | None:
    try:
        return os.getxattr(_path(place), name, follow_symlinks=False)
    except OSError as error:
        if error.errno not in _REFUSED | {errno.ENOENT}:
            raise
        return None


def _path(place: Place) -> str:
    """Calls for extended attributes know no open directories."""
    return f"/proc/self/fd/{place.directory}/{place.name}"


def _raw(place: Place) -> os.stat_result:
    return os.stat(place.name, dir_fd=place.directory, follow_symlinks=False)
