"""Strategies for the values of the model: contents, paths, records, batches."""

from hypothesis import strategies as st

from p2pdrive.limits import (
    BATCH_RECORDS_MAX,
    BLOCK_BYTES_MAX,
    BLOCK_BYTES_MIN,
    INVITE_USES_MAX,
    LABEL_BYTES_MAX,
    MANIFEST_BLOCKS_MAX,
)
from p2pdrive.model import paths as portable
from p2pdrive.model.batch import Batch, Header, body_root
from p2pdrive.model.genesis import Chunking, Genesis
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Grant, Invitation, Kind, Record, Role

ACTOR = bytes(range(16))

keys = st.binary(min_size=32, max_size=32)
actors = st.binary(min_size=16, max_size=16)
clocks = st.integers(0, (1 << 63) - 1)
seqs = st.integers(1, (1 << 62) - 1)
labels = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=LABEL_BYTES_MAX // 4)
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=16)
paths = st.lists(names, min_size=1, max_size=4).map("/".join).filter(lambda p: portable.refusal(p) is None)
roles = st.sampled_from(Role)


@st.composite
def files(draw: st.DrawFn) -> Content:
    blocks = draw(st.integers(0, MANIFEST_BLOCKS_MAX))
    least = max(1, (blocks - 1) * BLOCK_BYTES_MIN)
    size = draw(st.integers(least, blocks * BLOCK_BYTES_MAX)) if blocks else 0
    times = st.integers(-(1 << 63) + 1, (1 << 63) - 1)
    return Content(
        Kind.FILE, size, draw(keys), blocks, draw(st.booleans()), draw(times), private=draw(st.booleans())
    )


targets = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
links = targets.map(lambda target: Content(Kind.SYMLINK, target=target))
directories = st.sampled_from([DIRECTORY, Content(Kind.DIRECTORY, private=True)])
contents = st.one_of(files(), links, directories, st.just(DELETED))


@st.composite
def records(draw: st.DrawFn) -> Record:
    """Records as record ``seq`` of ``actor``, both in the record."""
    vector = draw(st.dictionaries(actors, seqs, max_size=4))
    moved_from = draw(st.one_of(st.just(""), paths))
    unplaced = Record(draw(paths), draw(contents), b"", 0, vector, draw(clocks), moved_from)
    return unplaced.placed(draw(actors), draw(seqs))


invitations = st.builds(Invitation, keys, keys, roles, st.integers(1, INVITE_USES_MAX), clocks)
proofs = st.one_of(st.just((b"", b"")), st.tuples(keys, st.binary(min_size=64, max_size=64)))
grants = st.builds(
    lambda device, role, name, proof: Grant(device, role, name, *proof), keys, roles, labels, proofs
)


@st.composite
def batches(draw: st.DrawFn) -> Batch:
    """Batches whose header fits their records; the signature is any."""
    bodies = draw(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
    assert len(bodies) <= BATCH_RECORDS_MAX
    header = Header(
        draw(keys),
        draw(keys),
        draw(actors),
        draw(labels),
        draw(seqs),
        len(bodies),
        draw(keys),
        body_root(bodies),
        draw(clocks),
    )
    return Batch(header, draw(st.binary(min_size=64, max_size=64)), tuple(bodies))


@st.composite
def chunkings(draw: st.DrawFn) -> Chunking:
    sizes = st.lists(st.integers(4096, 1 << 20), min_size=3, max_size=3, unique=True).map(sorted)
    return Chunking(*draw(sizes), draw(st.integers(0, 3)))


geneses = st.builds(Genesis, labels, keys, labels, actors, clocks, chunkings())
