"""The order of showing: what is small or fresh waits for nothing large or old, and nothing waits for ever."""

from collections.abc import Iterator, Sequence

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import KIB, MIB, PLAN_BYTES_MAX, PLAN_PATHS_MAX, SMALL_FILE_BYTES_MAX
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind
from p2pdrive.planning.ordering import SLOTS, Lane, Mark, Run, Slot, choose, lane_of

ROOM = 300 * KIB
BRIEF = 10 * ROOM
ANY = 2**62

_sizes = st.sampled_from([1, 4 * KIB, SMALL_FILE_BYTES_MAX, MIB, 200 * MIB])
_lanes = st.sampled_from(list(Lane))
_marked = st.lists(st.tuples(_lanes, _sizes), max_size=40)


class Shelf:
    """Marks by lane, as the index gives them, in pages of three."""

    def __init__(self, marked: Sequence[tuple[Lane, int]]) -> None:
        self.lanes = {f"{number}": lane for number, (lane, _) in enumerate(marked, 1)}
        self.marks = [Mark(f"{number}", size, number) for number, (_, size) in enumerate(marked, 1)]

    def pages(self, lane: Lane, newest_first: bool) -> Iterator[Sequence[Mark]]:
        marks = sorted((m for m in self.marks if self.lanes[m.path] is lane), key=lambda m: m.serial)
        marks = marks[::-1] if newest_first else marks
        for at in range(0, len(marks), 3):
            yield marks[at : at + 3]


def chosen(
    shelf: Shelf,
    free: Sequence[Slot] = tuple(SLOTS),
    done: Sequence[str] = (),
    under_way: Sequence[Run] = (),
    removable: int = ANY,
) -> Run | None:
    return choose(free, shelf.pages, lambda mark: mark.path not in done, under_way, removable, ROOM)


def begin_all(shelf: Shelf, begun: list[Run]) -> None:
    """Begin what there are slots for."""
    while run := chosen(
        shelf,
        [s for s in SLOTS if sum(r.slot is s for r in begun) < SLOTS[s]],
        [path for run in begun for path in run.paths],
        begun,
    ):
        begun.append(run)


def large(number: int) -> tuple[Lane, int]:
    return (Lane.LARGE, number)


SMALL = (Lane.SMALL, 100)


@given(_marked)
def test_all_that_is_due_is_begun_once_whatever_there_is(marked: list[tuple[Lane, int]]) -> None:
    shelf = Shelf(marked)
    done: list[str] = []
    while (run := chosen(shelf, done=done)) is not None:
        assert run.paths
        assert not {*run.paths} & {*done}
        assert {shelf.lanes[path] for path in run.paths} == {run.lane}
        done += run.paths
    assert sorted(done, key=int) == [mark.path for mark in shelf.marks]


@given(_marked)
def test_steady_slots_alone_take_all_that_needs_bytes(marked: list[tuple[Lane, int]]) -> None:
    shelf = Shelf(marked)
    done: list[str] = []
    while (run := chosen(shelf, [Slot.STEADY], done)) is not None:
        done += run.paths
    assert {*done} == {path for path, lane in shelf.lanes.items() if lane in (Lane.SMALL, Lane.LARGE)}


def test_edit_goes_before_the_films_that_came_before_it() -> None:
    run = chosen(Shelf([large(200 * MIB)] * 5 + [SMALL]))
    assert run == Run(Slot.QUICK, Lane.SMALL, ["6"], 6)


def test_edit_goes_before_the_small_files_that_came_before_it() -> None:
    run = chosen(Shelf([(Lane.SMALL, 200 * KIB)] * 5))
    assert run is not None
    assert run.paths == ["5"]


def test_rename_goes_before_deletions_and_these_before_bytes() -> None:
    shelf = Shelf([SMALL, (Lane.REMOVAL, 0), (Lane.PLAIN, 200 * MIB), large(MIB)])
    begun: list[str] = []
    while run := chosen(shelf, done=begun):
        begun += run.paths
    assert begun == ["3", "2", "1", "4"]


def test_removal_waits_while_the_log_may_say_that_the_file_has_another_name() -> None:
    shelf = Shelf([(Lane.REMOVAL, 0), (Lane.REMOVAL, 0)])
    run = chosen(shelf, removable=1)
    assert run is not None
    assert run.paths == ["1"]
    assert chosen(shelf, done=run.paths, removable=1) is None


def test_films_under_way_in_every_slot_leave_room_for_an_edit() -> None:
    shelf = Shelf([large(200 * MIB)] * 20)
    begun: list[Run] = []
    begin_all(shelf, begun)
    assert {run.slot for run in begun} == {Slot.FRESH, Slot.STEADY}
    shelf = Shelf([large(200 * MIB)] * 20 + [SMALL, large(300 * MIB)])
    free = [s for s in SLOTS if sum(r.slot is s for r in begun) < SLOTS[s]]
    done = [path for run in begun for path in run.paths]
    edit = chosen(shelf, free, done, begun)
    assert edit is not None
    assert (edit.slot, edit.paths) == (Slot.QUICK, ["21"])
    film = chosen(shelf, [Slot.FRESH], done, begun)
    assert film is not None
    assert film.paths == ["22"]


@given(
    st.lists(st.integers(50 * MIB, 500 * MIB), max_size=30),
    st.integers(SMALL_FILE_BYTES_MAX + 1, BRIEF),
    st.data(),
)
def test_films_under_way_however_many_and_fresh_leave_room_for_a_document(
    films: list[int], size: int, data: st.DataObject
) -> None:
    begun: list[Run] = []
    for count in range(1, len(films) + 1):  # each new film may get a slot before the next
        if data.draw(st.booleans()):
            begin_all(Shelf([large(film) for film in films[:count]]), begun)
    shelf = Shelf([large(film) for film in films] + [large(size)])
    begin_all(shelf, begun)
    run = next(run for run in begun if f"{len(films) + 1}" in run.paths)
    assert run.slot is Slot.BRIEF
    assert run.paths == [f"{len(films) + 1}"]


def test_film_is_not_brief_and_the_newest_document_goes_first() -> None:
    shelf = Shelf([large(BRIEF), large(BRIEF), large(BRIEF + 1)])
    run = chosen(shelf, [Slot.BRIEF])
    assert run is not None
    assert run.paths == ["2"]
    assert chosen(shelf, [Slot.BRIEF], ["1", "2"]) is None


def test_fresh_slot_begins_beside_another_only_with_what_is_newer() -> None:
    shelf = Shelf([large(MIB), large(MIB), large(MIB)])
    first = chosen(shelf, [Slot.FRESH])
    assert first is not None
    assert first.paths == ["3"]
    assert chosen(shelf, [Slot.FRESH], first.paths, [first]) is None


def test_bulk_comes_in_the_order_in_which_it_came() -> None:
    run = chosen(Shelf([large(MIB)] * 4), [Slot.STEADY])
    assert run is not None
    assert run.paths == ["1", "2"]


def test_run_has_bounds_however_much_is_due() -> None:
    run = chosen(Shelf([(Lane.PLAIN, MIB)] * (PLAN_PATHS_MAX + 1)))
    assert run is not None
    assert len(run.paths) == 3  # a page
    whole = choose(
        [Slot.STEADY],
        lambda lane, newest: iter([[Mark(f"{n}", MIB, n) for n in range(600)]]),
        lambda mark: True,
        [],
        ANY,
        2**40,
    )
    assert whole is not None
    assert len(whole.paths) == PLAN_BYTES_MAX // MIB


def test_lane_is_by_what_must_be_brought() -> None:
    film = Content(Kind.FILE, 200 * MIB, b"r" * 32, 800)
    assert lane_of(film) is Lane.LARGE
    assert lane_of(film, is_here=True) is Lane.PLAIN
    assert lane_of(Content(Kind.FILE, SMALL_FILE_BYTES_MAX, b"r" * 32, 1)) is Lane.SMALL
    assert {lane_of(Content(Kind.FILE)), lane_of(DIRECTORY)} == {Lane.PLAIN}
    assert lane_of(Content(Kind.SYMLINK, target="x")) is Lane.PLAIN
    assert {lane_of(DELETED), lane_of(None)} == {Lane.REMOVAL}


@given(_lanes, _lanes, st.sampled_from(list(Slot)))
def test_what_turns_out_otherwise_ends_in_some_run(planned: Lane, lane: Lane, slot: Slot) -> None:
    run = Run(slot, planned, [], 0)
    if not run.takes(lane):
        assert Run(slot, lane, [], 0).takes(lane)
    else:
        assert (lane is Lane.REMOVAL) == (planned is Lane.REMOVAL)
        assert lane <= planned or slot is not Slot.QUICK
