"""Vectors: a lattice whose join is what two pasts make together."""

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.model.vector import Vector, covers, descends, joined

actors = st.sampled_from([bytes([number]) * 16 for number in range(4)])
vectors = st.dictionaries(actors, st.integers(1, 5))


@given(vectors, vectors, vectors)
def test_join_is_commutative_associative_and_idempotent(one: Vector, two: Vector, three: Vector) -> None:
    assert joined([one, two]) == joined([two, one])
    assert (
        joined([joined([one, two]), three])
        == joined([one, joined([two, three])])
        == joined([one, two, three])
    )
    assert joined([one, one]) == joined([one]) == one


@given(vectors, vectors, vectors)
def test_join_is_the_least_vector_above_both(one: Vector, two: Vector, other: Vector) -> None:
    join = joined([one, two])
    assert descends(join, one) and descends(join, two)
    assert descends(other, join) == (descends(other, one) and descends(other, two))


@given(vectors, vectors, vectors)
def test_descent_is_an_order(one: Vector, two: Vector, three: Vector) -> None:
    assert descends(one, one)
    assert (descends(one, two) and descends(two, one)) == (one == two)
    if descends(one, two) and descends(two, three):
        assert descends(one, three)


@given(vectors, vectors)
def test_descent_is_covering_every_dot(one: Vector, two: Vector) -> None:
    assert descends(one, two) == all(covers(one, actor, seq) for actor, seq in two.items())


@given(vectors, actors, st.integers(1, 5))
def test_vector_covers_a_dot_and_all_before_it(vector: Vector, actor: bytes, seq: int) -> None:
    assert covers(vector, actor, seq) == (seq <= vector.get(actor, 0))


def test_join_of_nothing_is_empty_and_below_all() -> None:
    assert joined([]) == {}
    assert descends({}, {})
    assert not descends({}, {b"a": 1})


@given(vectors, vectors)
def test_join_leaves_its_arguments_alone(one: Vector, two: Vector) -> None:
    before = dict(one), dict(two)
    joined([one, two])
    assert (one, two) == before
