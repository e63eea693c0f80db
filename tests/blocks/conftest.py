"""Drives that are closed behind each test."""

import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.blocks.drives import Drive


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    """In memory where the machine has such a place: these tests sync thousands of times, and cut no power."""
    memory = "/dev/shm"
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as name:
        yield Path(name).resolve()


@pytest.fixture
def new_drive(tmp_path: Path) -> Iterator[Callable[[str], Drive]]:
    made: list[Drive] = []

    def make(name: str) -> Drive:
        made.append(Drive(tmp_path / name))
        return made[-1]

    yield make
    for drive in made:
        drive.close()


@pytest.fixture
def drive(new_drive: Callable[[str], Drive]) -> Drive:
    return new_drive("drive")
