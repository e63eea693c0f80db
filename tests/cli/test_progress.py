import io
from dataclasses import replace

import pytest
import trio
from rich.console import Console

from p2pdrive.cli.progress import Speed, changes, log_progress, render, show_progress
from p2pdrive.cli.running import _run, run_foreground
from p2pdrive.cli.words import size, state_text
from p2pdrive.engine.status import DriveState, NodeStatus, ProblemStatus
from p2pdrive.limits import PROGRESS_LOOK_SECONDS


@pytest.fixture
def status(control) -> NodeStatus:
    return control.answer


def with_drive(status: NodeStatus, **changed: object) -> NodeStatus:
    return replace(status, drives=(replace(status.drives[0], **changed),))


def rendered(status: NodeStatus, speed: Speed) -> str:
    console = Console(file=io.StringIO(), width=100, force_terminal=False)
    console.print(render(status, speed))
    return console.file.getvalue()


def test_first_look_introduces_the_node_and_its_drives(status) -> None:
    told = list(changes(None, status))
    assert told[0].startswith("laptop (device d1d1d1d1) listens on 192.0.2.5:4242")
    assert "Photos: in sync (1,204 files, 1 folder, 4.3 GB)" in told
    assert "Photos: desktop connected at 192.0.2.7:4100" in told


def test_nothing_new_is_nothing_to_say(status) -> None:
    more_traffic = replace(status.drives[0].peers[0], sent_bytes=10**9)
    assert list(changes(status, with_drive(status, peers=(more_traffic,)))) == []


def test_state_peers_problems_and_conflicts_are_told_when_they_change(status) -> None:
    gone = replace(status.drives[0].peers[0], connected=False, address=None)
    fresh = ProblemStatus("c", "the disk is full", "2026-02-03T04:05:06Z")
    after = with_drive(status, state=DriveState.WAITING, peers=(gone,), problems=(fresh,), conflicts=3)
    told = list(changes(status, after))
    assert told[0].startswith("Photos: waiting")
    assert told[1:] == [
        "Photos: desktop disconnected",
        "Photos: problem: c: the disk is full",
        "Photos: solved: a/b.txt: it cannot be read",
        "Photos: 3 conflicts",
    ]
    assert list(changes(after, replace(after, drives=()))) == ["Photos: no longer synced"]


def test_speed_is_of_the_last_seconds(status) -> None:
    speed = Speed()
    drive = status.drives[0]
    for second in range(10):
        peer = replace(drive.peers[0], sent_bytes=0, received_bytes=5_000_000 * max(0, second - 4))
        speed.note(float(second), with_drive(status, peers=(peer,)))
    sent, received = speed.of(drive.id)
    assert sent == 0
    assert received == pytest.approx(5_000_000)
    assert speed.of("unknown") == (0.0, 0.0)


@pytest.mark.parametrize("state", list(DriveState))
def test_every_state_has_words_and_a_look(status, state) -> None:
    shown = with_drive(status, state=state, peers=())
    speed = Speed()
    speed.note(0.0, shown)
    out = rendered(shown, speed)
    assert "Photos" in out
    assert state_text(shown.drives[0]) in out or state is DriveState.SYNCING
    assert "a/b.txt: it cannot be read" in out


def test_names_with_markup_are_shown_as_they_are(status) -> None:
    speed = Speed()
    odd = with_drive(status, name="[red]x[/red]")
    speed.note(0.0, odd)
    assert "[red]x[/red]" in rendered(odd, speed)


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (99_949, "99.9 kB"),
        (100_000, "100 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_073_741_824, "1.1 GB"),
        (10**15, "1.0 PB"),
        (5 * 10**18, "5000 PB"),
    ],
)
def test_sizes_in_words(count, text) -> None:
    assert size(count) == text


async def test_live_progress_draws_what_changes(control, autojump_clock, nursery) -> None:
    console = Console(file=io.StringIO(), width=100, force_terminal=True, force_interactive=True)
    nursery.start_soon(show_progress, control.status, console)
    await trio.sleep(1)
    control.answer = with_drive(control.answer, state=DriveState.OFFLINE)
    await trio.sleep(1)
    assert "offline" in console.file.getvalue()
    nursery.cancel_scope.cancel()


async def test_log_lines_tell_changes_and_now_and_then_the_progress(
    control, autojump_clock, nursery, caplog
) -> None:
    caplog.set_level("INFO", logger="p2pdrive")
    control.answer = with_drive(control.answer, state=DriveState.SYNCING)
    nursery.start_soon(log_progress, control.status)
    await trio.sleep(35)
    told = [record.getMessage() for record in caplog.records]
    assert told.count("Photos: syncing: 12 files (3.4 MB) to come") == 3
    nursery.cancel_scope.cancel()


def test_foreground_makes_its_request_and_ends_with_the_node(control) -> None:
    async def request() -> None:
        await control.join("p2pdrive://join/AQID", "/srv/x", False)
        await control.stop()

    run_foreground(control, request, debug=False)
    assert control.asked == [("join", "p2pdrive://join/AQID", "/srv/x", False)]


@pytest.mark.parametrize("moment", [0.03, 0.01])  # between two looks, and in one
async def test_nothing_is_said_of_drives_that_close_as_the_node_stops(
    control, caplog, autojump_clock, nursery, moment
) -> None:
    caplog.set_level("INFO", "p2pdrive")

    class Closing(type(control)):
        async def status(self) -> NodeStatus:
            await trio.lowlevel.checkpoint()
            with trio.CancelScope(shield=True):  # as in a thread
                await trio.sleep(0.02)
            return (
                with_drive(self.answer, state=DriveState.SCANNING) if self.stopped.is_set() else self.answer
            )

        async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
            await super().run(task_status=task_status)
            await trio.sleep(5)  # its drives close

    node = Closing()

    async def stop() -> None:
        await trio.sleep(3 * (PROGRESS_LOOK_SECONDS + 0.02) + moment)
        await node.stop()

    nursery.start_soon(stop)
    await _run(node, None, None)
    assert "Photos: in sync" in caplog.text
    assert "scanning" not in caplog.text
