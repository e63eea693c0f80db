"""Seeds that nobody tried before, for some time; pytest shows at the end which they were."""

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

#: Seconds of the wall clock in which scenarios begin. A failure takes minutes more, to be made shorter.
_SECONDS = 45
_FAILURE_SECONDS = 600


@pytest.mark.timeout(_SECONDS + _FAILURE_SECONDS)
def test_all_promises_are_kept_on_fresh_seeds(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """By the command, which fixes the order of sets: so what it says replays."""
    trace = tmp_path / "trace"
    command = [sys.executable, "-m", "p2pdrive.cli.main", "lab", "simulate"]
    command += ["--minutes", str(_SECONDS / 60), "--trace", str(trace)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seeds = re.findall(r"^seed (\d+):", done.stdout, re.MULTILINE)
    record_property("drawn", f"{len(seeds)} scenarios of 3 nodes and 200 steps, seeds {' '.join(seeds)}")
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}\n{_of_failures(trace.read_text())}"
    assert seeds


def _of_failures(traces: str) -> str:
    """The whole traces of those that broke a promise."""
    return "\n".join(each for each in traces.split("\n\n") if not each.rstrip().endswith("kept all promises"))
