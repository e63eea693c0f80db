"""`wait` on a clock of its own."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest

from p2pdrive.cli.status import wait_in_sync
from p2pdrive.engine.status import BusyStatus, DriveState, NodeStatus
from p2pdrive.errors import DriveError, NotInSync


class Clock:
    def __init__(self) -> None:
        self.now = 100.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def in_turn(answer: NodeStatus, clock: Clock, script: list[tuple[float, DriveState]]) -> Iterator[NodeStatus]:
    """Statuses whose state is that of the last line of the script whose time (from now) has come."""
    start = clock.now
    while True:
        state = [state for at, state in script if clock.now - start >= at][-1]
        yield replace(answer, drives=(replace(answer.drives[0], state=state),))


def waited(control, script, timeout: float = math.inf, directory: str | None = None) -> Clock:
    clock = Clock()
    answers = in_turn(control.answer, clock, script)
    wait_in_sync(lambda: next(answers), directory, timeout, clock, clock.sleep)
    return clock


def test_in_sync_must_last_half_a_second(control) -> None:
    clock = waited(control, [(0, DriveState.IN_SYNC)])
    assert 0.5 <= clock.now - 100 <= 0.75


def test_a_moment_out_of_sync_begins_it_again(control) -> None:
    script = [(0, DriveState.IN_SYNC), (0.4, DriveState.SCANNING), (2.0, DriveState.IN_SYNC)]
    assert 102.5 <= waited(control, script).now <= 103


def test_polls_quickly_at_first_and_never_slower_than_four_a_second(control) -> None:
    clock = waited(control, [(0, DriveState.SYNCING), (20, DriveState.IN_SYNC)])
    assert clock.pauses[0] == 0.05
    assert max(clock.pauses) == 0.25
    assert len(clock.pauses) < 100


@pytest.mark.parametrize("state", [state for state in DriveState if state is not DriveState.IN_SYNC])
def test_every_other_state_ends_at_the_timeout(control, state) -> None:
    with pytest.raises(NotInSync, match="Photos is ") as caught:
        waited(control, [(0, state)], timeout=1)
    assert caught.value.exit_code == 3


def test_the_timeout_is_kept_to(control) -> None:
    clock = Clock()
    answers = in_turn(control.answer, clock, [(0, DriveState.WAITING)])
    with pytest.raises(NotInSync):
        wait_in_sync(lambda: next(answers), None, 0.77, clock, clock.sleep)
    assert clock.now == pytest.approx(100.77)


def test_a_folder_that_is_no_drive_is_refused_at_once(control) -> None:
    with pytest.raises(DriveError, match="/srv/other is in no drive"):
        waited(control, [(0, DriveState.IN_SYNC)], directory="/srv/other")


def test_a_node_without_drives_is_in_sync(control) -> None:
    clock = Clock()
    empty = replace(control.answer, drives=())
    wait_in_sync(lambda: empty, None, math.inf, clock, clock.sleep)
    assert clock.now >= 100.5


def waited_for_busy(control, except_busy: bool) -> tuple[Clock, list[str]]:
    """In sync but for a file that programs write to for four seconds."""
    clock, told = Clock(), list[str]()
    busy = (
        BusyStatus("app.log", "changes again and again.", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),
    )

    def ask() -> NodeStatus:
        drive = replace(
            control.answer.drives[0], state=DriveState.IN_SYNC, busy=busy if clock.now < 104 else ()
        )
        return replace(control.answer, drives=(drive,))

    wait_in_sync(ask, None, 60, clock, clock.sleep, except_busy=except_busy, tell=told.append)
    return clock, told


def test_a_file_that_does_not_rest_is_waited_for_by_name(control) -> None:
    clock, told = waited_for_busy(control, except_busy=False)
    assert clock.now >= 104.5
    assert told == [
        "waiting for app.log: changes again and again. `wait --except-busy` does not wait for such files."
    ]


def test_except_busy_does_not_wait_for_files_that_do_not_rest(control) -> None:
    clock, told = waited_for_busy(control, except_busy=True)
    assert clock.now <= 100.75
    assert told == []


def test_the_timeout_names_a_file_that_does_not_rest_in_whole_sentences(control) -> None:
    busy = (BusyStatus("app.log", "is synced later.", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"),)
    drive = replace(
        control.answer.drives[0], state=DriveState.SYNCING, busy=busy, missing_files=0, missing_bytes=0
    )
    clock = Clock()
    with pytest.raises(NotInSync) as caught:
        wait_in_sync(lambda: replace(control.answer, drives=(drive,)), None, 1, clock, clock.sleep)
    assert str(caught.value) == (
        "Not in sync after 1 s: Photos is syncing: comparing with the other members, with 1 file that is not "
        "at rest; app.log: is synced later."
    )
