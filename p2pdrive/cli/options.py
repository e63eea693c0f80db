"""What all commands share: the home, and how folders and durations are given."""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from p2pdrive.api.client import Client
from p2pdrive.limits import INVITE_SECONDS_MAX
from p2pdrive.node.home import Home, default_path, label

Function = TypeVar("Function", bound=Callable[..., Any])

SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 24 * 3600}


@dataclass(slots=True)
class Settings:
    """What ``--home`` and ``--debug`` said, before or after the command's name."""

    home_path: Path | None = None
    debug: bool = False

    @property
    def home(self) -> Home:
        """The home that the person named, or the default one."""
        return Home(self.home_path or default_path())

    @property
    def client(self) -> Client:
        """Talks to the node that runs on the home."""
        return Client(self.home.socket())


def common(function: Function) -> Function:
    """Adds ``--home`` and ``--debug`` to a command."""
    function = click.option(
        "--debug", is_flag=True, expose_value=False, callback=_keep_debug, help="Say more, with tracebacks."
    )(function)
    return click.option(
        "--home",
        type=click.Path(file_okay=False, path_type=Path),
        expose_value=False,
        callback=_keep_home,
        help="Where this node keeps its key and its settings (or P2PDRIVE_HOME).",
    )(function)


def absolute(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Callback: the path from the root of the file system, as the node's folder is not ours."""
    if value == "":
        raise click.BadParameter("it is empty; name a folder.")  # a script's unset variable, most likely
    return None if value is None else os.path.abspath(os.path.expanduser(value))


def short_name(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    """Callback: refuses what cannot be shown as a name."""
    if value is not None and value != label(value):
        raise click.BadParameter("a name is printable, without '/', and at most 64 bytes long.")
    return value


def duration(_context: click.Context, _option: click.Parameter, value: str) -> int:
    """Callback: ``30m``, ``24h``, ``7d`` as seconds; ``never`` as 0."""
    if value == "never":
        return 0
    found = re.fullmatch(r"([1-9][0-9]{0,6})([smhd])", value, re.ASCII)
    if found is None:
        raise click.BadParameter(f"{value!r} is no duration such as 30m, 24h, 7d or never.")
    seconds = int(found[1]) * SECONDS[found[2]]
    if seconds > INVITE_SECONDS_MAX:
        raise click.BadParameter(f"{value!r} is more than ten years; that is as good as never.")
    return seconds


def _keep_home(context: click.Context, _option: click.Parameter, value: Path | None) -> None:
    settings = context.ensure_object(Settings)
    if value is not None:
        settings.home_path = value
    elif settings.home_path is None and (named := os.environ.get("P2PDRIVE_HOME")):
        settings.home_path = Path(named)


def _keep_debug(context: click.Context, _option: click.Parameter, value: bool) -> None:
    settings = context.ensure_object(Settings)
    settings.debug = settings.debug or value
