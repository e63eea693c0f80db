"""The first record of a drive, which names it."""

from dataclasses import dataclass

import msgpack
from blake3 import blake3

from p2pdrive.errors import RecordRefused
from p2pdrive.limits import BLOCK_BYTES_MAX, BLOCK_BYTES_MIN, KIB, LABEL_BYTES_MAX, MIB

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Chunking:
    """How the members of a drive cut files into blocks; sizes in bytes."""

    minimum: int = 64 * KIB
    average: int = 256 * KIB
    maximum: int = MIB
    normalisation: int = 2


@dataclass(frozen=True, slots=True)
class Genesis:
    """``admin`` is the first member; ``nonce`` (16 random bytes) makes two drives of one name differ."""

    name: str
    admin: bytes
    admin_name: str
    nonce: bytes
    created: int  # hybrid clock reading
    chunking: Chunking = Chunking()

    def encode(self) -> bytes:
        """The bytes whose hash is the drive's id."""
        cut = self.chunking
        sizes = [cut.minimum, cut.average, cut.maximum, cut.normalisation]
        fields = [FORMAT, self.name, self.admin, self.admin_name, self.nonce, self.created, sizes]
        return bytes(msgpack.packb(fields))

    @property
    def drive(self) -> bytes:
        """The drive's id, 32 bytes."""
        return blake3(self.encode()).digest()

    @classmethod
    def decode(cls, data: bytes) -> "Genesis":
        """Raises RecordRefused for anything but what ``encode`` gives."""
        try:
            form, name, admin, admin_name, nonce, created, sizes = msgpack.unpackb(data)
            genesis = cls(name, admin, admin_name, nonce, created, Chunking(*sizes))
            sound = form == FORMAT and genesis.encode() == data and _sound(genesis)
        except (ValueError, TypeError, AttributeError, OverflowError, msgpack.UnpackException) as error:
            raise RecordRefused("the drive's first record cannot be read") from error
        if not sound:
            raise RecordRefused("the drive's first record is not of a form that this version knows")
        return genesis


def _sound(genesis: Genesis) -> bool:
    cut = genesis.chunking
    sizes = (cut.minimum, cut.average, cut.maximum, cut.normalisation)
    return (
        0 < len(genesis.name.encode()) <= LABEL_BYTES_MAX
        and 0 < len(genesis.admin_name.encode()) <= LABEL_BYTES_MAX
        and (type(genesis.admin), len(genesis.admin)) == (bytes, 32)
        and (type(genesis.nonce), len(genesis.nonce)) == (bytes, 16)
        and all(type(number) is int for number in (genesis.created, *sizes))
        and 0 <= genesis.created < 1 << 63
        and BLOCK_BYTES_MIN <= cut.minimum < cut.average < cut.maximum <= BLOCK_BYTES_MAX
        and cut.normalisation in (0, 1, 2, 3)
    )
