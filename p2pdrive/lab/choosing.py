"""A person chooses what becomes of files that a folder with another past brought along."""

from contextlib import suppress
from random import Random
from typing import TYPE_CHECKING

from p2pdrive.errors import WorldError
from p2pdrive.planning.reconcile import Choice

if TYPE_CHECKING:
    from p2pdrive.lab.machine import Machine


def choose(machine: "Machine", random: Random) -> None:
    """At ``machine``, if anything awaits a choice there: a viewer can only catch up."""
    drive = machine.drive
    if drive is None or drive.replica.adopting or drive.replica.choice is not Choice.ASK:
        return
    with suppress(WorldError):
        brought = drive.replica.brought("")
        if not brought:
            return
        choice = Choice.CATCH_UP
        if machine.role != "viewer" and random.random() < 0.5:
            choice = Choice.RESTORE
            for path in brought:
                machine.world.oracle.chmodded(machine.name, path)  # it comes back as it was
        machine.world.note("chooses", machine.name, choice=choice, paths=brought)
        drive.replica.choose(choice)
        drive.carry_out_choice()
