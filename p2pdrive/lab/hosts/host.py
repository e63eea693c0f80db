"""A host: a home, a folder, a person, and the real program, run by its command line."""

import json
import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from itertools import count
from pathlib import Path
from signal import SIGCONT, SIGSTOP, SIGTERM

import trio

from p2pdrive.api.client import Client
from p2pdrive.engine.status import DriveStatus
from p2pdrive.errors import P2PDriveError, WorldError
from p2pdrive.lab.hosts.network import Network
from p2pdrive.lab.hosts.process import Process
from p2pdrive.node.home import Home

PROGRAM = (sys.executable, "-m", "p2pdrive.cli.main")
#: Seconds that a node has to answer at first, a command to end, and a node to stop.
START_SECONDS = 120.0
COMMAND_SECONDS = 120.0
STOP_SECONDS = 30.0
_LOOK_SECONDS = 0.05
_STATUS_SECONDS = 5.0
_KIB = 1024


class HostFailed(WorldError):
    """A node or a command did not do what it should."""


class Host:
    """Number ``number`` on ``network``; all that it has on disk lies in ``base``."""

    def __init__(self, base: Path, number: int, network: Network) -> None:
        self.number = number
        self.name = f"host{number}"
        self.base = base / self.name
        self.home = self.base / "home"
        #: What lies on the disk that the folder is on.
        self.disk = self.base / "disk"
        self.folder = self.disk / "Drive"
        self.outside = self.disk / "outside"
        self.output = self.base / "output.txt"
        self.network = network
        self.asleep = False
        #: The most bytes of memory that a node of this host ever had.
        self.memory = 0
        self._process: Process | None = None
        self._commands = count(1)
        self._command: dict[int, Process] = {}
        self._received: dict[str, int] = {}
        self._received_before: dict[str, int] = {}

    def prepare(self) -> None:
        """Makes the home and the folders."""
        self.home.mkdir(parents=True, mode=0o700)
        self.make_folders()
        (self.home / "config.json").write_text(json.dumps({"format": 1, "name": self.name}))

    def make_folders(self) -> None:
        """Makes what lies on the disk."""
        for path in (self.folder, self.outside):
            path.mkdir(parents=True, mode=0o700)

    # --- the node

    @property
    def runs(self) -> bool:
        """Whether its node has been started, and not ended by us."""
        return self._process is not None

    @property
    def state(self) -> str:
        """In a word."""
        return "asleep" if self.asleep else "running" if self.runs else "down"

    async def start(self) -> None:
        """`p2pdrive run`; returns once the node answers."""
        assert self._process is None, f"{self.name} runs already"
        argv = self.network.command(self.number, *PROGRAM, "run", *self.network.node_options(self.number))
        self._process = Process(argv, self._environment(), self.output)
        with trio.move_on_after(START_SECONDS):
            while self._process is not None and await self.status() is None:
                self.check()
                await trio.sleep(_LOOK_SECONDS)
            return
        raise HostFailed(f"The node of {self.name} does not answer.\n{self.tail()}")

    async def stop(self) -> None:
        """SIGTERM, as a service manager does; the node must end with 0."""
        self.check()
        process, self._process = self._process, None
        if process is None:
            return
        self._note_memory(process)
        process.signal(SIGTERM)
        code = await process.ended(STOP_SECONDS)
        if code is None:
            process.kill()
            raise HostFailed(f"The node of {self.name} did not end within {STOP_SECONDS:g} s.\n{self.tail()}")
        if code != 0:
            raise HostFailed(f"The node of {self.name} ended with {code} when asked to.\n{self.tail()}")

    def kill(self) -> None:
        """Ends the node with SIGKILL: as a power cut, for the process."""
        process, self._process = self._process, None
        self.asleep = False
        if process is not None:
            self._note_memory(process)
            process.kill()

    def sleep(self) -> None:
        """The node does nothing until ``wake``, as on a laptop that is closed."""
        assert self._process is not None
        self.asleep = True
        self._process.signal(SIGSTOP)

    def wake(self) -> None:
        """The laptop is opened again."""
        if self.asleep and self._process is not None:
            self._process.signal(SIGCONT)
        self.asleep = False

    def check(self) -> None:
        """Raises HostFailed if the node ended though nobody asked it to."""
        if self._process is not None and (code := self._process.code) is not None:
            self._process = None
            raise HostFailed(f"The node of {self.name} ended with {code}, by itself.\n{self.tail()}")

    def end(self) -> None:
        """Ends all that runs for this host, whatever it does."""
        for process in self._command.values():
            process.kill()
        self._command.clear()
        self.kill()

    # --- what it says

    async def cli(self, *arguments: str) -> str:
        """Runs a command of p2pdrive on this host, and gives what it printed. Raises HostFailed."""
        number = next(self._commands)
        output, errors = (self.base / f"command{number}.{name}" for name in ("output", "errors"))
        argv = self.network.command(self.number, *PROGRAM, *arguments)
        process = self._command[number] = Process(argv, self._environment(), output, errors)
        try:
            code = await process.ended(COMMAND_SECONDS)
        finally:
            process.kill()
            self._command.pop(number, None)
        if code != 0:
            ended = "did not end" if code is None else f"ended with {code}"
            raise HostFailed(
                f"`p2pdrive {arguments[0]}` on {self.name} {ended}: {errors.read_text()}\n{self.tail()}"
            )
        return output.read_text()

    async def status(self) -> tuple[DriveStatus, ...] | None:
        """The node's drives; None while it does not answer."""
        if self.asleep or not self.runs:
            return None
        client = Client(Home(self.home).socket(), _STATUS_SECONDS)
        try:
            status = await trio.to_thread.run_sync(client.status, abandon_on_cancel=True)
        except P2PDriveError:  # not up yet, killed meanwhile, or very busy
            return None
        self._note_traffic(status.drives)
        return status.drives

    async def drive(self) -> DriveStatus | None:
        """The one drive; None while the node does not answer, or has none yet."""
        drives = await self.status()
        return drives[0] if drives else None

    @property
    def received(self) -> dict[str, int]:
        """Name of another host → bytes that came from it, over all connections seen so far."""
        return dict(self._received)

    def tail(self, lines: int = 30) -> str:
        """The end of what the node wrote."""
        return "\n".join(self.written().splitlines()[-lines:])

    def written(self) -> str:
        """All that the node wrote."""
        return self.output.read_text(errors="replace") if self.output.exists() else ""

    def note_memory(self) -> None:
        """Remembers the most memory that the node had, where the system tells."""
        if self._process is not None:
            self._note_memory(self._process)

    def _note_memory(self, process: Process) -> None:
        with suppress(OSError, ValueError, IndexError):
            told = Path(f"/proc/{process.pid}/status").read_text().split("VmHWM:", 1)[1]
            self.memory = max(self.memory, int(told.split()[0]) * _KIB)

    def _note_traffic(self, drives: tuple[DriveStatus, ...]) -> None:
        for drive in drives:
            for peer in drive.peers:
                before = self._received_before.get(peer.name, 0)
                new = peer.received_bytes - before
                # A counter that fell is that of another connection, or of a node started anew.
                self._received[peer.name] = self._received.get(peer.name, 0) + (
                    new if new >= 0 else peer.received_bytes
                )
                self._received_before[peer.name] = peer.received_bytes

    def _environment(self) -> Mapping[str, str]:
        ours = {"P2PDRIVE_HOME": str(self.home), "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **ours}
