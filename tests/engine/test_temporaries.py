"""What was being gathered: kept as long as its version is still to be shown, and no longer."""

from trio.testing import MockClock

from p2pdrive.engine.show import gathered_as
from p2pdrive.history.log import Ingested
from p2pdrive.model.batch import Batch
from tests.engine.world import Machine, World


def tell_log(anna: Machine, berta: Machine) -> None:
    """Berta learns of all that anna has, and gets none of its bytes."""
    with anna.replica.reading() as log:
        until = {actor: seq for actor, (seq, _) in log.frontier().items()}
        batches, _ = log.batches_after({}, 1 << 20, until)
    with berta.replica.writing() as log:
        for data in batches:
            log.ingest(Batch.decode(data), Ingested(), set())


async def test_what_was_gathered_for_a_version_that_is_superseded_goes_though_another_path_waits_for_ever(
    world: World, autojump_clock: MockClock
) -> None:
    anna, berta = await world.sharing("anna", "berta")
    world.part()
    anna.write("r", "nobody brings this")
    anna.look()
    await world.quiet()
    tell_log(anna, berta)
    with anna.replica.reading() as log:
        (head,) = log.registers.heads("r")
    area = berta.root / ".p2pdrive/tmp"
    waiting, left = area / gathered_as(head.content.root, "r"), area / gathered_as(bytes(32), "r")
    for place in (waiting, left):
        place.write_bytes(bytes(head.content.size))
    await berta.restart()
    await world.quiet()
    assert "r" in berta.problems
    assert waiting.exists()
    assert not left.exists()
    world.join_up()
    await world.converge()
    assert berta.files() == {"r": "nobody brings this"}
    assert list(area.iterdir()) == []
