"""``--restore`` and ``--catch-up``: what becomes of files that were deleted elsewhere while their folder was
a copy, a backup, or left."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from p2pdrive.api.control import Control
from p2pdrive.cli.options import Settings
from p2pdrive.cli.running import do_ourselves
from p2pdrive.cli.words import printable
from p2pdrive.errors import NodeNotRunning
from p2pdrive.planning.reconcile import Choice

Function = TypeVar("Function", bound=Callable[..., Any])

_SAID = {
    Choice.RESTORE: "Files in {} that were deleted elsewhere come back on all machines.",
    Choice.CATCH_UP: "Files in {} that were deleted elsewhere are deleted here too; history keeps them.",
}


def with_choice(function: Function) -> Function:
    """Adds the options; the command is given ``choice``, None where the person named none."""
    function = click.option(
        "--catch-up",
        "choice",
        flag_value=Choice.CATCH_UP.value,
        help="Delete here too what was deleted elsewhere since the folder was copied or left.",
    )(function)
    return click.option(
        "--restore",
        "choice",
        flag_value=Choice.RESTORE.value,
        help="Bring back everywhere what was deleted elsewhere since the folder was copied or left.",
    )(function)


def is_registered(settings: Settings, directory: str) -> bool:
    """Whether the node of this home keeps ``directory`` in sync."""
    real = os.path.realpath(directory)
    return any(os.path.realpath(each.path) == real for each in settings.home.registrations())


def asked_for_choice(settings: Settings, directory: str) -> str | None:
    """On a terminal, what the person answers about a folder that was a drive before; else None."""
    was_drive = Path(directory, ".p2pdrive", "FORMAT").is_file()
    if not was_drive or is_registered(settings, directory) or not sys.stdin.isatty():
        return None
    click.echo(
        f"{printable(directory)} was a drive before. Files in it may have been deleted elsewhere since.\n"
        "restore: they come back everywhere; catch-up: they are deleted here too;\n"
        "ask: they stay here alone, and `p2pdrive status` counts them.",
        err=True,
    )
    answer = click.prompt("What is to become of them?", err=True, default=Choice.ASK.value, type=_ANSWERS)
    return None if answer == Choice.ASK else str(answer)


def choose(settings: Settings, directory: str, choice: str) -> None:
    """Tell the node, or its home where none runs."""

    def show(_: None) -> None:
        click.echo(_SAID[Choice(choice)].format(printable(directory)), err=True)

    async def ask(node: Control) -> None:
        await node.choose(directory, choice)

    try:
        settings.client.choose(directory, choice)
        show(None)
    except NodeNotRunning:
        do_ourselves(settings, ask, show, run=False)


_ANSWERS = click.Choice([choice.value for choice in Choice])
