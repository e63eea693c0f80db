"""Version vectors made of dots.

A dot is (actor, seq): one record of one actor. The vector of a record maps each actor to the seq of
that actor's latest record of the same path in the record's causal past, its own dot included.
Source: Almeida et al., "Scalable and accurate causality tracking for eventually consistent stores"
(2014), with the simplification that an actor's records of one path always form a chain: a device
that must write beside its own older head does so under another actor (see ``history/authoring.py``).
"""

from collections.abc import Iterable, Mapping

Vector = Mapping[bytes, int]


def covers(vector: Vector, actor: bytes, seq: int) -> bool:
    """Whether the dot (actor, seq) is in the causal past that ``vector`` stands for."""
    return vector.get(actor, 0) >= seq


def joined(vectors: Iterable[Vector]) -> dict[bytes, int]:
    """The least vector that covers all of ``vectors``."""
    result: dict[bytes, int] = {}
    for vector in vectors:
        for actor, seq in vector.items():
            if result.get(actor, 0) < seq:
                result[actor] = seq
    return result


def descends(vector: Vector, other: Vector) -> bool:
    """Whether ``vector`` covers every dot of ``other``."""
    return all(vector.get(actor, 0) >= seq for actor, seq in other.items())
