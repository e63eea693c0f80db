"""Looking through directories that cannot be watched, and remembering little of them: a number for each.

It costs some microseconds a file, where a scan with the index in hand costs ten times as much.
"""

import os
import stat
import time
from collections.abc import Callable, Iterable

from p2pdrive.model.paths import STATE_DIRECTORY, join


class Poller:
    """Looks through directories beneath ``root``, an absolute path.

    ``directories`` were looked through the last time, which took ``seconds``.
    """

    def __init__(self, root: str, ignored: Callable[[str], bool]) -> None:
        self._root = root
        self._ignored = ignored
        self._known: dict[str, int] = {}
        self.seconds = 0.0

    @property
    def directories(self) -> int:
        """How many there are."""
        return len(self._known)

    def look(self, starts: Iterable[str]) -> set[str]:
        """Look through these directories (the root is the empty path) and all that are in them. Returns those
        in which something is not as it was the time before: a name, a time, a size. What is met for the first
        time is returned too."""
        began = time.monotonic()
        known: dict[str, int] = {}
        waiting = list(starts)
        while waiting:
            directory = waiting.pop()
            if directory not in known:
                known[directory] = self._look_into(directory, waiting)
        changed = {path for path, number in known.items() if self._known.get(path) != number}
        self._known = known
        self.seconds = time.monotonic() - began
        return changed

    def _look_into(self, directory: str, waiting: list[str]) -> int:
        """A number that tells what is in it; what is to be looked into is added to ``waiting``."""
        number = 0
        try:
            with os.scandir(join(self._root, directory) if directory else self._root) as entries:
                for entry in entries:
                    number ^= self._number_of(directory, entry, waiting)
        except OSError as error:
            number = hash((number, error.errno))
        return number

    def _number_of(self, directory: str, entry: "os.DirEntry[str]", waiting: list[str]) -> int:
        try:
            found = entry.stat(follow_symlinks=False)
        except OSError:
            return 0
        if not stat.S_ISDIR(found.st_mode):
            return hash((entry.name, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns))
        path = join(directory, entry.name)
        if path == STATE_DIRECTORY or not _is_utf8(entry.name) or self._ignored(path):
            return 0
        waiting.append(path)
        return hash((entry.name, found.st_ino))


def _is_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
