"""The world of each test of the engine."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trio

from tests.engine.world import World


@pytest.fixture
async def world(tmp_path: Path, nursery: trio.Nursery) -> AsyncIterator[World]:
    made = World(tmp_path, nursery)
    yield made
    await made.close()
    nursery.cancel_scope.cancel()
