"""Batches: a signed run of records by one actor; an actor's batches form a hash chain, its log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgpack
from blake3 import blake3

from p2pdrive.errors import RecordRefused
from p2pdrive.limits import BATCH_BYTES_MAX, BATCH_RECORDS_MAX, LABEL_BYTES_MAX

FORMAT = 1
NO_BATCH = bytes(32)
_SIGNED = b"p2pdrive batch\0"
_ACTOR = "p2pdrive 2026 actor"


def actor_id(device: bytes, nonce: bytes) -> bytes:
    """The id of an actor, 16 bytes: bound to its device, so that no other device can claim it."""
    return blake3(device + nonce, derive_key_context=_ACTOR).digest()[:16]


@dataclass(frozen=True, slots=True)
class Header:
    """``first`` is the seq of the first of ``count`` records; ``previous`` the hash of the batch before;
    ``root`` the hash over the records' hashes; ``name`` the device's name, for people, when it wrote."""

    drive: bytes
    device: bytes
    nonce: bytes
    name: str
    first: int
    count: int
    previous: bytes
    root: bytes
    clock: int

    @property
    def actor(self) -> bytes:
        """The writing actor's id."""
        return actor_id(self.device, self.nonce)

    @property
    def last(self) -> int:
        """The seq of the last record."""
        return self.first + self.count - 1

    def encode(self) -> bytes:
        """The bytes that are signed and hashed."""
        fields = [FORMAT, self.drive, self.device, self.nonce, self.name, self.first, self.count]
        return bytes(msgpack.packb([*fields, self.previous, self.root, self.clock]))

    @property
    def hash(self) -> bytes:
        """The hash of the batch, 32 bytes: what the actor's next batch names as its previous."""
        return blake3(self.encode()).digest()

    @classmethod
    def decode(cls, data: bytes) -> "Header":
        """Raises RecordRefused for anything but what ``encode`` gives."""
        try:
            form, *fields = msgpack.unpackb(data)
            header = cls(*fields)
            sound = form == FORMAT and header.encode() == data and _sound(header)
        except (ValueError, TypeError, AttributeError, OverflowError, msgpack.UnpackException) as error:
            raise RecordRefused("a batch's header cannot be read") from error
        if not sound:
            raise RecordRefused("a batch's header is malformed")
        return header


@dataclass(frozen=True, slots=True)
class Batch:
    """A header, its signature by the header's device, and the encoded records."""

    header: Header
    signature: bytes
    records: tuple[bytes, ...]

    def encode(self) -> bytes:
        """The bytes that are exchanged."""
        return bytes(msgpack.packb([self.header.encode(), self.signature, list(self.records)]))

    @classmethod
    def decode(cls, data: bytes | memoryview) -> "Batch":
        """Raises RecordRefused if it is malformed or its records are not those of the header."""
        if len(data) > BATCH_BYTES_MAX:
            raise RecordRefused("a batch is too long")
        try:
            raw, signature, records = msgpack.unpackb(data)
            sound = type(signature) is bytes and all(type(record) is bytes for record in records)
        except (ValueError, TypeError, msgpack.UnpackException) as error:
            raise RecordRefused("a batch cannot be read") from error
        if not sound or len(signature) != 64:
            raise RecordRefused("a batch is malformed")
        header = Header.decode(raw)
        if header.count != len(records) or body_root(records) != header.root:
            raise RecordRefused("a batch's records are not those that were signed")
        batch = cls(header, signature, tuple(records))
        if batch.encode() != data:
            raise RecordRefused("a batch is not in its one encoding")
        return batch


def body_root(records: Sequence[bytes]) -> bytes:
    """A hash over the records' hashes, so that a record can later be dropped and its hash kept."""
    return blake3(b"".join(blake3(record).digest() for record in records)).digest()


def signed_bytes(header: bytes) -> bytes:
    """What the device signs."""
    return _SIGNED + header


def _sound(header: Header) -> bool:
    sizes: list[tuple[Any, int]] = [
        (header.drive, 32),
        (header.device, 32),
        (header.nonce, 16),
        (header.previous, 32),
        (header.root, 32),
    ]
    return (
        all(type(value) is bytes and len(value) == size for value, size in sizes)
        and all(type(number) is int for number in (header.first, header.count, header.clock))
        and 0 < header.first < 1 << 62
        and 0 < header.count <= BATCH_RECORDS_MAX
        and 0 <= header.clock < 1 << 63
        and 0 < len(header.name.encode()) <= LABEL_BYTES_MAX
    )
