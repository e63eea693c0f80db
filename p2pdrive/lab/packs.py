"""Which bytes of a machine's packs are durable, and what a power loss makes of the others."""

import errno
import os
from pathlib import Path
from random import Random


class PackDurability:
    """Over the real directory of packs; ``sync`` is what the node is given for ``os.fsync``."""

    def __init__(self, directory: Path, random: Random) -> None:
        self._directory = directory
        self._random = random
        self._sizes: dict[str, int] = {}  # durable bytes of each pack
        self._names: set[str] = set()  # durable names
        self.failing = False  # the disk cannot sync
        self.full = False

    def sync(self, descriptor: int) -> None:
        """Make a pack, or the directory itself, durable."""
        if self.failing:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.name.endswith(".pack"):
            self._sizes[path.name] = os.fstat(descriptor).st_size
        else:
            self._names = set(os.listdir(descriptor))

    def all_durable(self) -> None:
        """What is there has been there for long."""
        names = sorted(os.listdir(self._directory)) if self._directory.exists() else []
        self._names = set(names)
        self._sizes = {name: (self._directory / name).stat().st_size for name in names}

    def crash(self) -> None:
        """Of what was not synced, any part may be lost."""
        if not self._directory.exists():
            return
        for name in sorted(os.listdir(self._directory)):
            path = self._directory / name
            if name not in self._names and self._random.random() < 0.5:
                path.unlink()
            else:
                self._crash_pack(path, self._sizes.get(name, 0))
        self.all_durable()

    def _crash_pack(self, path: Path, durable: int) -> None:
        size = path.stat().st_size
        if size <= durable:
            return
        kept = self._random.randint(durable, size)
        with path.open("r+b") as pack:
            if self._random.random() < 0.5:  # its length became durable before its bytes
                pack.seek(kept)
                pack.write(bytes(size - kept))
            else:
                pack.truncate(kept)

    def rot(self) -> str | None:
        """Change some bytes of some pack; its name, if there is one."""
        names = sorted(os.listdir(self._directory)) if self._directory.exists() else []
        names = [name for name in names if (self._directory / name).stat().st_size]
        if not names:
            return None
        name = self._random.choice(names)
        path = self._directory / name
        with path.open("r+b") as pack:
            pack.seek(self._random.randrange(path.stat().st_size))
            pack.write(self._random.randbytes(8))
        return name
