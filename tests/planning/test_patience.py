"""When a file that programs write to is read: never half of it, and not too often."""

from itertools import pairwise

import pytest

from p2pdrive.limits import (
    BUSY_SECONDS,
    DISTANCE_SECONDS_MAX,
    EMPTIED_PATIENCE_SECONDS,
    HABITS_MAX,
    OPEN_LOOK_SECONDS_MAX,
    OPEN_PATIENCE_SECONDS,
    OPEN_QUIET_SECONDS,
    RESTLESS_SECONDS_MAX,
    RESTLESS_SECONDS_MIN,
)
from p2pdrive.planning.patience import Glimpse, Patience

MINUTE = 60.0


class Program:
    """A program that writes one file, and a drive that looks when it hears of it, or when it is due."""

    def __init__(self) -> None:
        self.patience = Patience()
        self.now = 1000.0
        self.size = 100
        self.recorded: int | None = 100
        self.is_open = False
        self.written = 0
        self.unread = False
        self.reads: list[float] = []
        self.looks = 0

    def write(self, more: int = 10) -> None:
        self.size += more
        self.written += 1
        self.unread = True
        if not self.patience.note_named("f", self.now):
            self.look()

    def close(self) -> None:
        self.is_open = False
        self.patience.note_named("f", self.now)
        self.look()

    def look(self) -> None:
        self.looks += 1
        if not self.unread:
            self.patience.end("f")
            return
        if not self.patience.must_wait(
            "f", Glimpse(self.size, self.written, self.is_open, self.recorded), self.now
        ):
            self.patience.end("f")
            self.patience.note_read("f", self.size, self.now)
            self.reads.append(self.now)
            self.recorded, self.unread = self.size, False

    def go_on(self, seconds: float, writing_every: float = 0.0, more: int = 10) -> None:
        """Let time pass in tenths of a second."""
        for tick in range(1, round(seconds * 10) + 1):
            self.now = round(self.now + 0.1, 1)
            if writing_every and tick % round(writing_every * 10) == 0:
                self.write(more)
            if self.patience.take_due(self.now):
                self.look()

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.reads)]


@pytest.fixture
def program() -> Program:
    return Program()


# --- closed after each write


def test_first_edit_after_a_rest_is_read_at_once(program: Program) -> None:
    for _ in range(5):
        program.write()
        assert program.reads[-1] == program.now
        program.go_on(5)
    assert program.looks == 5


def test_versions_of_what_is_appended_ten_times_a_second_keep_a_growing_distance(program: Program) -> None:
    program.go_on(10 * MINUTE, writing_every=0.1)
    assert program.pauses[:6] == pytest.approx([1, 2, 4, 8, 16, 32], abs=0.2)
    assert program.pauses[6:] == pytest.approx([DISTANCE_SECONDS_MAX] * len(program.pauses[6:]), abs=0.2)
    assert program.looks < 40, "nobody looks at it ten times a second"


def test_last_state_is_always_read_and_the_distance_falls_back_after_a_rest(program: Program) -> None:
    program.go_on(MINUTE, writing_every=0.1)
    program.go_on(2 * MINUTE)
    assert program.recorded == program.size
    assert not program.patience.all()
    program.write()
    assert program.reads[-1] == program.now
    program.go_on(1.1)
    program.write()
    assert program.reads[-1] == program.now


def test_saves_some_seconds_apart_are_all_read_at_once(program: Program) -> None:
    program.go_on(MINUTE, writing_every=2)
    assert len(program.reads) == 30


def test_large_file_is_read_so_seldom_that_reading_it_takes_little_of_the_time(program: Program) -> None:
    program.size = program.recorded = 2 * 1024**3
    program.go_on(5 * MINUTE, writing_every=0.5)
    assert min(program.pauses) >= 30


# --- held open


def test_document_that_is_emptied_and_written_later_is_read_when_it_is_closed(program: Program) -> None:
    program.is_open = True
    program.size = 0
    program.write(0)
    program.go_on(4 * MINUTE)
    program.write(200)
    program.go_on(4 * MINUTE)
    assert program.reads == []
    program.close()
    assert program.reads == [program.now]


def test_new_file_that_is_copied_slowly_is_one_version(program: Program) -> None:
    program.is_open, program.recorded, program.size = True, None, 0
    program.go_on(5 * MINUTE, writing_every=0.1)
    program.close()
    assert program.reads == [program.now]


def test_emptied_file_whose_program_never_writes_is_read_after_all(program: Program) -> None:
    program.is_open = True
    program.size = 0
    program.write(0)
    program.go_on(2 * EMPTIED_PATIENCE_SECONDS)
    assert [at - 1000 for at in program.reads] == pytest.approx(
        [EMPTIED_PATIENCE_SECONDS], abs=OPEN_LOOK_SECONDS_MAX
    )


def test_log_that_is_never_closed_is_read_about_once_a_minute(program: Program) -> None:
    program.is_open = True
    program.go_on(10 * MINUTE, writing_every=0.1)
    assert len(program.reads) >= 7
    assert min(program.pauses) >= OPEN_PATIENCE_SECONDS
    program.go_on(2 * MINUTE)
    assert program.recorded == program.size, "and the last of it once it is quiet"


def test_image_that_is_written_in_place_is_read_when_it_pauses(program: Program) -> None:
    program.is_open = True
    program.go_on(5 * MINUTE, writing_every=1, more=0)
    assert program.reads == []
    program.go_on(OPEN_QUIET_SECONDS + OPEN_LOOK_SECONDS_MAX)
    assert len(program.reads) == 1


def test_image_that_never_pauses_is_read_less_and_less_often(program: Program) -> None:
    program.is_open = True
    program.go_on(3 * 3600, writing_every=1, more=0)
    assert program.reads[0] - 1000 == pytest.approx(RESTLESS_SECONDS_MIN, abs=2)
    assert program.pauses[0] == pytest.approx(2 * RESTLESS_SECONDS_MIN, abs=2)
    assert max(program.pauses) <= RESTLESS_SECONDS_MAX + 2


def test_open_file_is_looked_at_less_and_less_often(program: Program) -> None:
    program.is_open = True
    program.size = 0
    program.write(0)
    program.go_on(MINUTE)
    assert program.looks <= 10


def test_file_that_others_see_closed_a_moment_later_is_read_then(program: Program) -> None:
    program.is_open = True
    program.write()
    assert program.patience.waits_to_be_closed("f")
    program.go_on(0.3)
    program.close()
    assert program.reads == [program.now]


# --- standing


def test_file_that_waits_is_brief_at_first_and_busy_later(program: Program) -> None:
    program.is_open = True
    program.write()
    assert program.patience.is_brief(program.now)
    assert program.patience.busy(program.now) == []
    program.go_on(BUSY_SECONDS + 1)
    assert not program.patience.is_brief(program.now)
    (busy,) = program.patience.busy(program.now)
    assert (busy.path, busy.since) == ("f", 1000.0)
    assert busy.look_at > program.now
    program.close()
    assert program.patience.busy(program.now) == []


def test_log_stays_busy_from_version_to_version(program: Program) -> None:
    program.go_on(2 * MINUTE, writing_every=0.1)
    program.go_on(0.3, writing_every=0.1)
    (busy,) = program.patience.busy(program.now)
    assert busy.since < 1010


def test_someone_is_woken_when_a_file_becomes_busy(program: Program) -> None:
    program.is_open = True
    program.write()
    program.go_on(BUSY_SECONDS - 2)
    assert program.patience.next_at(program.now) <= 1000 + BUSY_SECONDS


def test_memory_is_bounded() -> None:
    patience = Patience()
    for number in range(5 * HABITS_MAX):
        patience.note_read(str(number), 1, 0.0)
    assert len(patience._habits) <= 2 * HABITS_MAX
    for number in range(2 * HABITS_MAX):
        patience.must_wait(f"open {number}", Glimpse(1, 1, True, None), 1.0)
    assert len(patience.all()) <= HABITS_MAX
    assert patience.must_wait("open 0", Glimpse(1, 1, True, None), 2.0), "what waits is not forgotten"


@pytest.mark.parametrize(("grew", "after"), [(True, OPEN_PATIENCE_SECONDS), (False, RESTLESS_SECONDS_MIN)])
def test_file_that_changes_whenever_it_is_read_is_taken_in_part_after_some_patience(
    grew: bool, after: float
) -> None:
    patience = Patience()
    assert not patience.takes_part("f", grew, 1000.0)
    patience.note_read("f", 100, 1000.0, in_one=False)
    assert not patience.takes_part("f", grew, 1000.0 + after - 1)
    patience.note_read("f", 100, 1000.0 + after, in_one=False)
    assert patience.takes_part("f", grew, 1000.0 + after)
    patience.note_read("f", 100, 1000.0 + 2 * after)  # nobody wrote meanwhile
    assert not patience.takes_part("f", grew, 1000.0 + 9 * after)


def test_file_that_is_begun_anew_is_not_taken_in_part() -> None:
    patience = Patience()
    patience.must_wait("f", Glimpse(100, 1, True, None), 1000.0)
    patience.note_read("f", 100, 1000.0, in_one=False)
    patience.must_wait("f", Glimpse(10, 2, True, None), 1100.0)
    assert not patience.takes_part("f", True, 2000.0)
