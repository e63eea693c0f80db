"""Answering what peers ask of one drive. Only members are answered; the caller has checked that.

Each function gives a producer: called in ``offload``, whenever the link has room, until its last answer.
"""

from collections.abc import Iterator, Sequence

from p2pdrive.engine.replica import Replica
from p2pdrive.history.log import Frontier
from p2pdrive.index.manifests import Manifests as HeldManifests
from p2pdrive.limits import PAYLOAD_BYTES_MAX
from p2pdrive.net.link import Link
from p2pdrive.net.outbox import Produce
from p2pdrive.wire.messages import (
    Batches,
    Blocks,
    Data,
    GetBlocks,
    GetManifestPart,
    GetManifests,
    ManifestPart,
    Manifests,
    Message,
    Pull,
)

Answer = tuple[Message, Sequence[Data]]

_NOT_HELD, _BY_ITSELF = -1, -2
#: A request for more blocks than this yields to smaller ones.
_SMALL_BLOCKS_MAX = 4


def serve(replica: Replica, link: Link, request: Message, announced: Frontier) -> bool:
    """Answer ``request`` on ``link``; False if it is none. Of the log, no more than was ``announced``."""
    match request:
        case Pull():
            link.serve(request.request, _once(_batches(replica, request, announced)), bulk=False)
        case GetManifests():
            link.serve(request.request, _once(_manifests(replica, request)), bulk=False)
        case GetManifestPart():
            link.serve(request.request, _once(_manifest_part(replica, request)), bulk=False)
        case GetBlocks():
            link.serve(
                request.request,
                _once(_blocks(replica, request)),
                bulk=len(request.blocks) > _SMALL_BLOCKS_MAX,
            )
        case _:
            return False
    return True


def _once(answers: Iterator[Answer]) -> Produce:
    return lambda: next(answers, None)


def _batches(replica: Replica, request: Pull, announced: Frontier) -> Iterator[Answer]:
    until = {actor: seq for actor, (seq, _) in announced.items()}
    with replica.reading() as log:
        batches, more = log.batches_after(dict(request.after), PAYLOAD_BYTES_MAX, until)
    yield Batches(request.request, more, tuple(map(len, batches))), batches


def _manifests(replica: Replica, request: GetManifests) -> Iterator[Answer]:
    """Each is looked up once, however often it is named, and read only where it fits."""
    sizes: list[int] = []
    parts: list[Data] = []
    room = PAYLOAD_BYTES_MAX
    with replica.reading() as log:
        held = HeldManifests(log.connection)
        lengths = {root: held.length(root) for root in set(request.roots)}
        packed: dict[bytes, bytes] = {}
        for root in request.roots:
            length = lengths[root]
            if length is None:
                sizes.append(_NOT_HELD)
            elif length > room:
                sizes.append(_BY_ITSELF)
            else:
                if root not in packed:
                    packed[root] = held.part(root, 0, length)
                sizes.append(length)
                parts.append(packed[root])
                room -= length
    yield Manifests(request.request, tuple(sizes)), parts


def _manifest_part(replica: Replica, request: GetManifestPart) -> Iterator[Answer]:
    with replica.reading() as log:
        held = HeldManifests(log.connection)
        length = held.length(request.root) or 0
        part = held.part(request.root, request.offset, PAYLOAD_BYTES_MAX) if request.offset < length else b""
    yield ManifestPart(request.request, length), [part]


def _blocks(replica: Replica, request: GetBlocks) -> Iterator[Answer]:
    """Bundles of blocks, as many as fit in a frame; what is not held is said with the first of them."""
    asked = request.blocks
    lengths = replica.store.lengths(asked)
    lengths.pop(replica.own_key_block, None)  # should an earlier version have synced it
    missing = [index for index, block in enumerate(asked) if block not in lengths]
    bundles = list(_bundles([index for index, block in enumerate(asked) if block in lengths], asked, lengths))
    if not bundles:
        yield Blocks(request.request, (), tuple(missing), True), ()
    for number, bundle in enumerate(bundles, 1):
        contents = replica.store.read_many([asked[index] for index in bundle])
        pieces: list[tuple[int, int]] = []
        parts: list[Data] = []
        for index, data in zip(bundle, contents, strict=True):
            if data is None:
                missing.append(index)
            else:
                pieces.append((index, len(data)))
                parts.append(memoryview(data))
        yield Blocks(request.request, tuple(pieces), tuple(missing), number == len(bundles)), parts
        missing = []


def _bundles(indexes: list[int], asked: Sequence[bytes], lengths: dict[bytes, int]) -> Iterator[list[int]]:
    bundle: list[int] = []
    size = 0
    for index in indexes:
        length = lengths[asked[index]]
        if bundle and size + length > PAYLOAD_BYTES_MAX:
            yield bundle
            bundle, size = [], 0
        bundle.append(index)
        size += length
    if bundle:
        yield bundle
