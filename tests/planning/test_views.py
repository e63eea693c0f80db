"""Views: what a person does with a conflict copy settles the conflict, and loses nothing."""

from dataclasses import dataclass, field, replace

from hypothesis import event, given
from hypothesis import strategies as st

from p2pdrive.model.heads import merge
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind, Record
from p2pdrive.model.vector import Vector
from p2pdrive.planning.conflicts import Verdict, copy_path, dismissal, judge
from p2pdrive.planning.reconcile import Adopt, Base, Blocked, Publish, Show, Situation, reconcile
from p2pdrive.planning.views import Dismiss, Restore, ViewAction, reconcile_view
from tests.model.histories import CONTENTS, PATH, histories

NEW = Content(Kind.FILE, 4, b"\x77" * 32, 1)
ONE, TWO = CONTENTS[0], CONTENTS[1]


@dataclass(slots=True)
class Copy:
    """A conflict copy: the records of the path that it belongs to, those of its own, and the disk."""

    records: list[Record]
    own: list[Record]
    path: str
    shows: Record
    disk: Content
    may_write: bool
    base: Base | None = None  # once it is an ordinary file
    is_view: bool = True
    written: int = 0
    kept: list[Content] = field(default_factory=list)

    @property
    def of(self) -> Verdict:
        return judge(merge((), self.records), live_child=False)

    @property
    def standing(self) -> Record | None:
        return self.shows if self.shows in self.of.losers else None

    def plan(self) -> tuple[ViewAction, ...]:
        heads = merge((), self.own)
        verdict = judge(heads, live_child=False)
        if self.is_view:
            shown, loser = self.shows.content, self.standing
            return reconcile_view(self.path, heads, verdict, loser, shown, self.disk, self.may_write)
        action = reconcile(Situation(self.path, heads, verdict, self.base, self.disk, self.may_write))
        return () if action is None else (action,)

    def apply(self, action: ViewAction) -> None:
        match action:
            case Publish():
                record = self._write(self.path, action.content, action.seen, action.clock)
                self.own.append(record)
                self._stands_for(action.content, record.vector)
            case Adopt():
                assert action.content == self.disk
                self._stands_for(action.content, action.seen)
            case Show():
                self.kept += [self.disk] if action.keep else []
                self.disk = action.verdict.content
                self._stands_for(self.disk, action.verdict.seen)
            case Dismiss():
                of = self.of
                seen = dismissal(merge((), self.records), of, action.loser)
                self.records.append(self._write(PATH, of.content, seen, None))
                if not self.disk.live:
                    self.is_view, self.base = False, None
            case Restore():
                self.disk = action.loser.content
            case Blocked():
                assert not self.may_write

    def _write(self, path: str, content: Content, seen: Vector, clock: int | None) -> Record:
        assert self.may_write
        self.written += 1
        unplaced = Record(path, content, b"", 0, seen, 1 << 40 if clock is None else clock)
        return unplaced.placed(b"own actor " + self.written.to_bytes(6, "big"), 1)

    def _stands_for(self, content: Content, seen: Vector) -> None:
        self.is_view = False
        self.base = Base(content, seen) if content.live else None


@st.composite
def copies(draw: st.DrawFn) -> Copy:
    """A copy as it was shown at some time, whatever has happened since."""
    records = draw(histories()).records
    before = judge(merge((), records[: draw(st.integers(0, len(records)))]), live_child=False)
    if not before.losers:
        records += [head(ONE, 8, 1), head(TWO, 9, 2)]
        before = judge(merge((), records), live_child=False)
    loser = draw(st.sampled_from(before.losers))
    path = copy_path(loser, "anna")
    ordinary = [
        replace(record, path=path)
        for record in draw(st.one_of(st.just([]), histories().map(lambda history: history.records)))
    ]
    disk = draw(st.sampled_from([loser.content, loser.content, DELETED, NEW, *CONTENTS]))
    return Copy(list(records), ordinary, path, loser, disk, draw(st.booleans()))


def settle(copy: Copy) -> list[ViewAction]:
    done: list[ViewAction] = []
    while actions := copy.plan():
        assert len(done) < 6, f"no end of it: {done}"
        for action in actions:
            copy.apply(action)
        done += actions
        if isinstance(actions[-1], Blocked):
            break
    return done


@given(copies())
def test_plan_ends_and_leaves_nothing_to_do(copy: Copy) -> None:
    actions = settle(copy)
    event(" ".join(type(action).__name__ for action in actions) or "nothing")
    last = copy.plan()
    assert last == () or (isinstance(last[-1], Blocked) and last[-1] == actions[-1])


@given(copies())
def test_no_content_that_a_person_put_there_is_lost(copy: Copy) -> None:
    if not copy.disk.live or copy.disk.kind is Kind.DIRECTORY:
        return
    before = copy.disk
    settle(copy)
    every = [copy.disk, *copy.kept, *(record.content for record in (*copy.records, *copy.own))]
    assert before.identity in {content.identity for content in every}


@given(copies())
def test_viewer_writes_nothing(copy: Copy) -> None:
    copy.may_write = False
    settle(copy)
    assert copy.written == 0


@given(copies())
def test_untouched_copy_that_is_still_wanted_stays(copy: Copy) -> None:
    if copy.standing is not None and not copy.own:
        copy.disk = copy.shows.content
        assert settle(copy) == []
        assert copy.is_view


@given(copies())
def test_copy_whose_loser_was_settled_goes_unless_it_was_edited(copy: Copy) -> None:
    if copy.standing is None and not copy.own and copy.may_write:
        edited = copy.disk.live and copy.disk.identity != copy.shows.content.identity
        settle(copy)
        assert copy.disk.live == edited


@given(copies())
def test_content_of_a_deleted_copy_is_no_head_any_more(copy: Copy) -> None:
    if copy.standing is not None and not copy.own and copy.may_write:
        copy.disk = DELETED
        settle(copy)
        contents = {lost.content.identity for lost in copy.of.losers}
        assert copy.shows.content.identity not in contents


def head(content: Content, actor: int, when: int, path: str = PATH) -> Record:
    return Record(path, content, b"", 0, {}, when).placed(bytes([actor]) * 16, 1)


def conflict(disk: Content, may_write: bool = True) -> Copy:
    lost, won = head(ONE, 1, 1), head(TWO, 2, 2)
    return Copy([lost, won], [], copy_path(lost, "anna"), lost, disk, may_write)


def test_deleting_the_copy_dismisses_the_loser() -> None:
    copy = conflict(DELETED)
    assert settle(copy) == [Dismiss(copy.shows)]
    (left,) = merge((), copy.records)
    assert left.content == TWO


def test_deleting_the_copy_of_a_content_that_two_wrote_dismisses_both() -> None:
    copy = conflict(DELETED)
    copy.records.append(head(ONE, 3, 0))
    settle(copy)
    assert copy.of.losers == ()


def test_editing_the_copy_makes_it_a_file_and_dismisses_the_loser() -> None:
    copy = conflict(NEW)
    assert [type(action) for action in settle(copy)] == [Publish, Dismiss]
    assert [record.content for record in merge((), copy.own)] == [NEW]
    assert copy.of.losers == ()


def test_viewer_that_deletes_a_copy_gets_it_back() -> None:
    copy = conflict(DELETED, may_write=False)
    assert settle(copy) == [Restore(copy.path, copy.shows)]
    assert copy.disk == ONE


def test_viewers_edit_of_a_copy_stays_here() -> None:
    copy = conflict(NEW, may_write=False)
    assert [type(action) for action in settle(copy)] == [Blocked]
    assert copy.disk == NEW


def test_copy_gives_way_to_an_ordinary_file_of_its_name() -> None:
    copy = conflict(ONE)
    copy.own.append(head(NEW, 4, 1, copy.path))
    settle(copy)
    assert (copy.disk, copy.is_view) == (NEW, False)


def test_edited_copy_beside_an_ordinary_file_of_its_name_is_a_conflict_of_both() -> None:
    copy = conflict(CONTENTS[2])
    copy.own.append(head(NEW, 4, 1, copy.path))
    settle(copy)
    contents = {record.content.identity for record in merge((), copy.own)}
    assert contents == {NEW.identity, CONTENTS[2].identity}


def test_copy_whose_place_holds_what_others_made_of_it_is_no_edit() -> None:
    for theirs in (NEW, DIRECTORY):
        copy = conflict(theirs)
        copy.own.append(head(theirs, 4, 1, copy.path))
        assert Publish not in map(type, settle(copy))
        assert (copy.disk, copy.is_view, copy.written) == (theirs, False, 0)


def test_a_viewers_edit_of_a_copy_makes_room_for_what_others_made_of_it() -> None:
    copy = conflict(NEW, may_write=False)
    copy.own = [head(DIRECTORY, 3, 3, copy.path)]
    settle(copy)
    assert (copy.disk, copy.kept, copy.written) == (DIRECTORY, [NEW], 0)
