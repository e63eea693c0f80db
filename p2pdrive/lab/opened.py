"""The simulated folder as one process has it open: for as long as the process lives and the root is there."""

from types import TracebackType

from p2pdrive.errors import NotWritable, RootMissing, Unreadable, WorldError
from p2pdrive.folder.faults import fault
from p2pdrive.folder.temporary import PATH as TEMPORARY_PATH
from p2pdrive.lab.disk import Disk
from p2pdrive.lab.inodes import Directory
from p2pdrive.model.paths import STATE_DIRECTORY

_AREA = TEMPORARY_PATH.removeprefix(f"{STATE_DIRECTORY}/")


class Opened:
    """Opens the folder on ``disk``, its temporary ``area`` held. Raises RootMissing."""

    def __init__(self, disk: Disk) -> None:
        self.disk = disk
        self.volume = disk.volume
        self._run = disk.runs
        state = self.volume.find(STATE_DIRECTORY)
        if not disk.present or not isinstance(state, Directory):
            raise root_missing()
        if self.volume.look(state, _AREA) is None:
            self.volume.link(state, _AREA, Directory(self.volume.number(), self.volume.stamp()))
        area = self.volume.look(state, _AREA)
        assert isinstance(area, Directory)
        self.area = area

    def present(self) -> bool:
        """Whether it is still where it was, its temporary area in it."""
        return self.disk.present and self.volume.find(TEMPORARY_PATH) is self.area

    def step(self, name: str, path: str, when: str = "before") -> None:
        """See ``Disk.step``."""
        self.disk.step(when, name, path, self._run)

    def alive(self) -> bool:
        """Whether the process lives."""
        return self._run == self.disk.runs

    def translated(
        self, error: OSError | OverflowError, path: str, access: type[Unreadable | NotWritable]
    ) -> WorldError:
        """The error of ours for one of the system."""
        return fault(error, path, access) if self.present() else root_missing()


class Operation:
    """Hooks around what is done in it, and errors of the system become ours; they name ``shown``."""

    __slots__ = ("_access", "_name", "_opened", "_path", "_shown")

    def __init__(
        self, opened: Opened, name: str, path: str, shown: str, access: type[Unreadable | NotWritable]
    ) -> None:
        self._opened = opened
        self._name = name
        self._path = path
        self._shown = shown
        self._access = access

    def __enter__(self) -> None:
        try:
            self._opened.step(self._name, self._path)
        except OSError as error:
            raise self._opened.translated(error, self._shown, self._access) from error
        if not self._opened.disk.present:
            raise root_missing()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self._opened.step(self._name, self._path, "after")
        elif isinstance(error, OSError | OverflowError):
            raise self._opened.translated(error, self._shown, self._access) from error


def root_missing() -> RootMissing:
    """The root, or what must be in it, is away."""
    return RootMissing(
        f"the drive's folder is not there any more, or not its {STATE_DIRECTORY}; "
        "nothing was deleted, bring it back and syncing goes on"
    )
