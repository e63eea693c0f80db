"""The archive of the simulated disk. To the disk's hook its operations are "archive:keep" and so on, at the
number of the file."""

from collections.abc import Sequence

from p2pdrive.errors import NotWritable, Unreadable
from p2pdrive.folder.archive import PATH
from p2pdrive.folder.temporary import number_of
from p2pdrive.lab.handles import SimulatedReadHandle
from p2pdrive.lab.inodes import Directory, File
from p2pdrive.lab.opened import Opened, Operation
from p2pdrive.model.paths import STATE_DIRECTORY


class SimulatedArchive:
    """See ``Archive``."""

    def __init__(self, opened: Opened) -> None:
        self._opened = opened
        self._volume = opened.volume
        state = self._volume.find(STATE_DIRECTORY)
        assert isinstance(state, Directory)
        if self._volume.look(state, "archive") is None:
            self._volume.link(state, "archive", Directory(self._volume.number(), self._volume.stamp()))
        self._directory = self._volume.look(state, "archive")

    def keep(self, displaced: str) -> None:
        """See ``Archive``."""
        number = number_of(displaced)
        with self._operation("keep", number, NotWritable):
            try:
                self._volume.rename(self._opened.area, displaced, self._held, f"{number:x}")
            except FileNotFoundError:
                if self._volume.look(self._held, f"{number:x}") is None:
                    raise

    def numbers(self) -> Sequence[int]:
        """See ``Archive``."""
        return sorted(int(name, 16) for name, _ in self._held.entries.values())

    def open(self, number: int) -> SimulatedReadHandle:
        """See ``Archive``."""
        with self._operation("open", number, Unreadable):
            inode = self._volume.there(self._held, f"{number:x}")
            return SimulatedReadHandle(self._opened, inode, f"{PATH}/{number:x}")

    def discard(self, number: int) -> int:
        """See ``Archive``."""
        with self._operation("discard", number, NotWritable):
            inode = self._volume.look(self._held, f"{number:x}")
            if inode is None:
                return 0
            self._volume.unlink(self._held, f"{number:x}")
            return inode.charge if isinstance(inode, File) else 0

    @property
    def _held(self) -> Directory:
        assert isinstance(self._directory, Directory)
        return self._directory

    def _operation(self, name: str, number: int, access: type[Unreadable | NotWritable]) -> Operation:
        return Operation(self._opened, f"archive:{name}", f"{number:x}", PATH, access)
