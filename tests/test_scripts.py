"""The scripts: what they say of wrong usage, and that they leave nothing behind."""

import os
import signal
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[1] / "scripts"
MUTANTS = [sys.executable, str(SCRIPTS / "mutants")]
SOON = 60.0


def ended(*command: object) -> "subprocess.CompletedProcess[str]":
    words = [str(word) for word in command]
    return subprocess.run(words, capture_output=True, text=True, timeout=SOON, check=False)


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        (["--only", "zzzz"], "no change has 'zzzz' in its name; see --list"),
        (["--only", "fork", "--only", "zzzz", "--list"], "no change has 'zzzz' in its name; see --list"),
        (["--jobs", "0"], "'0' is no number of at least 1"),
        (["--seconds", "nan"], "'nan' is no number of seconds"),
        (["--seeds", "5..1"], "'5..1' is no range"),
    ],
)
def test_what_no_mutants_can_be_tried_for_is_refused(wrong: list[str], why: str) -> None:
    told = ended(*MUTANTS, *wrong)
    assert told.returncode == 2
    assert why in told.stderr
    assert told.stdout == ""


def test_mutants_are_listed() -> None:
    assert ended(*MUTANTS, "--list", "--only", "a fork of a log").stdout == "a fork of a log is not noticed\n"


@pytest.mark.skipif(not Path("/proc/self/cwd").exists(), reason="no system that tells what runs where")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("background", [False, True])
def test_interrupted_mutants_leave_nothing_behind(
    tmp_path: Path, number: signal.Signals, background: bool
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("it is ignored here, as under nohup")
    ignoring = ["sh", "-c", 'trap "" INT; exec "$@"', "sh"] if background else []
    running = subprocess.Popen(
        [*ignoring, *MUTANTS, "--only", "a fork of a log"],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deadline = time.monotonic() + SOON
        while not living(tmp_path):
            assert running.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        running.send_signal(number)
        out, complaint = running.communicate(timeout=SOON)
    finally:
        running.kill()
        running.communicate()
    assert running.returncode == 1
    assert (out, complaint) == ("", "interrupted after 0 of 1 changes: 0 caught\n")
    assert living(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def living(root: Path) -> list[str]:
    """The processes that work below ``root``."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            if process.name.isdecimal() and (process / "cwd").readlink().is_relative_to(root):
                found.append(process.name)
        except OSError:  # it ended meanwhile, or is another's
            continue
    return found


@pytest.mark.parametrize("arguments", [[], [""], ["--nodes", "3"]])
def test_a_soak_without_its_minutes_says_how_it_is_used(arguments: list[str]) -> None:
    told = ended(SCRIPTS / "soak", *arguments)
    assert told.returncode == 2
    assert told.stderr.startswith("Usage: scripts/soak MINUTES")
    assert (told.stdout, told.stderr.count("\n")) == ("", 1)


def test_the_help_of_a_soak_says_what_it_does() -> None:
    told = ended(SCRIPTS / "soak", "--help")
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("Usage: scripts/soak MINUTES")
    assert told.stdout.endswith("Ends with 1 if any failed.\n")


def test_both_rounds_of_the_lab_are_run_where_the_first_has_no_time_to_end() -> None:
    """What ran as the second was no program: it said nothing, and so found nothing."""
    loader = SourceFileLoader("mutants", str(SCRIPTS / "mutants"))
    spec = spec_from_loader(loader.name, loader)
    assert spec is not None
    mutants: Any = module_from_spec(spec)
    loader.exec_module(mutants)
    asked: list[list[str]] = []

    class Hurried(mutants.Copy):  # type: ignore[misc]
        def __init__(self) -> None:
            pass

        def _run(self, arguments: list[str], seconds: float, until: str | None = None) -> object:
            asked.append(arguments)
            return mutants.Ended(130, "seed 5: kept all promises", by_itself=False)

    heard = Hurried().lab("5..12", 1)
    assert not heard.objection
    assert heard.unfinished == "lab: only 1 of the seeds 5..12 and 1 of the seeds 1..8"
    assert [arguments[:2] for arguments in asked] == [asked[0][:2]] * 2
    assert asked[1][-2:] == ["--faults", "kill,power loss,sleep"]
