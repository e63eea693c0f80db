"""The pure planner on replicas that exist on paper: many cases, and bad planners are caught."""

import re
import signal
from collections.abc import Iterable

import pytest

from p2pdrive.cli.main import main
from p2pdrive.lab import paper as on_paper
from p2pdrive.lab import planner
from p2pdrive.lab.paper import Paper
from p2pdrive.lab.planner import try_case, try_planner
from p2pdrive.model.heads import Heads, merge
from p2pdrive.model.record import Content, Kind, Record
from p2pdrive.planning.conflicts import Verdict, judge


def test_all_promises_are_kept_on_paper() -> None:
    tried = try_planner(seed=1, cases=400)
    assert tried.failure is None, tried.failure
    assert tried.cases == 400


def test_it_ends_in_time() -> None:
    assert try_planner(seed=2, cases=10**9, seconds=0.0).cases == 1


def test_a_case_is_the_same_each_time() -> None:
    assert [paper.disk for paper in try_case("7")] == [paper.disk for paper in try_case("7")]


def test_cases_have_conflicts_and_renames_into_directories() -> None:
    ended = [try_case(f"3 {number}") for number in range(60)]
    assert any(note.loser for papers in ended for note in papers[0].notes.values())
    assert any("/" in path for papers in ended for path in papers[0].disk)
    assert {len(papers) for papers in ended} == {2, 3}


@pytest.mark.parametrize("seed", ["218287255 14557", "772 28251"])
def test_case_that_found_a_bug_keeps_all_promises(seed: str) -> None:
    assert try_case(seed)


def caught(seed: int) -> str:
    """Which promise is broken first."""
    failure = try_planner(seed, cases=400).failure
    assert failure is not None
    with pytest.raises(type(failure.violation)):
        try_case(failure.seed)
    return failure.violation.checker


def test_heads_that_depend_on_the_order_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def first_come(heads: Iterable[Record], more: Iterable[Record]) -> Heads:
        merged = merge(heads, more)
        return tuple(heads)[:1] or merged[:1]

    monkeypatch.setattr("p2pdrive.lab.planner.merge", first_come)
    assert caught(1) == "Determinism"


def test_a_winner_that_depends_on_the_place_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []

    def whimsical(heads: Heads, live_child: bool) -> Verdict:
        verdict = judge(heads, live_child)
        if verdict.losers and verdict.content.kind is Kind.FILE:
            taken.append(1)
            if len(taken) % 2:
                return Verdict(verdict.losers[0].content, verdict.seen, verdict.losers)
        return verdict

    monkeypatch.setattr(on_paper, "judge", whimsical)
    assert caught(1) in {"Convergence", "Termination", "Quiescence", "NoLostUpdate", "BoundedCopies"}


def test_losers_that_are_not_shown_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Paper, "_show_copies", lambda _self, _path: False)
    assert caught(3) == "NoLostUpdate"


def test_records_about_what_was_only_heard_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if showing a file did not note what it stands for."""

    def forgetful(self: Paper, path: str, content: Content, seen: object) -> None:
        del seen
        if content.live:
            self.disk[path] = content
        else:
            self.disk.pop(path, None)

    monkeypatch.setattr(Paper, "_put", forgetful)
    assert caught(1) in {"Quiescence", "Termination"}


def test_command_says_how_fast_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "plan", "--seed", "4", "--cases", "20"]) == 0
    assert re.fullmatch(
        r"seed 4: kept all promises; 20 cases in [\d.]+ s, \d+ a minute\.\n", capsys.readouterr().out
    )


def test_command_draws_a_seed_and_keeps_to_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lab", "plan", "--minutes", "0"]) == 0
    assert re.match(r"seed \d+: kept all promises; 1 case in", capsys.readouterr().out)


def test_command_tells_the_seed_of_a_failure_and_replays_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Paper, "_show_copies", lambda _self, _path: False)
    assert main(["lab", "plan", "--seed", "3", "--cases", "400"]) == 1
    first = capsys.readouterr().out
    found = re.search(r"seed '(3 \d+)': FAILED at commit \S+: NoLostUpdate", first)
    assert found is not None
    assert main(["lab", "plan", "--seed", found[1]]) == 1
    again = capsys.readouterr().out
    assert again.splitlines()[0] == first.splitlines()[0]
    assert f"again: p2pdrive lab plan --seed '{found[1]}'" in again


def test_what_breaks_the_planner_is_a_failure_with_its_seed(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_heads: Heads, _live_child: bool) -> Verdict:
        raise ZeroDivisionError

    monkeypatch.setattr(on_paper, "judge", broken)
    assert main(["lab", "plan", "--seed", "1"]) == 1
    told = capsys.readouterr().out
    assert "FAILED" in told and "NoUnexpectedFailure" in told and "ZeroDivisionError" in told


@pytest.mark.parametrize(
    "arguments", [["--seed", "x"], ["--seed", "1 2 3"], ["--cases", "1", "--minutes", "1"]]
)
def test_what_is_no_seed_is_wrong_usage(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(["lab", "plan", *arguments]) == 2
    assert "Usage:" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_what_was_tried_so_far(
    number: signal.Signals, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(seed: str) -> list[Paper]:
        if seed == "4 3":
            signal.raise_signal(number)
        return []

    monkeypatch.setattr(planner, "try_case", interrupted)
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        assert main(["lab", "plan", "--seed", "4"]) == 1
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
    told = capsys.readouterr()
    assert told.out.startswith("seed 4: kept all promises so far; 3 cases in ")
    assert told.out.endswith("; case '4 3' was under way.\n")
    assert told.err == ""
