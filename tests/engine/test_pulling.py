"""Pulling the log from a peer that holds it in an order of its own."""

import pytest
import trio
from trio.testing import MockClock

from tests.engine.world import World


async def test_newcomer_gets_all_from_a_founder_whose_own_log_came_back_last(
    world: World, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More than an answer holds comes before the grants that it stands on."""
    anna, berta = await world.sharing("anna", "berta", files={"of anna": "a"})
    for number in range(5):
        berta.write(f"of berta {number}", "b")
        await world.converge()
    world.part()
    with trio.fail_after(60):
        anna.replica.start_afresh()
        await anna.restart()
        world.join_up()
        await world.converge()
        monkeypatch.setattr("p2pdrive.engine.serve.PAYLOAD_BYTES_MAX", 300)
        world.cut_off(berta)
        clara = world.machine("clara")
        await clara.join(anna)
        await world.converge(anna, clara)
    assert clara.files() == anna.files() == {"of anna": "a", **{f"of berta {n}": "b" for n in range(5)}}
