"""Machines for one test, or for all tests of a file."""

from collections.abc import Iterator

import pytest

from tests.system.machines import Machine, Machines, settled


@pytest.fixture
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    made = Machines(tmp_path_factory.mktemp("m"))
    yield made
    made.end()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine]]:
    """Two members of one drive that stay connected while the tests of a file go by."""
    made = Machines(tmp_path_factory.mktemp("pair"))
    laptop, desktop = made.started("laptop", "desktop")
    desktop.join(laptop.share())
    settled(laptop, desktop)
    yield laptop, desktop
    made.end()
