"""Records: one change to one path, or to who is a member.

Encoded as a msgpack array that opens with the kind; docs/disk-format.md has the layouts.
A record's actor and seq come from its place in its batch; its vector repeats them as its own dot.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import msgpack
from blake3 import blake3

from p2pdrive.errors import RecordRefused
from p2pdrive.limits import (
    BLOCK_BYTES_MAX,
    BLOCK_BYTES_MIN,
    INVITE_USES_MAX,
    LABEL_BYTES_MAX,
    MANIFEST_BLOCKS_MAX,
    RECORD_BYTES_MAX,
    TARGET_BYTES_MAX,
    VECTOR_ACTORS_MAX,
)
from p2pdrive.model import paths
from p2pdrive.model.vector import Vector


class Kind(IntEnum):
    """What a record is about; the first four are what a path can be."""

    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    DELETED = 4
    INVITATION = 5
    GRANT = 6


class Role(IntEnum):
    """What a member may do; each may do all that the lower ones may."""

    VIEWER = 1
    EDITOR = 2
    ADMIN = 3


@dataclass(frozen=True, slots=True)
class Content:
    """What a path is. ``size`` in bytes; ``root`` and ``blocks`` as in ``Manifest``; ``target`` of a link.

    ``private``: a file or directory that nobody but its owner may do anything with.
    """

    kind: Kind
    size: int = 0
    root: bytes = b""
    blocks: int = 0
    executable: bool = False
    mtime_ns: int = 0
    target: str = ""
    private: bool = False

    @property
    def live(self) -> bool:
        """Whether there is anything at the path."""
        return self.kind is not Kind.DELETED

    @property
    def identity(self) -> tuple[Kind, bytes, int, int, str]:
        """Equal for contents that a person would call the same; times and permissions are not in it.

        The size is in it, as a record may say another than its hash has.
        """
        return (self.kind, self.root, self.blocks, self.size, self.target)

    @property
    def metadata(self) -> tuple[bool, bool, int]:
        """What may change without a new content: executable, private, time."""
        return (self.executable, self.private, self.mtime_ns)


DELETED = Content(Kind.DELETED)
DIRECTORY = Content(Kind.DIRECTORY)


@dataclass(frozen=True, slots=True)
class Record:
    """``path`` became ``content``, by ``actor``'s change ``seq``, having seen all that ``vector`` covers."""

    path: str
    content: Content
    actor: bytes
    seq: int
    vector: Vector
    clock: int
    moved_from: str = ""

    def encode(self) -> bytes:
        """The bytes that are hashed into the batch; equal records give equal bytes."""
        content = self.content
        fields: list[Any] = [int(content.kind), self.path, self.clock, dict(sorted(self.vector.items()))]
        if content.kind is Kind.FILE:
            fields += [content.size, content.root, content.blocks, content.executable, content.mtime_ns]
        elif content.kind is Kind.SYMLINK:
            fields.append(content.target)
        if content.private:
            fields.append(True)
        if self.moved_from:
            fields.append(self.moved_from)
        return bytes(msgpack.packb(fields))

    @property
    def digest(self) -> bytes:
        """The record's hash, 32 bytes."""
        return blake3(self.encode()).digest()

    def supersedes(self, other: "Record") -> bool:
        """Whether this record had seen ``other``, another record of the same path."""
        mine = (self.actor, self.seq) == (other.actor, other.seq)
        return not mine and self.vector.get(other.actor, 0) >= other.seq

    def placed(self, actor: bytes, seq: int) -> "Record":
        """The same change as record ``seq`` of ``actor``, its own dot added to the vector."""
        vector = {**self.vector, actor: seq}
        return Record(self.path, self.content, actor, seq, vector, self.clock, self.moved_from)


@dataclass(frozen=True, slots=True)
class Invitation:
    """An admin's word that whoever holds the invite's secret becomes a member.

    ``public`` is the key that proofs are checked with; ``psk`` lets any member answer the invited
    device's handshake; ``uses`` and ``expires`` (unix seconds, 0 for never) bind the member who admits.
    """

    public: bytes
    psk: bytes
    role: Role
    uses: int
    expires: int

    def encode(self) -> bytes:
        """The bytes that are hashed into the batch."""
        fields = [int(Kind.INVITATION), self.public, self.psk, int(self.role), self.uses, self.expires]
        return bytes(msgpack.packb(fields))


@dataclass(frozen=True, slots=True)
class Grant:
    """``device`` is a member. Written by an admin, or by an editor with the proof of an invitation."""

    device: bytes
    role: Role
    name: str
    public: bytes = b""
    proof: bytes = b""

    def encode(self) -> bytes:
        """The bytes that are hashed into the batch."""
        fields = [int(Kind.GRANT), self.device, int(self.role), self.name, self.public, self.proof]
        return bytes(msgpack.packb(fields))


Change = Record | Invitation | Grant

_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError, msgpack.UnpackException)


def decode(data: bytes, actor: bytes, seq: int) -> Change:
    """One record of a batch, as record ``seq`` of ``actor``. Raises RecordRefused if anything is off."""
    if len(data) > RECORD_BYTES_MAX:
        raise RecordRefused("a record is too long")
    try:
        fields = msgpack.unpackb(data)
        kind = Kind(fields[0])
        change: Change = _DECODERS[kind](kind, fields[1:], actor, seq)
        canonical = change.encode() == data
    except _UNREADABLE as error:
        raise RecordRefused("a record cannot be read") from error
    if not canonical:
        raise RecordRefused("a record is not in its one encoding")
    return change


def stored(data: bytes, actor: bytes, seq: int) -> Record:
    """A path record that ``decode`` accepted before, read again."""
    kind, path, clock, vector, *rest = msgpack.unpackb(data)
    if kind == Kind.FILE:
        size, root, blocks, executable, mtime_ns, *rest = rest
        private, rest = _private(rest)
        content = Content(Kind.FILE, size, root, blocks, executable, mtime_ns, private=private)
    elif kind == Kind.SYMLINK:
        target, *rest = rest
        content = Content(Kind.SYMLINK, target=target)
    elif kind == Kind.DIRECTORY:
        private, rest = _private(rest)
        content = Content(Kind.DIRECTORY, private=private) if private else DIRECTORY
    else:
        content = DELETED
    return Record(path, content, actor, seq, vector, clock, rest[0] if rest else "")


def _decode_record(kind: Kind, fields: list[Any], actor: bytes, seq: int) -> Record:
    path, clock, vector, *rest = fields
    content = Content(kind)
    if kind is Kind.FILE:
        size, root, blocks, executable, mtime_ns, *rest = rest
        _check(type(size) is int and 0 <= size < 1 << 63 and _may_have(size, blocks), "a file's sizes")
        _check(type(mtime_ns) is int and abs(mtime_ns) < 1 << 63, "a file's time")
        _check(type(executable) is bool and type(root) is bytes and len(root) == 32, "a file's mode or hash")
        private, rest = _private(rest)
        content = Content(kind, size, root, blocks, executable, mtime_ns, private=private)
    elif kind is Kind.DIRECTORY:
        private, rest = _private(rest)
        content = Content(kind, private=private)
    elif kind is Kind.SYMLINK:
        target, *rest = rest
        _check(0 < len(target.encode()) <= TARGET_BYTES_MAX and "\0" not in target, "a link's target")
        content = Content(kind, target=target)
    moved_from = rest.pop() if rest else ""
    _check(type(moved_from) is str and not rest, "the number of its fields")
    why = paths.refusal(path) or (paths.refusal(moved_from) if moved_from else None)
    if why:
        raise RecordRefused(f"a record names a path that may not be: {why}")
    _check(type(clock) is int and 0 <= clock < 1 << 63, "a clock")
    _check(type(vector) is dict and 0 < len(vector) <= VECTOR_ACTORS_MAX, "a vector")
    for known, last in vector.items():
        _check(type(known) is bytes and len(known) == 16, "a vector")
        _check(type(last) is int and 0 < last < 1 << 63, "a vector")
    _check(vector.get(actor) == seq, "a vector's own dot")
    return Record(path, content, actor, seq, vector, clock, moved_from)


def _private(rest: list[Any]) -> tuple[bool, list[Any]]:
    """Whether what follows opens with the mark of what is private; and what follows that."""
    return (True, rest[1:]) if rest and rest[0] is True else (False, rest)


def _may_have(size: int, blocks: object) -> bool:
    """Whether a file of ``size`` bytes can be of so many blocks, each no larger than may be."""
    if type(blocks) is not int or (blocks == 0) != (size == 0):
        return False
    enough = size <= blocks * BLOCK_BYTES_MAX
    return enough and 0 <= blocks <= min(MANIFEST_BLOCKS_MAX, size // BLOCK_BYTES_MIN + 1)


def _decode_invitation(_kind: Kind, fields: list[Any], _actor: bytes, _seq: int) -> Invitation:
    public, psk, role, uses, expires = fields
    _check(type(public) is bytes and len(public) == 32 and type(psk) is bytes and len(psk) == 32, "a key")
    _check(
        type(uses) is int and 0 < uses <= INVITE_USES_MAX and type(expires) is int, "an invitation's bounds"
    )
    _check(0 <= expires < 1 << 63, "an invitation's bounds")
    return Invitation(public, psk, Role(role), uses, expires)


def _decode_grant(_kind: Kind, fields: list[Any], _actor: bytes, _seq: int) -> Grant:
    device, role, name, public, proof = fields
    _check(type(device) is bytes and len(device) == 32, "a device")
    _check(0 < len(name.encode()) <= LABEL_BYTES_MAX, "a device's name")
    _check(type(public) is bytes and type(proof) is bytes, "a proof")
    _check((len(public), len(proof)) in ((0, 0), (32, 64)), "a proof")
    return Grant(device, Role(role), name, public, proof)


_DECODERS: dict[Kind, Any] = {
    Kind.FILE: _decode_record,
    Kind.DIRECTORY: _decode_record,
    Kind.SYMLINK: _decode_record,
    Kind.DELETED: _decode_record,
    Kind.INVITATION: _decode_invitation,
    Kind.GRANT: _decode_grant,
}


def _check(sound: bool, what: str) -> None:
    if not sound:
        raise RecordRefused(f"a record is malformed: {what}")
