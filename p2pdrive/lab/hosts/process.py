"""Processes, started and ended by their ids."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from signal import SIGKILL, Signals

import trio

from p2pdrive.errors import WorldError

_LOOK_SECONDS = 0.02


class Process:
    """Runs ``argv``; what it prints is added to the files ``output`` and ``errors`` (the same if not given).

    It is started by the main thread: on the loopback ground the kernel ends it with the thread that did.
    """

    def __init__(
        self, argv: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path | None = None
    ) -> None:
        with open(output, "ab") as out, open(errors or output, "ab") as err:
            self._popen = subprocess.Popen(  # noqa: S603 - the command lines are our own
                argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=dict(environment)
            )

    @property
    def pid(self) -> int:
        """Its id."""
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """What it ended with; None while it runs."""
        return self._popen.poll()

    def signal(self, number: Signals) -> None:
        """Sends it a signal; nothing where it has ended."""
        self._popen.send_signal(number)

    async def ended(self, within: float) -> int | None:
        """Waits for its end; None if that has not come in so many seconds."""
        with trio.move_on_after(within):
            while (code := self.code) is None:  # noqa: ASYNC110 - a process is no task that could tell
                await trio.sleep(_LOOK_SECONDS)
            return code
        return self.code

    def kill(self) -> None:
        """Ends it with SIGKILL; it is gone afterwards."""
        self._popen.send_signal(SIGKILL)
        self._popen.wait()


def call(*argv: str) -> None:
    """Runs a command of the system to its end. Raises WorldError with what it said if it fails."""
    done = subprocess.run(argv, text=True, capture_output=True, check=False)  # noqa: S603 - as above
    if done.returncode != 0:
        raise WorldError(f"`{' '.join(argv)}` ended with {done.returncode}: {done.stderr.strip()}")
