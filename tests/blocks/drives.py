"""A drive's store on a real disk, with a pretended folder to borrow from."""

import os
import shutil
from pathlib import Path

from blake3 import blake3

from p2pdrive.blocks.store import Store
from p2pdrive.errors import RootMissing
from p2pdrive.index.database import Database


def block_of(data: bytes) -> tuple[bytes, bytes]:
    return blake3(data).digest(), data


def noise(seed: int, size: int) -> bytes:
    """Bytes that do not compress, the same at every run."""
    return blake3(seed.to_bytes(8, "big")).digest(size)


class Folder:
    """The person's files by entry id, and whether their disk is there."""

    def __init__(self) -> None:
        self.files: dict[int, bytes] = {}
        self.gone = False
        self.reads = 0

    def read_range(self, entry: int, offset: int, view: memoryview) -> int:
        self.reads += 1
        if self.gone:
            raise RootMissing("the folder is not there")
        if entry not in self.files:
            raise FileNotFoundError(entry)
        piece = self.files[entry][offset : offset + len(view)]
        view[: len(piece)] = piece
        return len(piece)


class Drive:
    """One index and one store over ``directory``; ``reopen`` is what follows a crash."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(exist_ok=True)
        self.directory = directory
        self.folder = Folder()
        self._open()

    def _open(self) -> None:
        self.database = Database(str(self.directory / "index.db"))
        self.packs = self.directory / "packs"
        self._open_packs()

    def _open_packs(self) -> None:
        self.store = Store(self.database, self.packs, self.folder.read_range, self.sync)

    def sync(self, descriptor: int) -> None:
        """Make a pack durable; a test may let it fail."""
        os.fsync(descriptor)

    def add(self, *contents: bytes) -> list[bytes]:
        """Into packs, durably; gives their hashes."""
        self.store.add(block_of(content) for content in contents)
        self.store.flush()
        return [block_of(content)[0] for content in contents]

    def reopen(self) -> None:
        """As after a kill: nothing is flushed."""
        self.store._packs.close()
        self.database.close()
        self._open()

    def reopen_packs(self) -> None:
        """As ``reopen``, but for the index, which takes longer to open than the packs."""
        self.store._packs.close()
        self._open_packs()

    def close(self) -> None:
        self.store._packs.close()
        self.database.close()

    def copy(self, name: str) -> "Drive":
        """A closed drive's state at another place, opened there."""
        target = self.directory.parent / name
        shutil.copytree(self.directory, target)
        return Drive(target)
