"""Files with several names (hard links), of which one run takes one name after the other."""

from contextlib import suppress

from p2pdrive.errors import Changed, Unreadable
from p2pdrive.folder.files import Files, Stat


class Linked:
    """What such files are as we left them: each take of a name moves the ctime of all the others, and none of
    these is an edit."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._left: dict[int, tuple[Stat, Stat]] = {}  # by inode: as it was planned for, as it is now

    def left(self, expected: Stat | None, now: Stat) -> None:
        """A name of the file that was ``expected`` was taken, and the file is ``now``."""
        if expected is not None and expected.links > 1:
            planned, left = self._left.get(expected.inode, (expected, expected))
            self._left[expected.inode] = (planned if left == expected else expected, now)

    def displaced(self, expected: Stat | None, name: str) -> None:
        """The same; that name was taken out of the folder, and the file is displaced as ``name``."""
        if expected is not None and expected.links > 1:
            with suppress(Changed, Unreadable), self._files.open_displaced(name) as handle:
                self.left(expected, handle.stat())

    def as_left(self, planned: Stat | None) -> Stat | None:
        """What a file that was ``planned`` for is to be now."""
        if planned is None or planned.links == 1:
            return planned
        first, left = self._left.get(planned.inode, (planned, planned))
        return left if first == planned else planned
