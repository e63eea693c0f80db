"""A disk of a few megabytes, for a host that is to run out of room."""

from contextlib import suppress
from pathlib import Path

from p2pdrive.lab.hosts.process import call

_PIECE_BYTES = 64 * 1024


class LimitedDisk:
    """A file system in memory, of ``size`` bytes, mounted at ``path`` in the stage's own namespace.

    It goes with the namespace, not before: the check of the end looks into it. Raises WorldError.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._path = path
        self._ballast = path / "ballast"
        call("mount", "-t", "tmpfs", "-o", f"size={size},mode=700", "p2pdrive-lab", str(path))

    def fill(self) -> None:
        """Leaves no room."""
        with suppress(OSError), open(self._ballast, "wb", buffering=0) as file:
            while True:
                file.write(bytes(_PIECE_BYTES))

    def grow(self, size: int) -> None:
        """Makes it larger, ``size`` bytes, and takes away what filled it."""
        self._ballast.unlink(missing_ok=True)
        call("mount", "-o", f"remount,size={size}", str(self._path))
