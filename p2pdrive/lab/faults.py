"""What befalls machines and their network: a table of faults, each a few lines.

A fault that lasts says how it ends; whatever still lasts ends when the world is healed.
"""

import errno
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from p2pdrive.lab.attacks import attack
from p2pdrive.lab.evidence import members_of
from p2pdrive.lab.network import Quality

if TYPE_CHECKING:
    from p2pdrive.lab.machine import Machine
    from p2pdrive.lab.world import World


@dataclass
class Scene:
    """A fault about to happen, to ``machine`` first of all."""

    world: "World"
    machine: "Machine"
    random: Random

    def other(self) -> "Machine":
        """Another machine."""
        return self.random.choice([each for each in self.world.machines if each is not self.machine])

    def seconds(self) -> float:
        """How long it lasts: mostly not long, sometimes longer than a silent link lives."""
        return self.random.choice((0.3, 2.0, 10.0, 70.0)) * (0.5 + self.random.random())

    def lasts(self, undo: Callable[[], object]) -> None:
        """It ends in some time."""
        self.world.until_undone(undo, self.seconds())


Fault = Callable[[Scene], None]


def _cut(scene: Scene) -> None:
    after = scene.random.choice((None, None, scene.random.randrange(3000), scene.random.randrange(100_000)))
    scene.world.network.cut(scene.machine.name, scene.other().name, after)


def _partition(scene: Scene) -> None:
    network, one = scene.world.network, scene.machine.name
    others = [scene.other().name] if scene.random.random() < 0.5 else _all_but(scene)
    both = scene.random.random() < 0.6
    ways = [(one, other) for other in others] + ([(other, one) for other in others] if both else [])
    network.block(ways)
    scene.lasts(lambda: network.unblock(ways))


def _all_but(scene: Scene) -> list[str]:
    return [each.name for each in scene.world.machines if each is not scene.machine]


def _slow(scene: Scene) -> None:
    network, one, other = scene.world.network, scene.machine.name, scene.other().name
    bandwidth = scene.random.choice((2e4, 1e5, 1e6))
    network.set_quality(one, other, Quality(0.2 * scene.random.random(), 0.2, bandwidth))
    scene.lasts(lambda: network.set_quality(one, other, None))


def _busy(scene: Scene) -> None:
    machine = scene.machine
    machine.slow = scene.random.choice((3.0, 10.0))
    scene.lasts(lambda: setattr(machine, "slow", 1.0))


def _duplicate(scene: Scene) -> None:
    scene.machine.dial_again(scene.other())


def _stop(scene: Scene) -> None:
    scene.machine.begin_to_stop()
    scene.lasts(scene.machine.start)


def _kill(scene: Scene) -> None:
    scene.machine.kill()
    scene.lasts(scene.machine.start)


def _power_loss(scene: Scene) -> None:
    scene.machine.power_loss()
    scene.lasts(scene.machine.start)


def _sleep(scene: Scene) -> None:
    """The machine is gone for its peers, and they do not hear of it."""
    scene.machine.kill(silent=True)
    scene.lasts(scene.machine.start)


def _deaf(scene: Scene) -> None:
    """The watcher loses events now and then, and says so."""
    machine = scene.machine
    machine.events_lost = 0.5
    scene.lasts(lambda: setattr(machine, "events_lost", 0.0))


def _clock(scene: Scene) -> None:
    machine = scene.machine
    hours = scene.random.choice((-0.001, 0.001, -1, 1, -24 * 400, 24 * 400))
    machine.clock_offset_ns = int(hours * 3600 * 10**9)
    scene.lasts(lambda: setattr(machine, "clock_offset_ns", 0))


def _unmount(scene: Scene) -> None:
    if scene.machine.mounted and scene.machine.home.drive is not None:
        scene.machine.unmount()
        scene.lasts(scene.machine.mount)


def _full_disk(scene: Scene) -> None:
    machine = scene.machine
    machine.fill(scene.random.choice((0, 1000, 100_000)))
    scene.lasts(machine.make_room)


def _bad_disk(scene: Scene) -> None:
    """Some operations fail, as on a disk that is about to die."""
    operation = scene.random.choice(OPERATIONS)
    scene.machine.disk.fail(operation, "*", OSError(errno.EIO, "I/O error"), scene.random.randint(1, 5))
    if scene.random.random() < 0.3:
        scene.machine.packs.failing = True
    scene.lasts(lambda: setattr(scene.machine.packs, "failing", False))


def _short_reads(scene: Scene) -> None:
    disk = scene.machine.disk
    disk.short_reads = True
    scene.lasts(lambda: setattr(disk, "short_reads", False))


def _permission(scene: Scene) -> None:
    machine = scene.machine
    shown = sorted(machine.disk.tree())
    if shown:
        path = scene.random.choice(shown)
        with suppress(OSError):
            machine.forbid(path, reading=scene.random.random() < 0.5)
            scene.lasts(machine.permit_all)


def _rot(scene: Scene) -> None:
    """Bytes of a pack turn; the blocks in it are gone."""
    pack = scene.machine.packs.rot()
    if pack is not None:
        scene.world.oracle.rotted(scene.machine.name, pack)


def _back_up(scene: Scene) -> None:
    if scene.machine.mounted and scene.machine.home.drive is not None:
        scene.machine.back_up()


def _restore(scene: Scene) -> None:
    """The folder is put back; with the home too, nobody could tell (docs/architecture.md, Rollback)."""
    machine = scene.machine
    if machine.backup is None:
        _back_up(scene)
    elif machine.mounted and _others_know_all_members(scene):
        machine.put_back(machine.backup)
        scene.lasts(machine.start)


def _others_know_all_members(scene: Scene) -> bool:
    """Or else the only note that someone may join, or has joined, could be undone."""
    machines = scene.world.machines
    known = [
        members_of(each) for each in machines if each is not scene.machine and not each.is_being_put_back
    ]
    return all(
        machine.home.is_member and any(machine.identity.device in members for members in known)
        for machine in machines
        if machine.home.invite is not None or machine.home.drive is not None
    )


def _copy_folder(scene: Scene) -> None:
    """Another machine's folder, with its ``.p2pdrive``, is copied over the one here."""
    machine, source = scene.machine, scene.other()
    members = machine.home.drive is not None and source.home.drive is not None
    if members and machine.mounted and source.mounted and _others_know_all_members(scene):
        copied = source.back_up()
        machine.put_back(copied)
        scene.lasts(machine.start)


def _hostile(scene: Scene) -> None:
    """Somebody who means ill dials; what is tried is in ``attacks.py``."""
    scene.world.nursery.start_soon(attack, scene.world, scene.machine, scene.random)


#: Operations of ``Files`` that fail.
OPERATIONS = (
    "stat",
    "list",
    "open",
    "readinto",
    "open_temporary",
    "pwrite",
    "publish",
    "move",
    "remove",
    "set_metadata",
    "sync_temporaries",
    "sync_files",
    "sync_directories",
    "make_directory",
    "discard",
)

#: Name → (what happens, its weight). A new kind of fault is a line here.
FAULTS: dict[str, tuple[Fault, int]] = {
    "cut": (_cut, 10),
    "partition": (_partition, 6),
    "slow": (_slow, 3),
    "busy": (_busy, 3),
    "duplicate": (_duplicate, 3),
    "stop": (_stop, 3),
    "kill": (_kill, 6),
    "power loss": (_power_loss, 4),
    "sleep": (_sleep, 2),
    "deaf": (_deaf, 2),
    "clock": (_clock, 2),
    "unmount": (_unmount, 2),
    "full disk": (_full_disk, 3),
    "bad disk": (_bad_disk, 3),
    "short reads": (_short_reads, 2),
    "permission": (_permission, 3),
    "rot": (_rot, 2),
    "backup": (_back_up, 2),
    "restore": (_restore, 2),
    "copy folder": (_copy_folder, 1),
    "hostile": (_hostile, 2),
}
#: Those that end a process at once, and so may happen in the midst of anything it does.
SUDDEN = ("kill", "power loss", "sleep")
