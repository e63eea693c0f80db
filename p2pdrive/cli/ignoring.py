"""`ignore`: what is not synced, and by which rule."""

import os
from pathlib import Path

import click

from p2pdrive.cli.options import absolute, common
from p2pdrive.cli.words import printable
from p2pdrive.errors import DriveError, Unreadable
from p2pdrive.folder.defaults import DEFAULTS
from p2pdrive.folder.homes import home_around
from p2pdrive.folder.ignore import Ignore
from p2pdrive.model.paths import IGNORE_FILE, STATE_DIRECTORY

_WIDTH = max(len(each.line) for each in DEFAULTS) + 2


@click.command()
@click.argument("path", metavar="[PATH]", required=False, callback=absolute)
@click.option("--defaults", is_flag=True, help="List the built-in rules, with a word for each.")
@common
def ignore(path: str | None, defaults: bool) -> None:
    """Say whether PATH is synced, or by which rule it is not; of a drive's folder, list its rules."""
    if defaults:
        for each in DEFAULTS:
            along = " (goes with a folder that is deleted elsewhere)" if each.litter else ""
            click.echo(f"{each.line:<{_WIDTH}}{each.why}{along}")
        return
    place = Path(path or os.getcwd())
    root = next((each for each in (place, *place.parents) if (each / STATE_DIRECTORY).is_dir()), None)
    if root is None:
        raise DriveError(f"{printable(str(place))} is in no drive. Name a path in one, or say --defaults.")
    lines = _lines(root)
    click.echo("\n".join(map(printable, lines)) if place == root else _judged(place, root, Ignore(lines)))


def _lines(root: Path) -> list[str]:
    try:
        return (root / IGNORE_FILE).read_text("utf-8-sig").splitlines()
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise Unreadable(f"{root / IGNORE_FILE} cannot be read: {error}.") from error


def _judged(place: Path, root: Path, rules: Ignore) -> str:
    shown = printable(str(place))
    home = home_around(place)
    if home is not None and root in home.parents:
        return f"{shown} is not synced: {printable(str(home))} is the home of a p2pdrive node."
    line = rules.why(str(place.relative_to(root)), place.is_dir() and not place.is_symlink())
    if line is None:
        return f"{shown} is synced: no rule hides it."
    return f"{shown} is not synced, by the rule: {printable(line)}"
