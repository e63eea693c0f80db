"""Whether a healed world has come to rest: all members know the same, and show what they can."""

from typing import TYPE_CHECKING

from p2pdrive.engine.drive import Drive
from p2pdrive.lab.checkers import curable, unobtainable
from p2pdrive.model.paths import IGNORE_FILE

if TYPE_CHECKING:
    from p2pdrive.lab.machine import Machine
    from p2pdrive.lab.world import World


def differing(world: "World") -> str | None:
    """In what way the members are not in sync; None if they are."""
    if world.attacks:
        return "an attack is under way"
    for machine in world.machines:
        if machine.home.invite is not None:
            return f"{machine.name} has not joined"
    for machine in world.members:
        why = _unopened(machine) or _unsettled(machine)
        if why is not None:
            return f"{machine.name} {why}"
    return _logs(world) or _unshown(world)


def _drive(machine: "Machine") -> Drive:
    assert machine.drive is not None
    return machine.drive


def _unopened(machine: "Machine") -> str | None:
    if machine.drive is not None:
        return None
    keeper = machine.process.keeper if machine.process is not None else None
    return f"has not opened the drive: {keeper.trouble if keeper is not None else 'it does not run'}"


def _unsettled(machine: "Machine") -> str | None:
    drive = _drive(machine)
    if not drive.informed:
        return "waits for a member that knows more"
    if machine.disk.changes or not drive.settled:
        return "has not recorded all local changes"
    if waiting := drive.waiting.patience.all():
        return f"has files that are not at rest: {sorted(waiting)[:5]}"
    return "is showing something" if drive.materialiser.busy else None


def _logs(world: "World") -> str | None:
    """But for the logs that some member does not follow, as their author wrote two."""
    standings = [_drive(machine).exchange.standing for machine in world.members]
    frozen = frozenset[bytes]().union(*(standing.frozen for standing in standings))
    followed = [{a: at for a, at in each.frontier.items() if a not in frozen} for each in standings]
    differ = any(frontier != followed[0] for frontier in followed)
    return "the members hold different logs" if differ else None


def _unshown(world: "World") -> str | None:
    """What could be shown is to be; and what ends by being tried again is to have ended."""
    nowhere: set[str] | None = None
    for machine in world.members:
        drive = _drive(machine)
        problems = {path for path, _, _ in drive.problems.all()}
        with drive.replica.reading() as log:
            unshown = {path for path, _ in log.entries.unshown("", 100)}
        if not problems and not unshown:
            continue
        if nowhere is None:
            nowhere = unobtainable(world)
        silent = unshown - problems
        if machine.role != "viewer":
            silent |= unshown & {IGNORE_FILE}
        waiting = (curable(world, machine) | silent) - nowhere
        if waiting:
            return f"{machine.name} does not show {sorted(waiting)[:5]}; problems: {drive.problems.all()}"
    return None
