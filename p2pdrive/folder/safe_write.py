"""The safe write: every way in which a name in the folder changes hands, step by step.

The caller has opened the parents; all steps stay in those very directories. What is to be taken from a path
is left alone while a program writes it (``InUse``): nothing moves, and no watcher wakes anyone to try again.
What was taken is looked at once more, and put back if it is not the version that was to go. Errors are plain
OSError, and ``Changed``, with everything in place again but for what a docstring says.
"""

import errno
import os
from contextlib import suppress
from itertools import count
from threading import Lock
from typing import Protocol

from p2pdrive.errors import Changed, InUse, LeftDisplaced, RootMissing, WorldError
from p2pdrive.folder.attributes import as_made_in, keep
from p2pdrive.folder.carry import carry
from p2pdrive.folder.files import FileKind, Published, Stat
from p2pdrive.folder.ignore import SIBLING_PREFIX
from p2pdrive.folder.place import Place, look
from p2pdrive.folder.syscalls import SystemCalls
from p2pdrive.folder.temporary import DISPLACED, TemporaryArea

#: What is said of a file that a program has open for writing.
IN_USE = "is open in another program: what others made of it is shown once that program closes it."


class SafeWrite:
    """Changes names between the folder and its temporary area.

    ``gap`` is held while a path that is being replaced has nothing at it.
    """

    def __init__(self, calls: SystemCalls, temporary: TemporaryArea, gap: Lock) -> None:
        self._calls = calls
        self._temporary = temporary
        self._gap = gap
        self._siblings = count(1)

    def publish(
        self,
        source: Place,
        target: Place,
        path: str,
        expected: Stat | None,
        finished: Stat | None,
        private: bool | None,
    ) -> Published:
        """Give ``source`` of the temporary area the name ``target``, which is ``path`` in the drive.

        ``finished`` is what ``source`` is, where that is known. ``private``: see ``Files.finish_temporary``.
        """
        new = expected is None and not source.name.startswith(DISPLACED)  # what was displaced is the person's
        if new and as_made_in(source, target.directory, private):
            finished = None
        try:
            spare = self._temporary.spare(path) if expected is not None else source
            return self._put(source, target, spare, expected, finished, private)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        return self._put_across(source, target, path, expected, private, new=new)

    def move(self, old: Place, new: Place, expected: Stat) -> Stat | None:
        """Rename within the folder, and check what was renamed; None, and nothing done, if no one call can.

        Killed in between: it is at one of the two places.
        """
        self._expect_at_rest(old, expected)
        try:
            if not self._calls.move_new(*old, *new):
                return None
        except OSError as error:
            if error.errno == errno.EXDEV:
                return None
            raise
        found = look(new)
        if found is None:
            return expected  # what was taken away at once was there
        if self._as_expected(new, expected) or (found.same_version(expected) and look(new) is None):
            return found
        # It was edited, or is open by now. Back it goes; if its old name is taken again, both stay visible.
        self._put_back(new, old)
        raise Changed(f"{old.name}: changed just before it was to be renamed")

    def remove(self, target: Place, path: str, expected: Stat) -> str:
        """Take ``target`` out of the folder; its name among the displaced.

        Killed in between: it is at ``target`` or among the displaced.
        """
        self._expect_at_rest(target, expected)
        spare = self._take(target, path)
        if not self._as_expected(spare, expected):
            self._put_back(spare, target)
            raise Changed(f"{path}: changed just before it was to be removed")
        return self._home(spare, path)

    # --- putting ---------------------------------------------------------------------------------
    def _put(
        self,
        source: Place,
        target: Place,
        spare: Place,
        expected: Stat | None,
        finished: Stat | None,
        private: bool | None,
    ) -> Published:
        """``source`` gets to ``target``, and ``expected`` from there to ``spare``, beside ``source``."""
        if expected is None:
            ours = finished if finished is not None else _there(source)
            self._calls.rename_new(*source, *target)
            return Published(_settled(target, ours), None)
        self._expect_at_rest(target, expected)
        if _there(source).kind is expected.kind is FileKind.FILE:
            keep(source, target, private)
        ours = _there(source)
        # From here on nobody writes to it, for after a kill this name may be what was displaced.
        self._calls.rename_new(*source, *spare)
        try:
            exchanged = self._calls.exchange(*spare, *target)
        except OSError:
            self._calls.rename_new(*spare, *source)
            raise
        if not exchanged:
            self._calls.rename_new(*spare, *source)
            self._replace_by_renames(source, target, spare, expected)
        elif not self._as_expected(spare, expected):
            self._exchange_back(source, target, spare, ours)
            raise Changed(f"{target.name}: changed just before it was to be replaced")
        return Published(_settled(target, ours), spare.name)

    def _exchange_back(self, source: Place, target: Place, spare: Place, ours: Stat) -> None:
        """Undo: the edit that was displaced gets its path again, ``source`` its name."""
        try:
            self._calls.exchange(*spare, *target)
        except FileNotFoundError:  # our new version was removed at once; the edit takes its place
            self._put_back(spare, target)
            return
        found = look(spare)
        if found is not None and found.same_version(ours) and not self._calls.being_written(*spare):
            self._calls.rename_new(*spare, *source)
        # Else an edit of our new version came back: it stays displaced, and the earlier one has the path.

    def _replace_by_renames(self, source: Place, target: Place, spare: Place, expected: Stat) -> None:
        """Where two names cannot be exchanged: the old version steps aside first, so that none is lost.

        RACE: for a moment there is nothing at ``target``. No content is at risk; ``Files.stat`` waits for
        the gap to close before it says so; after a kill the old version is in ``spare``.
        """
        with self._gap:
            _rename(target, spare)
            try:
                if not self._as_expected(spare, expected):
                    raise Changed(f"{target.name}: changed just before it was to be replaced")
                self._calls.rename_new(*source, *target)
            except (OSError, Changed):
                self._put_back(spare, target)
                raise

    def _put_across(
        self,
        source: Place,
        target: Place,
        path: str,
        expected: Stat | None,
        private: bool | None,
        *,
        new: bool,
    ) -> Published:
        """``_put`` for a parent on another file system: by a copy in the parent itself.

        Killed in between: a copy, or what was displaced, stays beside ``path`` under a name of ours, which
        a scan reports. The same if what was displaced does not fit into the temporary area (DiskFull).
        """
        sibling = self._sibling(target)
        carry(source, sibling)
        try:
            if new:
                as_made_in(sibling, target.directory, private)
            put = self._put(sibling, target, self._sibling(target), expected, None, private)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(sibling.name, dir_fd=sibling.directory)
            raise
        self._temporary.discard(source.name)
        if put.displaced is None:
            return put
        return Published(put.stat, self._home(Place(target.directory, put.displaced), path))

    # --- taking ----------------------------------------------------------------------------------
    def _expect_at_rest(self, target: Place, expected: Stat) -> None:
        """Before anything is touched: raise Changed unless all of ``expected`` holds, InUse if it is open."""
        _expect(target, expected)
        if expected.kind is FileKind.FILE and self._calls.being_written(*target):
            raise InUse(IN_USE)

    def _take(self, target: Place, path: str) -> Place:
        """Rename what is at ``target`` out of the folder; its new place, of ours."""
        spare = self._temporary.spare(path)
        try:
            _rename(target, spare)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            spare = self._sibling(target)
            _rename(target, spare)
        return spare

    def _as_expected(self, taken: Place, expected: Stat) -> bool:
        """Whether what was just taken is the version that was to go, and nobody is writing it.

        Writers are looked for first: one who has closed the file by then has left a trace in it.
        RACE: our rename moved its ctime. So one who opened it since the look before, wrote as many bytes as
        there were, set its time back and closed it has left none. Microseconds; the bytes go where it goes.
        """
        if expected.kind is FileKind.FILE and self._calls.being_written(*taken):
            return False
        found = look(taken)
        return found is not None and found.same_version(expected)

    def _put_back(self, taken: Place, path: Place) -> None:
        """Return what was taken; where yet another file has come there, both stay where they are."""
        with suppress(FileExistsError):
            self._calls.rename_new(*taken, *path)

    def _home(self, spare: Place, path: str) -> str:
        """The name of a displaced file in the temporary area, carried there if it is not in it."""
        if spare.directory == self._temporary.fd:
            return spare.name
        home = self._temporary.spare(path)
        carry(spare, home)
        os.unlink(spare.name, dir_fd=spare.directory)
        return home.name

    def _sibling(self, target: Place) -> Place:
        """A free name of ours beside ``target``."""
        while look(place := Place(target.directory, f"{SIBLING_PREFIX}{next(self._siblings):x}")) is not None:
            pass
        return place


class _Folder(Protocol):
    """What two steps need of ``Files``."""

    def remove(self, path: str, expected: Stat) -> str: ...

    def publish(self, name: str, path: str, expected: Stat | None) -> Published: ...


def move_in_two_steps(files: _Folder, source: str, path: str, expected: Stat) -> Stat:
    """``Files.move`` where no one call can: by way of the temporary area. Raises what that does."""
    displaced = files.remove(source, expected)
    try:
        return files.publish(displaced, path, None).stat
    except WorldError as error:
        try:
            files.publish(displaced, source, None)
        except (Changed, RootMissing):
            pass  # another file came there; or the whole drive is offline
        except WorldError:
            raise LeftDisplaced(str(error), displaced) from error
        raise


def _rename(source: Place, free: Place) -> None:
    """Rename to a name of ours that is known to be free."""
    os.rename(source.name, free.name, src_dir_fd=source.directory, dst_dir_fd=free.directory)


def _expect(place: Place, expected: Stat) -> None:
    """Raise Changed unless all of ``expected`` holds right now."""
    assert expected.kind in (FileKind.FILE, FileKind.SYMLINK)
    if look(place) != expected:
        raise Changed(f"{place.name}: is not what it was when this was planned")


def _settled(place: Place, ours: Stat) -> Stat:
    """What we put there as it is now; as it was before where someone has changed it already."""
    found = look(place)
    return found if found is not None and found.same_version(ours) else ours


def _there(place: Place) -> Stat:
    found = look(place)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), place.name)
    return found
