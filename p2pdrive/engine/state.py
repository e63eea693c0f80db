"""Whether a drive's ``.p2pdrive`` is still the one that was opened."""

import os
from pathlib import Path

from p2pdrive.errors import RootMissing
from p2pdrive.model.paths import STATE_DIRECTORY

#: What is never replaced while a drive is open.
_LASTING = ("index.db", "packs")


class State:
    """The state of the drive in the folder ``root``, as it is when this is made. Costs three stats a check.

    Raises RootMissing where it is not whole.
    """

    def __init__(self, root: str) -> None:
        self._directory = Path(root, STATE_DIRECTORY)
        self._opened = self._identities()

    def check(self) -> None:
        """Raises RootMissing where a part of it is gone, or another than was opened."""
        if self._identities() != self._opened:
            raise RootMissing(f"{self._directory} is not the one that was opened.")

    def _identities(self) -> list[tuple[int, int]]:
        try:
            os.stat(self._directory / "FORMAT", follow_symlinks=False)
            found = [os.stat(self._directory / name, follow_symlinks=False) for name in _LASTING]
        except OSError as error:
            raise RootMissing(f"{self._directory} is not whole ({error.strerror}).") from error
        return [(each.st_dev, each.st_ino) for each in found]
