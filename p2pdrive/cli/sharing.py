"""`share`, `join` and `leave`: asked of the running node, or done by one that runs for it."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from p2pdrive.api.control import Control, Joined, Shared
from p2pdrive.cli.choosing import asked_for_choice, choose, is_registered, with_choice
from p2pdrive.cli.options import Settings, absolute, common, duration, short_name
from p2pdrive.cli.running import do_ourselves
from p2pdrive.cli.words import counted, printable
from p2pdrive.errors import AskFirst, InviteError, NodeNotRunning
from p2pdrive.limits import INVITE_USES_MAX


@click.command()
@click.argument("directory", metavar="DIR", callback=absolute)
@click.option("--name", metavar="N", callback=short_name, help="What to call the drive; the folder's name.")
@click.option("--role", type=click.Choice(["viewer", "editor", "admin"]), default="editor", show_default=True)
@click.option(
    "--uses", type=click.IntRange(1, INVITE_USES_MAX), default=1, show_default=True, help="Devices it admits."
)
@click.option("--expires", callback=duration, default="24h", show_default=True, help="30m, 24h, 7d or never.")
@click.option("--yes", is_flag=True, help="Do not ask, be it that DIR is your whole home folder.")
@click.option("--no-run", is_flag=True, help="Only print the invite; start the node later.")
@with_choice
@common
@click.pass_obj
def share(
    settings: Settings,
    directory: str,
    name: str | None,
    role: str,
    uses: int,
    expires: int,
    yes: bool,
    no_run: bool,
    choice: str | None,
) -> None:
    """Make DIR a drive if it is none, and print an invite to it.

    For a folder that was copied, restored or left: --restore or --catch-up says what becomes of the files in
    it that were deleted on other machines since. Of a drive of this node nothing else is done then.
    """
    if choice is not None and is_registered(settings, directory):
        choose(settings, directory, choice)
        return
    choice = choice or asked_for_choice(settings, directory)

    def show(shared: Shared) -> None:
        _show_invite(shared, role, uses)

    def ask(yes: bool) -> None:
        asked = (directory, name, role, uses, expires, yes)

        async def share_it(node: Control) -> Shared:
            shared = await node.share(*asked)
            if choice is not None:
                await node.choose(directory, choice)
            return shared

        try:
            show(settings.client.share(*asked))
            if choice is not None:
                settings.client.choose(directory, choice)
        except NodeNotRunning:
            do_ourselves(settings, share_it, show, run=not no_run)

    _confirmed(ask, yes)


@click.command()
@click.argument("invite", metavar="INVITE")
@click.argument("directory", metavar="DIR", callback=absolute)
@click.option("--yes", is_flag=True, help="Do not ask, be it that DIR is your whole home folder.")
@click.option("--no-run", is_flag=True, help="Only remember the invite; start the node later.")
@with_choice
@common
@click.pass_obj
def join(
    settings: Settings, invite: str, directory: str, yes: bool, no_run: bool, choice: str | None
) -> None:
    """Become a member of the invite's drive and fill DIR with it.

    --restore or --catch-up says what becomes of files that are in DIR and were deleted on other machines.
    """
    choice = choice or asked_for_choice(settings, directory)

    def show(joined: Joined) -> None:
        _say(f"{printable(joined.path)} will show the drive {printable(joined.name)}.")

    def ask(yes: bool) -> None:
        try:
            show(settings.client.join(invite, directory, yes))
            if choice is not None:
                settings.client.choose(directory, choice)
        except NodeNotRunning:

            async def join_it(node: Control) -> Joined:
                joined = await node.join(invite, directory, yes)
                if choice is not None:
                    await node.choose(directory, choice)
                return joined

            do_ourselves(settings, join_it, show, run=not no_run)

    with _removed_if_refused(directory):
        _confirmed(ask, yes)


@click.command()
@click.argument("directory", metavar="DIR", callback=absolute)
@click.option("--forget", is_flag=True, help="Also remove its history and state, the folder's .p2pdrive.")
@common
@click.pass_obj
def leave(settings: Settings, directory: str, forget: bool) -> None:
    """Stop syncing DIR; its files stay."""

    def show(_: None) -> None:
        _say(f"{printable(directory)} is no longer synced. Its files stay.")

    try:
        settings.client.leave(directory, forget)
        show(None)
    except NodeNotRunning:
        do_ourselves(settings, lambda node: node.leave(directory, forget), show, run=False)


def _confirmed(ask: Callable[[bool], None], yes: bool) -> None:
    """Ask the node, and where it says so, the person first; a script says ``--yes``."""
    question = ""
    try:
        ask(yes)
    except* AskFirst as errors:  # alone, or in a group of a nursery
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise
        question = str(_first(errors))
    if question:
        click.confirm(f"{question}\nGo on?", abort=True, err=True)
        ask(True)


def _first(errors: BaseExceptionGroup[AskFirst]) -> BaseException:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


@contextmanager
def _removed_if_refused(directory: str) -> Iterator[None]:
    """Around a join, which may make its folder: where the invite is refused, it goes again."""
    existed = os.path.lexists(directory)
    try:
        yield
    except* InviteError:  # alone, or in a group of a nursery
        if not existed:
            with suppress(OSError):  # none was made, or somebody has put something there
                os.rmdir(directory)
        raise


def _show_invite(shared: Shared, role: str, uses: int) -> None:
    """The link alone on a line of stdout; on a terminal with its QR code."""
    _say(f"{printable(shared.path)} is {'now ' if shared.created else ''}a drive.")
    _say(f"Whoever has this invite can join as {role} ({counted(uses, 'device')}):")
    click.echo(shared.link)
    if sys.stdout.isatty():
        import segno

        segno.make(shared.link, error="l", micro=False).terminal(compact=True)
        _say("On the other machine: p2pdrive join 'INVITE' DIR")
    sys.stdout.flush()


def _say(text: str) -> None:
    click.echo(text, err=True)
