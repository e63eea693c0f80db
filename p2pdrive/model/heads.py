"""A path is a multi-value register: its heads are the records that no other record of it supersedes."""

from collections.abc import Iterable

from p2pdrive.model.record import Kind, Record

Heads = tuple[Record, ...]


def merge(heads: Iterable[Record], more: Iterable[Record]) -> Heads:
    """The heads of both together; commutative, associative, idempotent. Sorted by (actor, seq)."""
    known = {(record.actor, record.seq): record for record in (*heads, *more)}
    every = list(known.values())
    if len(every) < 2:
        return tuple(every)
    every = [record for record in every if not any(other.supersedes(record) for other in every)]
    return tuple(sorted(every, key=lambda record: (record.actor, record.seq)))


def rank(record: Record) -> tuple[bool, bool, int, bytes, str, bytes, int]:
    """The order in which heads win their path: live over deleted, directory over file, then the hybrid
    clock, then the content, then the actor. The greatest wins; it depends on the records alone."""
    content = record.content
    return (
        content.live,
        content.kind is Kind.DIRECTORY,
        record.clock,
        content.root,
        content.target,
        record.actor,
        record.seq,
    )


def winner(heads: Heads) -> Record | None:
    """The head that keeps the path; None for a path that no record names."""
    return heads[0] if len(heads) == 1 else max(heads, key=rank, default=None)
