"""Registers: the heads and versions of paths in the index, read one by one or many at once."""

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.history.authoring import Edit
from p2pdrive.model.heads import merge
from p2pdrive.model.record import DELETED, DIRECTORY
from tests.history.machines import CONTENTS, ONE, THREE, TWO, Machine, founded

PATHS = ("a", "a.txt", "a/b", "a/b/c", "ab", "é/ü")
_edits = st.lists(
    st.sampled_from([*product(range(2), PATHS, CONTENTS, (False, True))]),
    max_size=15,
)
Edits = list[tuple[int, str, object, bool]]


def written(edits: Edits) -> Machine:
    """A founder who has all that it and an editor wrote."""
    founder, editor = founded(1)
    for number, path, content, pulling in edits:
        machine = (founder, editor)[number]
        machine.edit(path, content)  # type: ignore[arg-type]
        if pulling:
            founder.pull(editor)
            editor.pull(founder)
            editor.show(path)
    founder.pull(editor)
    return founder


@given(_edits)
def test_heads_are_the_merge_of_all_versions(edits: Edits) -> None:
    founder = written(edits)
    registers = founder.log.registers
    for path in PATHS:
        versions = list(registers.versions(path))
        assert registers.heads(path) == merge((), versions)
        assert len(versions) == sum(path == edited for _, edited, _, _ in edits)


@given(_edits)
def test_many_paths_at_once_read_as_each_alone(edits: Edits) -> None:
    founder = written(edits)
    registers = founder.log.registers
    assert registers.heads_of(PATHS) == {
        path: registers.heads(path) for path in PATHS if registers.heads(path)
    }
    assert registers.with_live_below(PATHS) == {path for path in PATHS if registers.live_below(path)}
    numbers = [1, 2, 3]
    latest = {path: registers.latest_seqs_of([path], numbers) for path in PATHS}
    assert registers.latest_seqs_of(PATHS, numbers) == {
        path: seqs for alone in latest.values() for path, seqs in alone.items()
    }


@given(_edits)
def test_live_below_looks_inside_the_directory_and_nowhere_else(edits: Edits) -> None:
    founder = written(edits)
    live = {path for path in PATHS if any(head.content.live for head in founder.heads(path))}
    for path in PATHS:
        inside = any(other.startswith(path + "/") for other in live)
        assert founder.log.registers.live_below(path) == inside


def test_path_that_nobody_wrote_has_no_heads() -> None:
    (founder,) = founded(0)
    registers = founder.log.registers
    assert registers.heads("nowhere") == ()
    assert list(registers.versions("nowhere")) == []
    assert registers.find(b"u" * 16, 1) is None
    assert not registers.is_directory("nowhere")
    assert registers.latest_seqs_of(["nowhere"], []) == {}


def test_record_is_found_by_its_place_and_membership_is_none() -> None:
    founder, editor = founded(1)
    record = editor.edit("a", ONE)
    founder.pull(editor)
    assert founder.log.registers.find(record.actor, record.seq) == record
    (granting,) = [actor for actor in founder.log.frontier() if actor != record.actor]
    assert founder.log.registers.find(granting, 1) is None


def test_author_is_named_as_when_it_wrote() -> None:
    founder, editor = founded(1)
    first = editor.edit("a", ONE)
    editor.author.name = "renamed"
    second = editor.edit("a", TWO)
    founder.pull(editor)
    names = [founder.log.registers.author_name(record.actor, record.seq) for record in (first, second)]
    assert names == ["machine 1", "renamed"]


def test_directory_of_its_own_right_is_one_whose_winner_is() -> None:
    (founder,) = founded(0)
    for content, expected in ((ONE, False), (DIRECTORY, True), (DELETED, False)):
        founder.edit("a", content)
        assert founder.log.registers.is_directory("a") is expected


def test_record_waits_for_the_older_one_that_it_saw_which_is_no_head_then() -> None:
    founder, one, two = founded(2)
    one.edit("a", ONE)
    two.pull(one)
    two.show("a")
    newer = two.edit("a", TWO)
    late = Machine(9, founder.genesis)
    late.pull(founder)
    (of_two,) = [batch for batch in two.batches() if batch.header.device == two.device]
    assert late.take([of_two]).waiting == {newer.actor: 1}
    assert late.heads("a") == ()
    late.pull(one)
    assert late.take([of_two]).records == 1
    assert late.heads("a") == (newer,)
    assert len(list(late.log.registers.versions("a"))) == 2


def test_records_of_one_transaction_are_heads_at_once() -> None:
    (founder,) = founded(0)
    with founder.writing() as pen:
        first = pen.edit(Edit("a", ONE, {}))
        assert founder.heads("a") == (first,)
        second = pen.edit(Edit("a", THREE, first.vector))
        assert founder.heads("a") == (second,)
