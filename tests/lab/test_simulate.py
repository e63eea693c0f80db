"""The simulated world: equal runs of a seed, promises kept on some seeds, failures that shrink."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from click.testing import CliRunner

from p2pdrive.cli.lab import lab
from p2pdrive.cli.main import main
from p2pdrive.lab.faults import FAULTS
from p2pdrive.lab.hosts import SCENARIOS
from p2pdrive.lab.people import ACTIONS
from p2pdrive.lab.scenario import JOIN, Outcome, plan, run
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.shrink import shrink
from tests.lab.simulated import plant_violation

#: How long a scenario of 3 nodes and 200 steps may take, in times of what ``_labour`` takes beside it: twice
#: what it was. On a core that is shared, both take longer.
_LABOURS = 75
_SOON = 60.0


def test_two_runs_of_a_seed_are_equal() -> None:
    first, second = run(plan(7, 3, 60)), run(plan(7, 3, 60))
    assert first.lines == second.lines
    assert first.digest == second.digest


def test_other_seeds_are_other_runs() -> None:
    assert run(plan(8, 2, 20)).digest != run(plan(9, 2, 20)).digest


def test_runs_in_two_processes_are_equal() -> None:
    """The command fixes what Python makes different from process to process."""
    told = {_simulate("--seed", "7", "--steps", "40", PYTHONHASHSEED=salt) for salt in ("1", "2")}
    assert len(told) == 1


@pytest.mark.parametrize("command", ["simulate", "plan", "hosts"])
def test_no_number_of_minutes_is_refused_and_does_not_pass_with_nothing_tried(command: str) -> None:
    ended = CliRunner().invoke(lab, [command, "--minutes", "nan"])
    assert ended.exit_code == 2
    assert "no number of minutes" in ended.output


@pytest.mark.parametrize("seed", range(1, 5))
def test_all_promises_are_kept(seed: int) -> None:
    _check(run(plan(seed, 3, 100)))


@pytest.mark.parametrize("fault", FAULTS)
def test_all_promises_are_kept_whatever_happens(fault: str) -> None:
    _check(run(plan(1, 3, 60, [fault])))


def test_a_failing_schedule_becomes_shorter(monkeypatch: pytest.MonkeyPatch) -> None:
    plant_violation(monkeypatch)
    failed = next(outcome for seed in range(20) if (outcome := run(plan(seed, 2, 60, []))).violation)
    short = shrink(failed, runs=40)
    assert short.violation is not None
    assert failed.violation is not None
    assert short.violation.checker == failed.violation.checker
    steps = short.scenario.steps
    assert len(steps) < len(failed.scenario.steps) / 4
    assert any(step.act == "delete" for step in steps)
    assert run(short.scenario).digest == short.digest


def test_steps_that_are_left_out_do_not_change_the_others() -> None:
    scenario = plan(3, 2, 30, [])
    dropped = next(step for step in scenario.steps[10:] if step.act != JOIN)
    without = replace(scenario, steps=tuple(step for step in scenario.steps if step is not dropped))
    assert run(without).violation is None


def test_every_action_and_fault_is_drawn() -> None:
    drawn = {step.act for seed in range(60) for step in plan(seed, 3, 100).steps}
    assert drawn == {*ACTIONS, *FAULTS, JOIN}


def test_a_scenario_is_fast_enough() -> None:
    scenario = plan(1, 3, 200)
    before, spent, after = _seconds(_labour), _seconds(lambda: run(scenario)), _seconds(_labour)
    assert spent < _LABOURS * (before + after) / 2


def test_a_violation_is_told_with_seed_commit_and_schedule(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from p2pdrive.lab.simulate import Simulation, simulate

    plant_violation(monkeypatch)
    said: list[str] = []
    trace = tmp_path / "trace"
    seed = next(seed for seed in range(20) if run(plan(seed, 2, 30, [])).violation)
    with trace.open("w") as file:
        assert simulate(Simulation(2, 30, (), file), [seed], said.append) == 1
    text = "\n".join(said)
    assert re.search(rf"seed {seed}: FAILED at commit \S+: NoInventedContent", text)
    assert f"p2pdrive lab simulate --seed {seed} --nodes 2 --steps 30 --faults none" in text
    assert re.search(r"shrunk to \d+ steps", text)
    assert "NoInventedContent" in trace.read_text()


@pytest.mark.parametrize(
    ("command", "title", "choices"), [("simulate", "Faults", FAULTS), ("hosts", "Scenarios", SCENARIOS)]
)
def test_help_lists_what_can_be_chosen(command: str, title: str, choices: Iterable[str]) -> None:
    told = " ".join(CliRunner().invoke(lab, [command, "--help"]).output.split())
    listed = told.partition(f"{title}:")[2]
    assert [choice for choice in choices if choice not in listed] == []


def test_a_trace_is_kept_when_the_command_is_refused(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    trace.write_text("of an hour")
    ended = CliRunner().invoke(lab, ["simulate", "--trace", str(trace), "--seed", "1", "--minutes", "1"])
    assert ended.exit_code == 2
    assert trace.read_text() == "of an hour"


def test_a_trace_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    ended = CliRunner().invoke(lab, ["simulate", "--trace", str(tmp_path / "none" / "trace")])
    assert ended.exit_code == 1
    assert "No such file or directory" in ended.output


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_trace_that_meets_a_full_disk_is_an_error_that_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYTHONHASHSEED", "0")
    number, handler = signal.SIGTERM, signal.getsignal(signal.SIGTERM)
    arguments = ["--seed", "1", "--nodes", "2", "--steps", "1", "--trace", "/dev/full"]
    try:
        assert main(["lab", "simulate", *arguments]) == 1
    finally:
        signal.signal(number, handler)
    told = capsys.readouterr()
    assert told.err == "p2pdrive: The trace cannot be written to /dev/full: No space left on device.\n"
    assert "1 scenario" in told.out


def test_an_interrupt_in_the_midst_of_what_passes_over_errors_ends_a_run() -> None:
    async def main() -> None:
        await trio.sleep(1)
        with suppress(BaseException):
            signal.raise_signal(signal.SIGINT)
        await trio.sleep(1)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            run_simulated(main, 1)
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="no system that tells open files")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_it_with_the_summary_and_leaves_nothing_behind(number: signal.Signals) -> None:
    command = [sys.executable, "-m", "p2pdrive.cli.main", "lab", "simulate", "--minutes", "5"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + _SOON
        while (world := _world_of(running.pid)) is None:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        running.send_signal(number)
        told, complaints = running.communicate(timeout=_SOON)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 1
    assert re.search(r"\d+ scenarios? in \d+ s, 0 failed\.\nSeed \d+ was under way\.\n$", told)
    assert complaints == ""
    assert not world.exists()


def _world_of(process: int) -> Path | None:
    """The directory of the world that a process simulates, once it has a file open in it."""
    for file in Path(f"/proc/{process}/fd").iterdir():
        with suppress(FileNotFoundError):
            for place in file.readlink().parents:
                if place.name.startswith("p2pdrive-lab-"):
                    return place
    return None


def _labour() -> None:
    """Some of what any program does: a tenth of a second of a quiet core, and more."""
    for _ in range(150):
        table = {str(number): (number, [number]) for number in range(1000)}
        assert sum(len(key) + len(value) for key, value in table.items()) == 4890


def _seconds(work: Callable[[], object]) -> float:
    """Of the processor."""
    began = time.process_time()
    work()
    return time.process_time() - began


def _check(outcome: Outcome) -> None:
    """Raise the violation, if there is one, with what led to it."""
    if outcome.violation is not None:
        raise AssertionError(f"{outcome.violation}\n" + "\n".join(outcome.lines))


def _simulate(*arguments: str, **environment: str) -> str:
    """What the command says of its runs, but for how long they took."""
    command = [sys.executable, "-m", "p2pdrive.cli.main", "lab", "simulate", *arguments]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return re.sub(r" in [\d.]+ s", "", done.stdout)
