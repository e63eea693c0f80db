"""Disks that lack things, as machines of the lab may have one: see ``folder/disks.py``."""

from dataclasses import dataclass
from random import Random

from p2pdrive.lab.volume import Volume

_SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Oddity:
    """``grain_ns`` and ``stored_ns`` as ``Disk`` says. ``modes``: it keeps whether files are executable or
    private. ``numbers_last``: inodes have the same numbers when it is mounted again.
    ``capacity`` in bytes."""

    grain_ns: int = 1
    stored_ns: int = 1
    modes: bool = True
    numbers_last: bool = True
    capacity: int = 1 << 30


ODDITIES = {
    "": Oddity(),
    "ext3": Oddity(grain_ns=_SECOND_NS, stored_ns=_SECOND_NS),
    "FAT": Oddity(2 * _SECOND_NS, 2 * _SECOND_NS, modes=False, numbers_last=False),
    "exFAT": Oddity(10_000_000, 10_000_000, modes=False, numbers_last=False),
    "without modes": Oddity(modes=False),
    "other inodes": Oddity(numbers_last=False),
    "small": Oddity(capacity=8_000_000),  # room for what persons write, and not for all of its history
}


def draw(random: Random) -> str:
    """What one machine's disk is like: mostly as it should be."""
    return random.choice(list(ODDITIES)) if random.random() < 0.25 else ""


def mount_again(volume: Volume, random: Random) -> None:
    """All inodes get other numbers, each one that another may have had."""
    inodes = {id(inode): inode for _, inode in volume.walk()}.values()
    numbers = sorted(inode.number for inode in inodes)
    random.shuffle(numbers)
    for inode, number in zip(inodes, numbers, strict=True):
        inode.number = number
        inode.known = None
