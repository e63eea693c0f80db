"""A tree of directories watched by inotify(7).

A directory is watched first and listed then, so whatever appears in it is either listed or reported.
"""

import ctypes
import errno
import os
import select
import struct
from collections.abc import Callable, Iterable
from functools import cache

from p2pdrive.model.paths import STATE_DIRECTORY, ancestors, join

# <linux/inotify.h>
_MODIFY, _ATTRIB, _CLOSE_WRITE, _MOVED_FROM, _MOVED_TO = 0x2, 0x4, 0x8, 0x40, 0x80
_CREATE, _DELETE, _DELETE_SELF, _MOVE_SELF = 0x100, 0x200, 0x400, 0x800
_UNMOUNT, _OVERFLOW, _IGNORED = 0x2000, 0x4000, 0x8000
_ONLY_DIRECTORY, _DONT_FOLLOW, _EXCLUDE_UNLINKED, _IS_DIRECTORY = 0x1000000, 0x2000000, 0x4000000, 0x40000000
_MASK = (
    (
        _MODIFY
        | _ATTRIB
        | _CLOSE_WRITE
        | _MOVED_FROM
        | _MOVED_TO
        | _CREATE
        | _DELETE
        | _DELETE_SELF
        | _MOVE_SELF
    )
    | _ONLY_DIRECTORY
    | _DONT_FOLLOW
    | _EXCLUDE_UNLINKED
)
#: ``struct inotify_event``: watch, mask, cookie, length of the name that follows.
_EVENT = struct.Struct("=iIII")
_READ_BYTES = 256 * 1024
#: Who is refused what is in a directory, or does not find it, need not know what happens there.
_NOTHING_TO_SEE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES)


class Inotify:
    """Watches the tree at ``root``, an absolute path without symlinks. Left out are its ``.p2pdrive``, names
    that are not UTF-8, and directories that are ``ignored``.

    Raises OSError where no more instances are allowed. ``lost_root`` tells that the root is gone from its
    place. ``unwatched`` are directories that cannot be watched, with all that is in them; ``at_limit`` is
    why: no more watches are allowed. ``unmounted`` are those whose disk went.
    """

    def __init__(self, root: str, ignored: Callable[[str], bool] = lambda _: False) -> None:
        self.fd = _check(_library().inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        self.lost_root = False
        self.unwatched: set[str] = set()
        self.unmounted: set[str] = set()
        self.at_limit = False
        self._ignored = ignored
        self._poll = select.poll()
        self._poll.register(self.fd, select.POLLIN)
        self._root = root
        self._paths: dict[int, str] = {}
        self._watches: dict[str, int] = {}

    def watch_tree(self, start: str) -> None:
        """Watch ``start`` and all directories below it; fine where it is watched or gone already."""
        waiting = [start] if not (start and self._ignored(start)) else []
        while waiting:
            directory = waiting.pop()
            if not self._watch(directory):
                continue
            try:
                with os.scandir(self._absolute(directory)) as entries:
                    waiting += [
                        join(directory, entry.name)
                        for entry in entries
                        if _is_utf8(entry.name)
                        and entry.is_dir(follow_symlinks=False)
                        and (directory or entry.name != STATE_DIRECTORY)
                        and not self._ignored(join(directory, entry.name))
                    ]
            except OSError as error:
                if error.errno not in _NOTHING_TO_SEE:
                    self.unwatched.add(directory)

    def retry(self) -> set[str]:
        """Try again to watch what could not be; returns what is watched now."""
        self.at_limit = False
        watched: set[str] = set()
        for directory in sorted(self.unwatched):
            self.unwatched.discard(directory)
            self.watch_tree(directory)
            if directory in self._watches and directory not in self.unwatched:
                watched.add(directory)
            if self.at_limit:
                break
        return watched

    def follow_rules(self) -> set[str]:
        """``ignored`` says something else: let go of what is ignored now. Returns what is watched newly."""
        self._forget({path for path in {*self._watches, *self.unwatched} if path and self._ignored(path)})
        before = set(self._watches)
        self.watch_tree("")
        return set(self._watches).difference(before)

    def read(self, changed: set[str]) -> None:
        """Add the paths that events name, drive-relative; new directories are watched when it returns.

        A directory stands for all that is in it: the root for everything, after events were lost.
        """
        added: set[str] = set()
        gone: set[str] = set()
        while True:
            try:
                data = os.read(self.fd, _READ_BYTES)
            except BlockingIOError:
                break
            offset = 0
            while offset < len(data):
                watch, mask, _, length = _EVENT.unpack_from(data, offset)
                start = offset + _EVENT.size
                offset = start + length
                raw = data[start:offset].rstrip(b"\0")
                self._take(watch, mask, raw, changed, added, gone)
        if gone:
            self._forget(gone)
        if "" in changed:
            added.add("")
        for directory in sorted(added):
            self.watch_tree(directory)

    def has_more(self) -> bool:
        """Whether there is something to read."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Stop watching."""
        os.close(self.fd)

    def _take(
        self, watch: int, mask: int, raw: bytes, changed: set[str], added: set[str], gone: set[str]
    ) -> None:
        if mask & _OVERFLOW:
            changed.add("")
            return
        directory = self._paths.get(watch)
        if directory is None:
            return
        if mask & _UNMOUNT:
            self.unmounted.add(directory)
        if mask & (_IGNORED | _UNMOUNT | _DELETE_SELF | _MOVE_SELF):
            self.lost_root |= not directory
            if mask & _IGNORED:
                self._drop(watch, directory)
            return
        if not raw or (not directory and raw == STATE_DIRECTORY.encode()):
            return
        try:
            path = join(directory, raw.decode())
        except UnicodeDecodeError:
            changed.add(directory)  # where a scan finds it and says what is wrong
            return
        changed.add(path)
        if mask & _IS_DIRECTORY and mask & (_MOVED_FROM | _DELETE):
            gone.add(path)
        if mask & _IS_DIRECTORY and mask & (_MOVED_TO | _CREATE):
            added.add(path)
        elif mask & _IS_DIRECTORY and mask & _ATTRIB and path not in self._watches:
            added.add(path)  # it may be read now

    def _watch(self, directory: str) -> bool:
        path = os.fsencode(self._absolute(directory))
        watch = _library().inotify_add_watch(self.fd, path, _MASK)
        if watch < 0:
            number = ctypes.get_errno()
            if number not in _NOTHING_TO_SEE:
                self.unwatched.add(directory)
                self.at_limit |= number == errno.ENOSPC
            return False
        before = self._watches.get(directory, watch)
        if before != watch and self._paths.get(before) == directory:  # a disk was mounted there, say
            _library().inotify_rm_watch(self.fd, before)
            del self._paths[before]
        self._paths[watch] = directory
        self._watches[directory] = watch
        return True

    def _forget(self, gone: Iterable[str]) -> None:
        """Stop watching directories that left their place, with all below them."""
        gone = frozenset(gone)
        self.unwatched = {path for path in self.unwatched if gone.isdisjoint((path, *ancestors(path)))}
        for directory, watch in list(self._watches.items()):
            if directory in gone or not gone.isdisjoint(ancestors(directory)):
                _library().inotify_rm_watch(self.fd, watch)
                self._drop(watch, directory)

    def _drop(self, watch: int, directory: str) -> None:
        self._paths.pop(watch, None)
        if self._watches.get(directory) == watch:
            del self._watches[directory]

    def _absolute(self, directory: str) -> str:
        return join(self._root, directory) if directory else self._root


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


@cache
def _library() -> ctypes.CDLL:
    library = ctypes.CDLL(None, use_errno=True)
    library.inotify_init1.argtypes = (ctypes.c_int,)
    library.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)
    library.inotify_rm_watch.argtypes = (ctypes.c_int, ctypes.c_int)
    return library
