"""All that people wrote, and what each of them saw when they did: what may not be lost.

A version may be gone from all folders only if somebody who saw it wrote something else in its place, or
deleted it. Anything else has to be in a folder, at its path or beside it, or in the history of some host.
"""

import io
from dataclasses import dataclass, field
from pathlib import Path

from blake3 import blake3

from p2pdrive.blocks.chunking import Chunker
from p2pdrive.model.genesis import Chunking
from p2pdrive.model.manifest import Manifest

NOTHING = blake3(b"").digest()


@dataclass(frozen=True, slots=True)
class Version:
    """What one person wrote once; ``seconds`` since the beginning."""

    content: bytes  # its hash
    manifest: Manifest
    host: str
    path: str
    size: int
    seconds: float

    def __str__(self) -> str:
        return f"what {self.host} wrote to {self.path} after {self.seconds:.1f} s ({self.size} bytes)"


@dataclass
class Ledger:
    """Every version of every person. Contents are told apart by their hash."""

    versions: dict[bytes, Version] = field(default_factory=dict)
    #: Bytes of all versions.
    size: int = 0
    #: Contents that a person who saw them replaced or deleted.
    let_go: set[bytes] = field(default_factory=set)
    _chunker: Chunker = field(default_factory=lambda: Chunker(Chunking()))

    def wrote(self, host: str, path: str, data: bytes, replaced: bytes | None, seconds: float) -> None:
        """``replaced`` is what the person saw there before, None if there was nothing."""
        content = blake3(data).digest()
        if replaced is not None and replaced != data:
            self.let_go.add(blake3(replaced).digest())
        self.let_go.discard(content)
        manifest = self._chunker.chunk(io.BytesIO(data).readinto)
        self.size += len(data)
        self.versions[content] = Version(content, manifest, host, path, len(data), seconds)

    def deleted(self, data: bytes) -> None:
        """A person deleted what held this."""
        self.let_go.add(blake3(data).digest())

    def unaccounted(self, shown: set[bytes]) -> list[Version]:
        """Versions that are neither among the contents ``shown`` in folders nor were let go of."""
        gone = self.versions.keys() - shown - self.let_go - {NOTHING}
        return [self.versions[content] for content in gone]

    def invented(self, shown: dict[str, bytes]) -> list[str]:
        """Those paths in a folder (path → content) whose content nobody ever wrote."""
        known = self.versions.keys() | {NOTHING}
        return [path for path, content in shown.items() if content not in known]


def content_of(path: Path) -> bytes:
    """The hash of a file's content."""
    return blake3().update_mmap(path).digest()
