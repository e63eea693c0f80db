"""Machines of the lab whose disks lack things."""

from random import Random

import pytest
import trio

from p2pdrive.lab.oddities import ODDITIES, draw, mount_again
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import versions, write


def test_most_disks_are_as_they_should_be_and_every_oddity_comes() -> None:
    drawn = [draw(Random(f"{seed}")) for seed in range(400)]
    assert set(drawn) == set(ODDITIES)
    assert drawn.count("") > 280


@pytest.mark.parametrize("oddity", [name for name in ODDITIES if name])
def test_edits_pass_both_ways_and_nothing_is_published_for_what_the_disk_lacks(oddity: str) -> None:
    async def story(world: World) -> None:
        anna, berta = world.add_machine("anna"), world.add_machine("berta", oddity=oddity)
        await world.share(anna)
        await world.join(berta)
        write(anna, "script", b"1")
        anna.disk.chmod("script", True)
        write(anna, "plain", b"1")
        await world.converge()
        write(berta, "script", b"script 2")
        write(berta, "plain", b"plain 2")
        await world.converge()
        shown = {path: found[1:3] for path, found in anna.disk.tree().items() if found[0] == "file"}
        assert shown == {"script": (b"script 2", True), "plain": (b"plain 2", False)}
        records = {path: versions(anna, path) for path in shown}
        await berta.stop()
        mount_again(berta.disk.volume, Random(1))
        await berta.start()
        await world.converge()
        await trio.sleep(60)
        assert {path: versions(anna, path) for path in shown} == records

    run_simulated(lambda: within_world(1, story), 1)


def test_folder_that_is_copied_from_a_disk_without_modes_has_those_that_files_have_there() -> None:
    async def story(world: World) -> None:
        bare, usual = world.add_machine("anna", oddity="without modes"), world.add_machine("berta")
        bare.disk.write("d/f", b"text")
        bare.disk.close_to_others("d/f", True)
        usual.disk.restore(bare.disk.snapshot())
        copied = usual.disk.volume.find("d/f")
        assert copied is not None
        assert copied.stat().private is False
        bare.disk.restore(usual.disk.snapshot())
        copied = bare.disk.volume.find("d/f")
        assert copied is not None
        assert copied.stat().private is None

    run_simulated(lambda: within_world(1, story), 1)
