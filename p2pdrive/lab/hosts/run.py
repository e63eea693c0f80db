"""`p2pdrive lab hosts`: starts the stage, shows what it tells, and leaves nothing behind.

Two processes share the work. This one owns the terminal and the folder with all of the hosts' files. The
*stage* (``stage.py``) is its child: it sets up the hosts, runs their nodes, plays the scenario, checks the
end and tells of it all in lines of JSON. Where that can be had, it lives in namespaces of its own (network,
mounts, processes), as their first process. When it ends, however it ends, the kernel ends every process
in there and takes the networks and mounts away; and it ends when this process is gone, as it sees its
standard input end.
"""

import json
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING

from p2pdrive.errors import CallerError
from p2pdrive.lab.hosts.ground import Ground, find_ground
from p2pdrive.lab.hosts.link import parse_link
from p2pdrive.lab.hosts.names import ISOLATED_ONLY
from p2pdrive.lab.hosts.telling import Order, understood

if TYPE_CHECKING:  # rich takes its time
    from rich.console import Console

#: Seconds that the stage has to end its processes in good order.
_STAGE_SECONDS = 10
#: Where the stage's standard error goes: it says something there only if it fails itself.
_WORDS = "stage.txt"
_WORDS_SHOWN = 3000


def run_hosts(nodes: int, link: str, scenario: str, minutes: float, console: "Console") -> int:
    """Plays ``scenario`` for some ``minutes`` and checks how it ended; returns the exit code.

    ``nodes`` are NODES_MIN to NODES_MAX, ``scenario`` is one of SCENARIOS, ``link`` is for ``parse_link``.
    0 says that all was well, 1 that something was found: then the hosts' folders are kept, and the last line
    says where. Raises CallerError for what cannot be played; KeyboardInterrupt after everything was ended.
    """
    parse_link(link)
    with _interruptible_once():
        return _played(nodes, link, scenario, minutes, console)


def _played(nodes: int, link: str, scenario: str, minutes: float, console: "Console") -> int:
    base = Path(tempfile.mkdtemp(prefix="p2pdrive-lab-")).resolve()
    keep = False
    try:
        ground = find_ground(base)
        _introduce(ground, link, scenario, console)
        order = Order(str(base), nodes, link, scenario, minutes * 60, ground.isolated)
        with _stage(ground, order) as told:
            code = _follow(told, console)
        keep = code != 0
        if code is None:
            console.print("The stage ended before its time:", _last_words(base), style="red", markup=False)
        if keep:
            console.print(f"What the hosts had and their nodes wrote is kept in {base}", soft_wrap=True)
        return 1 if code is None else code
    finally:
        if not keep:
            shutil.rmtree(base, ignore_errors=True)


def _introduce(ground: Ground, link: str, scenario: str, console: "Console") -> None:
    console.print(ground.text, highlight=False, soft_wrap=True)
    if scenario in ISOLATED_ONLY and not ground.isolated:
        raise CallerError(f"The scenario {scenario} mounts a small disk, so it cannot be played here.")
    if link and not ground.isolated:
        console.print("The loopback interface cannot be shaped: --link is left out.", style="yellow")


def _follow(told: IO[str], console: "Console") -> int | None:
    """Shows what the stage tells until it ends; returns the verdict, None if it came to none."""
    from p2pdrive.lab.hosts.show import shown_on

    code: int | None = None
    with shown_on(console) as show:
        for line in told:
            if not line.endswith("\n"):  # it was killed in the middle of a word
                break
            event = understood(json.loads(line))
            show(event)
            code = event.code if event.code is not None else code
    return code


def _last_words(base: Path) -> str:
    return (base / _WORDS).read_text(errors="replace")[-_WORDS_SHOWN:]


@contextmanager
def _stage(ground: Ground, order: Order) -> Iterator[IO[str]]:
    """What the running stage tells; it has ended, with all that it started, at the end of the context."""
    with open(Path(order.base, _WORDS), "wb") as words:
        stage = subprocess.Popen(  # noqa: S603 - our own words
            [*ground.enter, sys.executable, "-m", "p2pdrive.lab.hosts.stage", order.to_json()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            start_new_session=True,  # Ctrl-C is for this process, which ends the stage in good order
        )
    assert stage.stdin is not None
    assert stage.stdout is not None
    try:
        yield stage.stdout
    finally:
        stage.stdin.close()  # tells it to end
        try:
            stage.wait(_STAGE_SECONDS)
        except subprocess.TimeoutExpired:
            stage.kill()
            stage.wait()
        finally:
            stage.stdout.close()


@contextmanager
def _interruptible_once() -> Iterator[None]:
    """SIGTERM and the end of the terminal end this as Ctrl-C does, and nothing after that interrupts the
    tidying up. Under nohup, which has SIGHUP ignored, it goes on without the terminal.
    """
    if threading.current_thread() is not threading.main_thread():  # signals are another's business then
        yield
        return

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        for number in before:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
