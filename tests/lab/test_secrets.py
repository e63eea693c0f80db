"""What persons keep from others in the lab is shown by no node; and one that shows it is caught."""

import pytest
import trio

from p2pdrive.folder.files import Stat
from p2pdrive.lab.checkers import Violation
from p2pdrive.lab.checkers.books import Books
from p2pdrive.lab.checkers.private import PrivateStaysPrivate
from p2pdrive.lab.files import SimulatedFiles
from p2pdrive.lab.machine import Machine
from p2pdrive.lab.scheduler import run_simulated
from p2pdrive.lab.secrets import look
from p2pdrive.lab.world import World, within_world
from tests.lab.deeds import write


async def pair(world: World) -> tuple[Machine, Machine]:
    anna, berta = world.add_machine("anna", "admin"), world.add_machine("berta")
    await world.share(anna)
    await world.join(berta)
    write(anna, "d/f", b"for all")
    await world.converge()
    return anna, berta


def keep(world: World, machine: Machine, path: str, closed: str, data: bytes) -> None:
    """Write what nobody else at ``machine`` is to read: ``closed`` is private before."""
    world.secrets.begin((each.name, each.disk.volume) for each in world.machines)
    with world.secrets.person_at(machine.name, machine.disk.volume):
        if not machine.disk.exists(path):
            write(machine, path, b"")
        machine.disk.close_to_others(closed, True)
        write(machine, path, data)


@pytest.mark.parametrize(("path", "closed"), [("f", "f"), ("d/f", "d"), ("d/new", "d")])
def test_secret_arrives_unseen(path: str, closed: str) -> None:
    async def story(world: World) -> None:
        anna, berta = await pair(world)
        keep(world, anna, path, closed, b"a secret")
        await world.converge()
        assert berta.disk.read(path) == b"a secret"
        assert b"a secret" not in look(berta.disk.volume).seen.values()

    run_simulated(lambda: within_world(1, story), 1)


def test_node_that_shows_a_secret_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    finish = SimulatedFiles.finish_temporary

    def careless(
        self: SimulatedFiles, name: str, mtime_ns: int, executable: bool, private: bool | None = None
    ) -> Stat:
        return finish(self, name, mtime_ns, executable, False)

    async def story(world: World) -> None:
        anna, _ = await pair(world)
        monkeypatch.setattr(SimulatedFiles, "finish_temporary", careless)
        keep(world, anna, "f", "f", b"a secret")
        await trio.sleep(30)
        assert world.failures.found
        said = " ".join(map(str, world.failures.found))
        world.failures.found.clear()
        assert "PrivateStaysPrivate" in said

    run_simulated(lambda: within_world(2, story), 2)


def test_folder_that_lets_others_where_its_heads_say_private_is_caught() -> None:
    async def story(world: World) -> None:
        anna, berta = await pair(world)
        anna.disk.close_to_others("d", True)
        await world.converge()
        checker = PrivateStaysPrivate(Books())
        checker.after(world)
        directory = berta.disk.volume.find("d")
        assert directory is not None
        directory.private = False
        with pytest.raises(Violation):
            checker.after(world)
        directory.private = True

    run_simulated(lambda: within_world(3, story), 3)


def test_disk_that_keeps_no_permissions_shows_all_and_nobody_is_to_blame() -> None:
    async def story(world: World) -> None:
        anna = world.add_machine("anna", "admin")
        await world.share(anna)
        write(anna, "d/f", b"for all")
        berta = world.add_machine("berta", oddity="without modes")
        await world.join(berta)
        await world.converge()
        keep(world, anna, "f", "f", b"a secret")
        keep(world, berta, "g", "g", b"none")
        await world.converge()
        assert (berta.disk.read("f"), anna.disk.read("g")) == (b"a secret", b"none")
        assert look(berta.disk.volume).seen == {"d/f": b"for all", "f": b"a secret", "g": b"none"}
        assert look(anna.disk.volume).hidden == {"f": b"a secret"}
        PrivateStaysPrivate(Books()).after(world)

    run_simulated(lambda: within_world(4, story), 4)
