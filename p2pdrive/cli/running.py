"""`run`, and the node in the foreground of `share` and `join`."""

import logging
import sys
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Protocol, TypeVar

import click

from p2pdrive.api.control import Control
from p2pdrive.cli.options import Settings, common

if TYPE_CHECKING:  # trio takes a third of what `status` may
    import trio
    from rich.console import Console


Answer = TypeVar("Answer")


class Runnable(Control, Protocol):
    """A node: a Control that can be run."""

    async def run(self, *, task_status: "trio.TaskStatus[None]") -> None:
        """``started`` once its control socket answers; returns after SIGTERM, SIGINT or ``stop``."""

    async def until_stopping(self) -> None:
        """Returns once it was told to end, before any of its drives is closed."""


@click.command()
@click.option("--listen", metavar="HOST:PORT", help="Where peers reach this node; all addresses by default.")
@click.option("--peer", "peers", metavar="HOST:PORT", multiple=True, help="A node to connect to; repeatable.")
@click.option("--no-discovery", is_flag=True, help="Neither announce nor look for nodes on this network.")
@common
@click.pass_obj
def run(settings: Settings, listen: str | None, peers: tuple[str, ...], no_discovery: bool) -> None:
    """Run the node in the foreground until Ctrl-C or SIGTERM."""
    from p2pdrive.node.node import Node, NodeOptions

    options = NodeOptions(listen=listen, peers=peers, discovery=not no_discovery)
    run_foreground(Node(settings.home, options), None, settings.debug)


def do_ourselves(
    settings: Settings,
    request: Callable[[Control], Awaitable[Answer]],
    show: Callable[[Answer], None],
    run: bool,
) -> None:
    """No node runs: be it until Ctrl-C, or only do this one thing on its home."""
    import trio

    from p2pdrive.node.node import Node, NodeOptions

    home = settings.home
    node = Node(home, NodeOptions(listen=None, peers=(), discovery=True))

    async def ask() -> None:
        show(await request(node))

    if run:
        run_foreground(node, ask, settings.debug)
    else:
        with home.lock():
            trio.run(ask)


def run_foreground(node: Runnable, request: Callable[[], Awaitable[None]] | None, debug: bool) -> None:
    """Runs ``node`` to its end, with progress on stderr; ``request`` is made once it answers."""
    import trio

    console = _terminal() if sys.stderr.isatty() else None
    _log_to_stderr(console, debug)
    trio.run(_run, node, request, console)


async def _run(
    node: Runnable, request: Callable[[], Awaitable[None]] | None, console: "Console | None"
) -> None:
    import trio

    from p2pdrive.cli.progress import log_progress, show_progress

    async with trio.open_nursery() as nursery:

        async def run_node(task_status: trio.TaskStatus[None]) -> None:
            await node.run(task_status=task_status)
            nursery.cancel_scope.cancel()

        await nursery.start(run_node)
        if request is not None:
            await request()
        with trio.CancelScope() as telling:
            nursery.start_soon(_silence, node, telling)
            if console is not None:
                await show_progress(node.status, console)
            else:
                await log_progress(node.status)


async def _silence(node: Runnable, telling: "trio.CancelScope") -> None:
    """What drives look like as they close would alarm, and is nobody's business."""
    await node.until_stopping()
    telling.cancel()


def _terminal() -> "Console":
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def _log_to_stderr(console: "Console | None", debug: bool) -> None:
    """Log lines of ours: all that is of interest without a terminal, warnings above live progress."""
    if console is None:
        handler: logging.Handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%Y-%m-%d %H:%M:%S"))
        level = logging.INFO
    else:
        from rich.logging import RichHandler

        handler = RichHandler(console=console, show_path=False, show_level=False)
        level = logging.WARNING
    logging.basicConfig(level=logging.WARNING, handlers=[handler])
    logging.getLogger("p2pdrive").setLevel(logging.DEBUG if debug else level)
