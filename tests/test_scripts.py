"""The scripts: what they say of wrong usage, and what the gate runs."""

import subprocess
import sys
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
