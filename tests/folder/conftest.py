"""A drive's folder, opened once with all system calls and once with what every system has."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from p2pdrive.folder.files import Files
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "drive"
    (made / ".p2pdrive").mkdir(parents=True)
    return made


@pytest.fixture(params=["all calls", "portable"])
def calls(request: pytest.FixtureRequest) -> SystemCalls:
    return SystemCalls.detect() if request.param == "all calls" else SystemCalls.portable()


@pytest.fixture
def files(root: Path, calls: SystemCalls) -> Iterator[Files]:
    opened = LocalFiles(root, calls)
    yield opened
    opened.close()
