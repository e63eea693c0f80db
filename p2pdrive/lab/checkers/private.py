"""What a person keeps from others is kept from others everywhere."""

from typing import Any, ClassVar

from p2pdrive.lab.checkers.checker import Checker
from p2pdrive.lab.checkers.wanted import heads_of
from p2pdrive.lab.evidence import ignore_of
from p2pdrive.lab.inodes import Directory, File
from p2pdrive.lab.secrets import look
from p2pdrive.model.heads import Heads
from p2pdrive.model.record import Kind
from p2pdrive.planning.conflicts import is_implied, judge


class PrivateStaysPrivate(Checker):
    """What the heads say is private is that in each folder whose disk keeps permissions; that nothing was
    shown on the way is seen by ``lab/secrets.py``, at each step."""

    number: ClassVar[int] = 24

    def _after(self, world: Any) -> None:
        for machine in world.machines:
            if machine.drive is not None and not machine.disk.volume.modeless:
                self._check(machine)

    def _check(self, machine: Any) -> None:
        with machine.drive.replica.reading() as log:
            heads = heads_of(log.connection)
        private = {path for path, those in heads.items() if _is_private(those)}
        ignore = ignore_of(machine.disk.tree())
        troubled = {path for path, _, _ in machine.drive.problems.all()}
        for path in sorted(private & look(machine.disk.volume).open - troubled):
            inode = machine.disk.volume.find(path)
            kind = judge(heads[path], False).content.kind
            same = isinstance(inode, File if kind is Kind.FILE else Directory)
            if same and not ignore.ignored(path, kind is Kind.DIRECTORY):
                self.fail(f"{machine.name} lets others at {path!r}, which is private by its heads")


def _is_private(heads: Heads) -> bool:
    content = judge(heads, False).content
    return content.private and not (content.kind is Kind.DIRECTORY and is_implied(heads))
