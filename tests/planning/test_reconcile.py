"""Reconcile: whatever the heads, the index and the disk say, the plan ends, is stable, and loses nothing."""

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from p2pdrive.model import clock
from p2pdrive.model.heads import Heads, merge
from p2pdrive.model.record import DELETED, DIRECTORY, Content, Kind, Record
from p2pdrive.model.vector import Vector, descends, joined
from p2pdrive.planning.conflicts import Verdict, judge
from p2pdrive.planning.reconcile import (
    Action,
    Adopt,
    Base,
    Blocked,
    Publish,
    Show,
    Situation,
    reconcile,
)
from tests.model.histories import CONTENTS, PATH, History, histories

NEW = Content(Kind.FILE, 4, b"\x77" * 32, 1, False, 1_650_000_000_000_000_000)


@dataclass(slots=True)
class Place:
    """One path of a folder, its index and its heads, with nothing but values in it."""

    versions: list[Record]
    base: Base | None
    disk: Content
    live_child: bool
    may_write: bool
    adopting: bool
    kept: list[Content] = field(default_factory=list)  # beside the path: copies of losers and of our own
    own: int = 0

    @property
    def heads(self) -> Heads:
        return merge((), self.versions)

    @property
    def verdict(self) -> Verdict:
        return judge(self.heads, self.live_child)

    def situation(self) -> Situation:
        past: Vector | None = None
        if self.base is None and self.disk.live and self.adopting:
            same = [
                record.vector for record in self.versions if record.content.identity == self.disk.identity
            ]
            past = joined(same) if same else None
        return Situation(PATH, self.heads, self.verdict, self.base, self.disk, self.may_write, past)

    def publish(self, action: Publish) -> None:
        assert self.may_write
        self.own += 1  # a new actor for each, as a device may always take one
        when = 1 << 40 if action.clock is None else action.clock
        unplaced = Record(PATH, action.content, b"", 0, action.seen, when)
        record = unplaced.placed(b"own actor " + self.own.to_bytes(6, "big"), 1)
        self.versions.append(record)
        self._note(action.content, record.vector)

    def apply(self, action: Action) -> None:
        match action:
            case Publish():
                self.publish(action)
            case Adopt():
                assert action.content == self.disk
                self._note(action.content, action.seen)
            case Show():
                if action.aside is not None:
                    assert action.aside.content.identity == self.disk.identity
                if action.aside is not None or action.keep:
                    self.kept.append(self.disk)
                self.disk = action.verdict.content
                self._note(self.disk, action.verdict.seen)
            case Blocked():
                assert not self.may_write

    def _note(self, content: Content, seen: Vector) -> None:
        self.base = Base(content, seen) if content.live else None

    def holds(self, content: Content) -> bool:
        """Whether ``content`` is on disk, beside it, or in the history."""
        every = [self.disk, *self.kept, *(record.content for record in self.versions)]
        return any(content.identity == other.identity for other in every)


@st.composite
def places(draw: st.DrawFn) -> Place:
    """Any situation that can come about: what the folder showed stands for some of the records."""
    history: History = draw(histories())
    live_child, before = draw(st.booleans()), draw(st.booleans())
    records = history.records
    shown = records[: draw(st.integers(0, len(records)))]
    verdict = judge(merge((), shown), before)
    base = None
    if verdict.content.live and draw(st.booleans()):
        times = draw(st.sampled_from([verdict.content.mtime_ns, 1_500_000_000_123_456_700]))
        content = verdict.content
        if content.kind is Kind.FILE:
            content = replace(content, mtime_ns=times)
        base = Base(content, verdict.seen)
    unchanged = base.content if base is not None else DELETED
    disk = draw(st.sampled_from([unchanged, unchanged, NEW, replace(NEW, mtime_ns=0), *CONTENTS]))
    return Place(records, base, disk, live_child, draw(st.booleans()), draw(st.booleans()))


def settle(place: Place) -> list[Action]:
    """Apply plans until there is nothing to do; at most a publication and what follows from it."""
    done: list[Action] = []
    while (action := reconcile(place.situation())) is not None:
        assert len(done) < 4, f"no end of it: {done}"
        done.append(action)
        place.apply(action)
        if isinstance(action, Blocked):
            break
    return done


@given(places())
def test_plan_ends_and_leaves_nothing_to_do(place: Place) -> None:
    actions = settle(place)
    event(" ".join(type(action).__name__ for action in actions) or "nothing")
    last = reconcile(place.situation())
    assert last is None or (isinstance(last, Blocked) and last == actions[-1])


@given(places())
def test_at_most_one_record_is_published_and_it_comes_first(place: Place) -> None:
    kinds = [type(action) for action in settle(place)]
    assert Publish not in kinds[1:]


@given(places())
def test_member_that_may_write_shows_what_the_heads_say(place: Place) -> None:
    settle(place)
    if place.may_write:
        assert place.disk.identity == place.verdict.content.identity
        if place.disk.live:
            assert place.base is not None
            assert dict(place.base.seen) == dict(place.verdict.seen)


@given(places())
def test_nothing_that_was_on_disk_is_lost(place: Place) -> None:
    before = place.disk
    for _ in range(4):
        action = reconcile(place.situation())
        if action is None or isinstance(action, Blocked):
            break
        place.apply(action)
        if before.live and before.kind is not Kind.DIRECTORY:  # one that is not empty is never removed
            assert place.holds(before)


@given(places())
def test_viewer_publishes_nothing(place: Place) -> None:
    place.may_write = False
    versions = len(place.versions)
    settle(place)
    assert len(place.versions) == versions


@given(places())
def test_publication_supersedes_only_what_the_folder_had_shown(place: Place) -> None:
    action = reconcile(place.situation())
    if isinstance(action, Publish):
        known = place.base.seen if place.base is not None else place.situation().past or {}
        dead = joined(head.vector for head in place.heads if not head.content.live)
        assert descends(joined([known, dead]), action.seen)


@given(places())
def test_deletion_is_published_only_where_the_index_showed_something(place: Place) -> None:
    shown = place.base
    action = reconcile(place.situation())
    if isinstance(action, Publish) and not action.content.live:
        assert shown is not None and shown.content.live


@given(places())
def test_adopting_folder_publishes_no_deletion(place: Place) -> None:
    place.base, place.adopting = None, True
    assert all(not isinstance(a, Publish) or a.content.live for a in settle(place))


@given(places())
def test_same_situation_gives_the_same_plan(place: Place) -> None:
    assert reconcile(place.situation()) == reconcile(place.situation())


# --- each case that the design names


def head(content: Content, actor: int = 1, when: int = 5, seen: Vector | None = None) -> Record:
    return Record(PATH, content, b"", 0, seen or {}, when).placed(bytes([actor]) * 16, 1)


def place_of(*versions: Record, disk: Content, base: Base | None = None, may_write: bool = True) -> Place:
    return Place(list(versions), base, disk, False, may_write, adopting=False)


ONE, TWO = CONTENTS[0], CONTENTS[1]


def test_new_file_is_published() -> None:
    assert reconcile(place_of(disk=NEW).situation()) == Publish(PATH, NEW, {})


def test_new_remote_file_is_shown() -> None:
    place = place_of(head(ONE), disk=DELETED)
    assert settle(place) == [Show(PATH, judge((head(ONE),), live_child=False))]


def test_edit_is_published_as_having_seen_the_base() -> None:
    place = place_of(head(ONE), disk=NEW, base=Base(ONE, head(ONE).vector))
    assert settle(place) == [Publish(PATH, NEW, head(ONE).vector)]
    assert [h.content for h in place.heads] == [NEW]


def test_edit_beside_an_unseen_remote_edit_keeps_both() -> None:
    later = head(TWO, actor=2, seen=head(ONE).vector)
    place = place_of(head(ONE), later, disk=NEW, base=Base(ONE, head(ONE).vector))
    settle(place)
    assert {h.content.identity for h in place.heads} == {NEW.identity, TWO.identity}


def test_losing_edit_moves_aside_to_its_copy() -> None:
    winner = head(TWO, actor=2, when=1 << 50, seen=head(ONE).vector)
    place = place_of(head(ONE), winner, disk=NEW, base=Base(ONE, head(ONE).vector))
    publish, show = settle(place)
    assert isinstance(publish, Publish)
    assert isinstance(show, Show) and show.aside is not None and show.aside.content == NEW
    assert place.kept == [NEW]


def test_delete_is_published_and_loses_to_an_unseen_edit() -> None:
    later = head(TWO, actor=2, seen=head(ONE).vector)
    place = place_of(head(ONE), later, disk=DELETED, base=Base(ONE, head(ONE).vector))
    settle(place)
    assert place.disk == TWO
    assert place.verdict.losers == ()


def test_file_deleted_elsewhere_is_removed() -> None:
    gone = head(DELETED, actor=2, seen=head(ONE).vector)
    place = place_of(head(ONE), gone, disk=ONE, base=Base(ONE, head(ONE).vector))
    assert settle(place) == [Show(PATH, judge((gone,), live_child=False))]
    assert place.disk == DELETED


def test_file_made_where_one_was_deleted_supersedes_the_deletion() -> None:
    gone = head(DELETED)
    place = place_of(gone, disk=NEW)
    assert settle(place) == [Publish(PATH, NEW, gone.vector)]
    assert len(place.heads) == 1


def test_file_found_while_merging_is_as_old_as_it_says() -> None:
    place = place_of(head(ONE), disk=NEW)
    action = reconcile(place.situation())
    assert action == Publish(PATH, NEW, {}, clock.from_milliseconds(NEW.mtime_ns // 1_000_000))


def test_edit_found_by_a_scan_is_as_old_as_the_file_says() -> None:
    place = place_of(head(ONE, when=1), disk=NEW, base=Base(ONE, head(ONE).vector))
    action = reconcile(place.situation()._replace(mtime_ns=7_000_000))
    assert action == Publish(PATH, NEW, head(ONE).vector, clock.from_milliseconds(7))


def test_edit_found_with_an_old_time_is_no_older_than_what_it_follows() -> None:
    place = place_of(head(ONE, when=clock.from_milliseconds(9)), disk=NEW, base=Base(ONE, head(ONE).vector))
    action = reconcile(place.situation()._replace(mtime_ns=7_000_000))
    assert action == Publish(PATH, NEW, head(ONE).vector, clock.from_milliseconds(9) + 1)


def test_edit_found_by_a_scan_may_be_older_than_what_it_has_not_seen() -> None:
    unseen = head(TWO, actor=2, when=clock.from_milliseconds(9), seen=head(ONE).vector)
    place = place_of(head(ONE), unseen, disk=NEW, base=Base(ONE, head(ONE).vector))
    action = reconcile(place.situation()._replace(mtime_ns=7_000_000))
    assert action == Publish(PATH, NEW, head(ONE).vector, clock.from_milliseconds(7))


def test_deletion_found_by_a_scan_has_no_time_of_its_own() -> None:
    place = place_of(head(ONE), disk=DELETED, base=Base(ONE, head(ONE).vector))
    assert reconcile(place.situation()._replace(mtime_ns=7_000_000)) == Publish(
        PATH, DELETED, head(ONE).vector
    )


def test_equal_file_found_while_merging_is_adopted() -> None:
    place = place_of(head(ONE), disk=ONE)
    assert settle(place) == [Adopt(PATH, ONE, head(ONE).vector)]


def test_older_version_brought_along_is_updated_and_not_published() -> None:
    newer = head(TWO, actor=2, seen=head(ONE).vector)
    place = replace(place_of(head(ONE), newer, disk=ONE), adopting=True)
    assert settle(place) == [Show(PATH, judge((newer,), live_child=False))]


def test_loser_brought_along_becomes_its_copy() -> None:
    place = place_of(head(ONE, when=1), head(TWO, actor=2, when=9), disk=ONE)
    (show,) = settle(place)
    assert isinstance(show, Show) and show.aside == head(ONE, when=1)


def test_touched_file_is_published_by_a_writer_and_put_back_by_a_viewer() -> None:
    touched = replace(ONE, mtime_ns=7)
    for may_write in (True, False):
        base = Base(ONE, head(ONE).vector)
        place = place_of(head(ONE), disk=touched, base=base, may_write=may_write)
        settle(place)
        assert place.disk == (touched if may_write else ONE)


def test_exec_bit_set_elsewhere_is_set_here() -> None:
    executable = replace(ONE, executable=True)
    later = head(executable, actor=2, seen=head(ONE).vector)
    place = place_of(head(ONE), later, disk=ONE, base=Base(ONE, head(ONE).vector))
    assert settle(place) == [Show(PATH, judge((later,), live_child=False))]
    assert place.disk == executable


def test_viewers_edit_stays_where_it_is_until_others_change_the_file() -> None:
    base = Base(ONE, head(ONE).vector)
    place = place_of(head(ONE), disk=NEW, base=base, may_write=False)
    (blocked,) = settle(place)
    assert isinstance(blocked, Blocked) and "viewer" in blocked.what
    assert place.disk == NEW
    place.versions.append(head(TWO, actor=2, seen=head(ONE).vector))
    (show,) = settle(place)
    assert isinstance(show, Show) and show.keep
    assert (place.disk, place.kept) == (TWO, [NEW])


def test_viewers_file_makes_room_for_the_directory_that_it_took_the_place_of() -> None:
    place = place_of(head(DIRECTORY), disk=NEW, base=Base(DIRECTORY, head(DIRECTORY).vector), may_write=False)
    (show,) = settle(place)
    assert isinstance(show, Show) and show.keep
    assert (place.disk, place.kept) == (DIRECTORY, [NEW])


def test_viewers_edit_survives_a_remote_delete() -> None:
    gone = head(DELETED, actor=2, seen=head(ONE).vector)
    place = place_of(head(ONE), gone, disk=NEW, base=Base(ONE, head(ONE).vector), may_write=False)
    assert [type(action) for action in settle(place)] == [Blocked]
    assert place.disk == NEW


def test_what_a_viewer_deletes_comes_back() -> None:
    place = place_of(head(ONE), disk=DELETED, base=Base(ONE, head(ONE).vector), may_write=False)
    settle(place)
    assert place.disk == ONE


def test_deleted_directory_with_a_live_child_comes_back() -> None:
    place = place_of(head(DIRECTORY), disk=DELETED, base=Base(DIRECTORY, head(DIRECTORY).vector))
    place.live_child = True
    settle(place)
    assert place.disk.identity == DIRECTORY.identity


def test_directory_that_made_room_for_a_file_was_deleted_by_nobody() -> None:
    """A kill came before the file was there (seed 5002)."""
    file = head(ONE, actor=2, seen=head(DIRECTORY).vector)
    place = place_of(head(DIRECTORY), file, disk=DELETED, base=Base(DIRECTORY, head(DIRECTORY).vector))
    (show,) = settle(place)
    assert isinstance(show, Show)
    assert (place.disk, place.verdict.content) == (ONE, ONE)


@pytest.mark.parametrize("seen_now", [True, False])
def test_what_a_viewer_closed_is_opened_by_no_head_but_a_new_one(seen_now: bool) -> None:
    """Seed 885003: something in the directory was to be shown, and it was opened again."""
    heads = (Record(PATH, DIRECTORY, b"a" * 16, 2, {b"a" * 16: 2}, 1),)
    closed = Content(Kind.DIRECTORY, private=True)
    base = Base(closed, {b"a" * 16: 2 if seen_now else 1})
    action = reconcile(Situation(PATH, heads, judge(heads, True), base, closed, False, unshown=True))
    assert isinstance(action, Adopt) == seen_now
    if not seen_now:
        assert isinstance(action, Show) and not action.verdict.content.private
