"""The entry point: the commands in the order that a person meets them, and how each ends.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not in sync in time, 4 no node running.
"""

import sys
import traceback

import click

import p2pdrive
from p2pdrive.cli.ignoring import ignore
from p2pdrive.cli.lab import lab
from p2pdrive.cli.options import Settings, common
from p2pdrive.cli.running import run
from p2pdrive.cli.sharing import join, leave, share
from p2pdrive.cli.status import status, wait
from p2pdrive.cli.versions import devices, log
from p2pdrive.errors import P2PDriveError


class _InOrder(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.commands)


@click.group(cls=_InOrder, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(p2pdrive.__version__, prog_name="p2pdrive")
@common
def commands() -> None:
    """One folder, the same on all of your machines; no server, no account.

    On one machine `p2pdrive share DIR`, on the other `p2pdrive join INVITE DIR`.
    """


for command in (share, join, status, wait, run, log, devices, ignore, leave, lab):
    commands.add_command(command)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    settings = Settings()
    try:
        result = commands.main(arguments, prog_name="p2pdrive", standalone_mode=False, obj=settings)
        return result if isinstance(result, int) else 0
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - the one place that ends all errors
        return _tell(_cause(error), settings.debug)


def _cause(error: BaseException) -> BaseException:
    """What a person should hear of: inside a group, that they interrupted us; else a bug of ours rather than
    an error it led to.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(member) for member in error.exceptions]
    return min(
        causes, key=lambda cause: (not isinstance(cause, KeyboardInterrupt), isinstance(cause, P2PDriveError))
    )


def _tell(error: BaseException, debug: bool) -> int:
    match error:
        case click.ClickException():
            error.show()
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            return 1
        case P2PDriveError():
            _trace(error, debug)
            click.echo(f"p2pdrive: {error}", err=True)
            return error.exit_code
        case _:
            _trace(error, debug)
            click.echo(
                f"p2pdrive: {type(error).__name__}: {error}\n"
                "This is a bug. Please report it to the p2pdrive project, with what --debug adds.",
                err=True,
            )
            return 1


def _trace(error: BaseException, debug: bool) -> None:
    if debug:
        traceback.print_exception(error)


if __name__ == "__main__":
    sys.exit(main())
