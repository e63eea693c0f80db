"""Manifests: the ordered blocks that make up one version of a file."""

from collections.abc import Iterable, Iterator

from blake3 import blake3

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import BLOCK_BYTES_MAX

HASH_BYTES = 32
ENTRY_BYTES = 4 + HASH_BYTES


class Manifest:
    """An immutable list of (length, block) held as packed bytes: 36 bytes a block.

    ``root`` names the content: the block's own hash where there is one block, else the BLAKE3 of the
    packed bytes. With the number of blocks it is unambiguous, and a small file needs no manifest sent.
    """

    __slots__ = ("packed",)

    def __init__(self, packed: bytes) -> None:
        assert len(packed) % ENTRY_BYTES == 0
        self.packed = packed

    @classmethod
    def of(cls, blocks: Iterable[tuple[int, bytes]]) -> "Manifest":
        """From (length in bytes, block hash) pairs."""
        return cls(b"".join(length.to_bytes(4, "big") + block for length, block in blocks))

    @classmethod
    def single(cls, length: int, block: bytes) -> "Manifest":
        """The manifest of a content of one block."""
        return cls(length.to_bytes(4, "big") + block)

    @classmethod
    def received(cls, packed: bytes, root: bytes, size: int, count: int) -> "Manifest":
        """From what a peer sent, checked against what a record promises. Raises ProtocolViolation."""
        if len(packed) != count * ENTRY_BYTES:
            raise ProtocolViolation("a manifest does not have the number of blocks that its record says")
        manifest = cls(packed)
        if manifest.root != root:
            raise ProtocolViolation("a manifest does not match its hash")
        if any(not 0 < length <= BLOCK_BYTES_MAX for length, _ in manifest) or manifest.size != size:
            raise ProtocolViolation("a manifest's lengths do not add up to the size that its record says")
        return manifest

    @property
    def root(self) -> bytes:
        """The name of the content, 32 bytes."""
        if len(self.packed) == ENTRY_BYTES:
            return self.packed[4:]
        return blake3(self.packed).digest()

    @property
    def size(self) -> int:
        """Bytes of the content."""
        return sum(length for length, _ in self)

    def __len__(self) -> int:
        return len(self.packed) // ENTRY_BYTES

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        packed = self.packed
        for at in range(0, len(packed), ENTRY_BYTES):
            yield int.from_bytes(packed[at : at + 4], "big"), packed[at + 4 : at + ENTRY_BYTES]

    def ranges(self) -> Iterator[tuple[int, int, bytes]]:
        """(offset, length, block) in the order of the content."""
        offset = 0
        for length, block in self:
            yield offset, length, block
            offset += length

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.packed == other.packed

    def __hash__(self) -> int:
        return hash(self.packed)
