"""The messages of the protocol, and their form in bytes.

The plaintext of one frame is one message: ``[4 bytes big-endian: length of the header][header][payload]``.
The header is a msgpack array ``[type, field, ...]`` with the fields in the order of the dataclass; the
payload is raw bytes, empty for messages that have none. ``TYPES`` numbers the messages; the dataclasses
say what each field may hold. Sender and receiver hold every value to that.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeAlias, get_type_hints

import msgpack

from p2pdrive import limits
from p2pdrive.errors import ProtocolViolation
from p2pdrive.wire.fields import Field, Payload, binary, flag, many, row, text, whole

#: The version of the messages below, said in Hello.
VERSION = 1
LENGTH_BYTES: Final = 4

Data: TypeAlias = bytes | memoryview

_WHOLE_MAX = (1 << 63) - 1
_MANIFEST_BYTES_MAX = limits.MANIFEST_BLOCKS_MAX * 36
_LABEL = text(limits.LABEL_BYTES_MAX)
_ADDRESS = text(limits.ANNOUNCED_ADDRESS_BYTES_MAX)
_REASON = text(limits.REASON_BYTES_MAX)
_HASH = binary(32)
_ACTOR = binary(16)
_SEQ = whole(_WHOLE_MAX)
_INDEX = whole(limits.REQUEST_BLOCKS_MAX - 1)
_FRONTIER = many(row(_ACTOR, _SEQ, _HASH), limits.FRONTIER_ACTORS_MAX)
_PIECE = row(_INDEX, whole(limits.BLOCK_BYTES_MAX, low=1))

Tag: TypeAlias = Annotated[bytes, binary(8)]
Request: TypeAlias = Annotated[int, whole((1 << 32) - 1)]
Token: TypeAlias = Annotated[int, whole((1 << 32) - 1)]


def _sizes_total(message: "Batches | Manifests") -> int:
    return sum(size for size in message.sizes if size > 0)


def _pieces_total(message: "Blocks") -> int:
    return sum(length for _, length in message.pieces)


@dataclass(frozen=True, slots=True)
class Hello:
    """The first message each way. ``port`` is where the sender listens (0: nowhere)."""

    version: Annotated[int, whole(65535, low=1)]
    name: Annotated[str, _LABEL]
    software: Annotated[str, _LABEL]
    port: Annotated[int, whole(65535)]
    addresses: Annotated[tuple[str, ...], many(_ADDRESS, limits.ADDRESSES_MAX)]


@dataclass(frozen=True, slots=True)
class Drives:
    """All the drives that the sender holds, as tags; sent after Hello and whenever the set changes."""

    tags: Annotated[tuple[bytes, ...], many(binary(8), limits.DRIVES_MAX)]


@dataclass(frozen=True, slots=True)
class Join:
    """Asks to be made a member: ``proof`` is a signature by the invite's key, ``invite`` its public key."""

    tag: Tag
    name: Annotated[str, _LABEL]
    proof: Annotated[bytes, binary(64)]
    invite: Annotated[bytes, _HASH]


@dataclass(frozen=True, slots=True)
class Joined:
    """Yes to Join; ``genesis`` is the drive's first record."""

    tag: Tag
    genesis: Annotated[bytes, binary(limits.GENESIS_BYTES_MAX, 1)]


@dataclass(frozen=True, slots=True)
class Refused:
    """No to Join; ``reason`` is for the person who asked."""

    tag: Tag
    reason: Annotated[str, _REASON]


@dataclass(frozen=True, slots=True)
class Announce:
    """What the sender holds of a drive's log: (actor, seq, hash of that batch) for each actor.

    ``settled``: all local changes are scanned and recorded; ``shown``: all of it is on the sender's disk.
    """

    tag: Tag
    frontier: Annotated[tuple[tuple[bytes, int, bytes], ...], _FRONTIER]
    settled: Annotated[bool, flag()]
    shown: Annotated[bool, flag()]


@dataclass(frozen=True, slots=True)
class Addresses:
    """Where members were last reached: (device, addresses). More of them go into further messages."""

    tag: Tag
    devices: Annotated[
        tuple[tuple[bytes, tuple[str, ...]], ...],
        many(row(_HASH, many(_ADDRESS, limits.RELAYED_ADDRESSES_MAX)), limits.DEVICES_MAX),
    ]


@dataclass(frozen=True, slots=True)
class Pull:
    """Asks for batches beyond ``after``: (actor, highest seq held); actors not named are asked for whole."""

    tag: Tag
    request: Request
    after: Annotated[tuple[tuple[bytes, int], ...], many(row(_ACTOR, _SEQ), limits.FRONTIER_ACTORS_MAX)]


@dataclass(frozen=True, slots=True)
class Batches:
    """Encoded batches, one after the other, of ``sizes`` bytes. ``more``: a further Pull would give more."""

    request: Request
    more: Annotated[bool, flag()]
    sizes: Annotated[tuple[int, ...], many(whole(limits.BATCH_BYTES_MAX, low=1), limits.ANSWER_BATCHES_MAX)]
    payload: Annotated[Data, Payload(limits.PAYLOAD_BYTES_MAX, _sizes_total)] = b""


@dataclass(frozen=True, slots=True)
class GetManifests:
    """Asks for manifests by their roots."""

    tag: Tag
    request: Request
    roots: Annotated[tuple[bytes, ...], many(_HASH, limits.REQUEST_MANIFESTS_MAX)]


@dataclass(frozen=True, slots=True)
class Manifests:
    """The packed manifests in the order asked for, of ``sizes`` bytes each.

    -1: not held; -2: held, and to be asked for again, by itself or in parts, as it did not fit in here.
    """

    request: Request
    sizes: Annotated[
        tuple[int, ...], many(whole(limits.PAYLOAD_BYTES_MAX, low=-2), limits.REQUEST_MANIFESTS_MAX)
    ]
    payload: Annotated[Data, Payload(limits.PAYLOAD_BYTES_MAX, _sizes_total)] = b""


@dataclass(frozen=True, slots=True)
class GetManifestPart:
    """Asks for the bytes of one manifest from ``offset`` on: the way to get one too large for a frame."""

    tag: Tag
    request: Request
    root: Annotated[bytes, _HASH]
    offset: Annotated[int, whole(_MANIFEST_BYTES_MAX)]


@dataclass(frozen=True, slots=True)
class ManifestPart:
    """Bytes of a packed manifest of ``total`` bytes; 0: not held."""

    request: Request
    total: Annotated[int, whole(_MANIFEST_BYTES_MAX)]
    payload: Annotated[Data, Payload(limits.PAYLOAD_BYTES_MAX)] = b""


@dataclass(frozen=True, slots=True)
class GetBlocks:
    """Asks for blocks by their hashes."""

    tag: Tag
    request: Request
    blocks: Annotated[tuple[bytes, ...], many(_HASH, limits.REQUEST_BLOCKS_MAX)]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Some of the blocks asked for, by their index in the request, in any order.

    ``pieces`` are (index, length) of those in the payload, ``missing`` the indexes that cannot be had
    here. The answer with ``done`` is the last; by then every index was named exactly once.
    """

    request: Request
    pieces: Annotated[tuple[tuple[int, int], ...], many(_PIECE, limits.REQUEST_BLOCKS_MAX)]
    missing: Annotated[tuple[int, ...], many(_INDEX, limits.REQUEST_BLOCKS_MAX)]
    done: Annotated[bool, flag()]
    payload: Annotated[Data, Payload(limits.PAYLOAD_BYTES_MAX, _pieces_total)] = b""


@dataclass(frozen=True, slots=True)
class Ping:
    """Asks for a Pong with the same token."""

    token: Token


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to Ping."""

    token: Token


@dataclass(frozen=True, slots=True)
class Close:
    """The last message; ``reason`` is for a person."""

    reason: Annotated[str, _REASON]


Message: TypeAlias = (
    Hello | Drives | Join | Joined | Refused | Announce | Addresses | Pull | Batches | GetManifests
    | Manifests | GetManifestPart | ManifestPart | GetBlocks | Blocks | Ping | Pong | Close
)  # fmt: skip

#: The numbers on the wire. A number is never given a second meaning.
TYPES: dict[int, type[Message]] = {
    1: Hello,
    2: Drives,
    3: Join,
    4: Joined,
    5: Refused,
    6: Announce,
    7: Addresses,
    8: Pull,
    9: Batches,
    10: GetManifests,
    11: Manifests,
    12: GetManifestPart,
    13: ManifestPart,
    14: GetBlocks,
    15: Blocks,
    16: Ping,
    17: Pong,
    18: Close,
}


@dataclass(frozen=True, slots=True)
class Form:
    """One message's type number, its header fields in order, and its payload where it has one."""

    number: int
    message: type[Any]
    fields: tuple[tuple[str, Field], ...]
    payload: Payload | None

    @classmethod
    def of(cls, number: int, message: type[Message]) -> "Form":
        """Reads the form off the annotations of the dataclass."""
        hints = get_type_hints(message, include_extras=True)
        declared = [(name, hint.__metadata__[0]) for name, hint in hints.items()]
        payload = next((what for _, what in declared if isinstance(what, Payload)), None)
        return cls(number, message, tuple(pair for pair in declared if pair[1] is not payload), payload)

    @property
    def header_bytes_max(self) -> int:
        """Bytes that no header of this form exceeds."""
        return row(whole(255), *(field for _, field in self.fields)).bytes_max

    def misfit(self, values: Iterable[object]) -> str | None:
        """Which of the header's values is not allowed, in words; None where all are."""
        for (name, field), value in zip(self.fields, values, strict=True):
            if not field.fits(value):
                return f"{self.message.__name__}.{name} is not: {field.words}"
        return None


FORMS: dict[int, Form] = {number: Form.of(number, message) for number, message in TYPES.items()}
_FORM_OF: dict[type[Any], Form] = {form.message: form for form in FORMS.values()}


def encode(message: Message) -> bytes:
    """The header of ``message`` behind its length; the payload is to follow it."""
    form = _FORM_OF[type(message)]
    values = [getattr(message, name) for name, _ in form.fields]
    misfit = form.misfit(values)
    assert misfit is None, misfit
    header: bytes = msgpack.packb([form.number, *values])
    return len(header).to_bytes(LENGTH_BYTES, "big") + header


def payload_of(message: Message) -> Data:
    """The payload that the message itself holds; empty for messages that have none."""
    payload: Data = getattr(message, "payload", b"")
    return payload


def decode(plaintext: memoryview) -> Message:
    """The message in a frame; its payload is a view into ``plaintext``.

    Raises ProtocolViolation for anything that ``encode`` would not have made.
    """
    end = LENGTH_BYTES + int.from_bytes(plaintext[:LENGTH_BYTES], "big")
    if not LENGTH_BYTES < end <= len(plaintext):
        raise ProtocolViolation("a frame's header is longer than the frame, or empty")
    form, values = _header(plaintext[LENGTH_BYTES:end])
    payload = plaintext[end:]
    if form.payload is None and not payload:
        message: Message = form.message(*values)
        return message
    message = form.message(*values, payload) if form.payload else form.message(*values)
    if form.payload is None or not form.payload.fits(message, len(payload)):
        raise ProtocolViolation(f"{form.message.__name__} has a payload that is not of the size it says")
    return message


def _header(header: memoryview) -> tuple[Form, tuple[object, ...]]:
    try:
        unpacked = msgpack.unpackb(header, use_list=False, max_map_len=0, max_ext_len=0)
    except (ValueError, msgpack.UnpackException) as error:
        raise ProtocolViolation("a frame's header is not msgpack") from error
    if not (type(unpacked) is tuple and unpacked and type(unpacked[0]) is int and unpacked[0] in FORMS):
        raise ProtocolViolation("a message is of a type that this version does not know")
    form, values = FORMS[unpacked[0]], unpacked[1:]
    if len(values) != len(form.fields):
        raise ProtocolViolation(f"{form.message.__name__} has {len(values)} fields, not {len(form.fields)}")
    misfit = form.misfit(values)
    if misfit is not None:
        raise ProtocolViolation(misfit)
    return form, values


def table() -> str:
    """The messages as Markdown, for the protocol's document."""
    lines = ["| type | message | fields | payload |", "| --- | --- | --- | --- |"]
    for form in FORMS.values():
        fields = "; ".join(f"`{name}`: {field.words}" for name, field in form.fields)
        payload = f"at most {form.payload.longest} bytes" if form.payload else ""
        lines.append(f"| {form.number} | {form.message.__name__} | {fields} | {payload} |")
    return "\n".join(lines) + "\n"
