"""Machines as a person has them: a home, a folder and the real program, run by its command line.

Each machine listens on 127.0.0.1, at the same port whenever it is started, and finds others only by what
invites and members tell it. Nothing sleeps for a fixed time: ``eventually`` looks at a condition until it
holds or its deadline is over, and then says what was last seen. What a machine's node wrote is kept
(``output``), shown with a failing test, and looked through for what may never be in it.
"""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from blake3 import blake3

from p2pdrive.api.client import Client
from p2pdrive.errors import NodeNotRunning
from p2pdrive.node.home import Home
from p2pdrive.secure.invite import Invite

PROGRAM = (sys.executable, "-m", "p2pdrive.cli.main")
#: Seconds within which what is expected to happen has happened, on a machine that is busy with other work.
SOON = 30.0
#: Seconds over which nothing may pass for nodes to count as quiet.
QUIET = 0.6
#: Seconds between two looks at a condition.
LOOK = 0.03
#: Bytes of a file that is compared as it is; of a larger one it is the hash.
_SMALL = 64 * 1024
#: Ports below those that outgoing connections are given, so that a machine gets its own again; and others in
#: each process that runs tests beside others.
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_PORTS = list(range(20_000 + _WORKER, 32_000, _WORKERS))
random.SystemRandom().shuffle(_PORTS)

Status = dict[str, Any]


class Machine:
    """One machine. ``command`` may wrap a command line, to run it in another network namespace, say."""

    def __init__(
        self,
        base: Path,
        name: str,
        listen: str | None = "127.0.0.1",
        discovery: bool = False,
        command: Callable[..., list[str]] = lambda *argv: list(argv),
    ) -> None:
        self.name = name
        self.base = base / name
        self.home = self.base / "home"
        self.folder = self.base / "Photos"
        self.listen = listen
        self.discovery = discovery
        self.output = self.base / "output.txt"
        self.process: subprocess.Popen[bytes] | None = None
        self._command = command
        self._port = _free_port()
        self.home.mkdir(parents=True, mode=0o700)
        self.folder.mkdir()
        (self.home / "config.json").write_text(json.dumps({"format": 1, "name": name}))

    # --- the node

    def start(self, *options: str) -> "Machine":
        """``p2pdrive run``; returns once its control socket answers."""
        return self.begin(*options).answering()

    def begin(self, *options: str) -> "Machine":
        """``p2pdrive run``, without waiting for it."""
        arguments = ["run", *options]
        if self.listen is not None:
            arguments += ["--listen", f"{self.listen}:{self._port}"]
        if not self.discovery:
            arguments.append("--no-discovery")
        return self.launch(*arguments)

    def launch(self, *arguments: str) -> "Machine":
        """Any command that runs the node in the foreground."""
        assert self.process is None, f"{self.name} runs already"
        with open(self.output, "ab") as output:
            argv = self._command(*PROGRAM, *arguments)
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self._environment()
            )
        return self

    def answering(self) -> "Machine":
        """Returns once the node's control socket answers."""
        eventually(self._answers, lambda: f"{self.name} does not answer:\n{self.tail()}")
        return self

    def stop(self) -> float:
        """SIGTERM, as a service manager does; returns the seconds that it took. The node must end with 0."""
        process, self.process = self.process, None
        assert process is not None
        began = time.monotonic()
        process.terminate()
        code = process.wait(SOON)
        assert code == 0, f"{self.name} ended with {code}:\n{self.tail()}"
        return time.monotonic() - began

    def kill(self) -> None:
        """kill -9: as a power cut, for the process."""
        process, self.process = self.process, None
        assert process is not None
        process.kill()
        process.wait()

    def discard(self) -> None:
        """End the node, however it is."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.send_signal(signal.SIGABRT)  # has it say where it hangs
                self.process.wait(5)
        self.process = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """The node does nothing meanwhile, as on a machine that is asleep."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    # --- commands

    def cli(
        self, *arguments: str | Path, code: int = 0, timeout: float = 90
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on this machine; it must end with ``code``."""
        argv = self._command(*PROGRAM, *map(str, arguments))
        result = subprocess.run(
            argv, capture_output=True, text=True, timeout=timeout, env=self._environment(), check=False
        )
        said = f"{arguments} ended with {result.returncode}\n{result.stdout}\n{result.stderr}\n{self.tail()}"
        assert result.returncode == code, said
        assert "Traceback" not in result.stderr, said
        return result

    def share(self, *options: str, folder: Path | None = None) -> str:
        """Share a folder (of a running node, or --no-run), and give the invite's link."""
        result = self.cli("share", folder or self.folder, *options)
        (link,) = result.stdout.splitlines()
        assert link.startswith("p2pdrive://join/")
        return link

    def join(self, link: str, folder: Path | None = None, *options: str) -> None:
        """Join by an invite."""
        self.cli("join", link, folder or self.folder, *options)

    def wait(self, timeout: float = SOON, code: int = 0) -> None:
        """``p2pdrive wait``."""
        self.cli("wait", "--timeout", str(timeout), code=code, timeout=timeout + 30)

    def status(self) -> Status:
        """What ``p2pdrive status --json`` prints, by the client that it uses (a look should cost little)."""
        found: Status = json.loads(Client(Home(self.home).socket()).status().to_json())
        return found

    def drive(self, folder: Path | None = None) -> Status:
        """The status of one drive."""
        path = str(folder or self.folder)
        return next(drive for drive in self.status()["drives"] if drive["path"] == path)

    @property
    def address(self) -> str:
        """Where others reach it."""
        return f"127.0.0.1:{self._port}"

    def is_connected_to(self, other: "Machine") -> bool:
        """Whether its drive's status says so."""
        peers = {peer["name"]: peer["connected"] for peer in self.drive()["peers"]}
        return bool(peers.get(other.name))

    def received_bytes(self, folder: Path | None = None) -> int:
        """Bytes that came from all peers that are connected."""
        return sum(peer["received_bytes"] for peer in self.drive(folder)["peers"])

    def problems(self, folder: Path | None = None) -> dict[str, str]:
        """Path → what is wrong with it."""
        return {problem["path"]: problem["what"] for problem in self.drive(folder)["problems"]}

    def tail(self, lines: int = 60) -> str:
        """The end of what the node wrote."""
        text = self.output.read_text(errors="replace") if self.output.exists() else ""
        return "\n".join([f"--- {self.name}", *text.splitlines()[-lines:]])

    def _environment(self) -> Mapping[str, str]:
        ours = {"P2PDRIVE_HOME": str(self.home), "PYTHONFAULTHANDLER": "1", "PYTHONUNBUFFERED": "1"}
        return {**os.environ, **ours}

    def _answers(self) -> bool:
        assert self.process is not None
        code = self.process.poll()
        assert code is None, f"{self.name} ended with {code}:\n{self.tail()}"
        try:
            self.status()
        except NodeNotRunning:
            return False
        return True


class Machines:
    """All machines of a test, ended and looked through when it is over."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.all: list[Machine] = []

    def make(self, name: str, **options: Any) -> Machine:
        """A machine that is not started yet."""
        machine = Machine(self.base, name, **options)
        self.all.append(machine)
        return machine

    def started(self, *names: str) -> list[Machine]:
        """Machines whose nodes run."""
        begun = [self.make(name).begin() for name in names]
        return [machine.answering() for machine in begun]

    def end(self) -> None:
        """End all nodes, print what they wrote, and remove their folders; no node may have met a bug."""
        for machine in self.all:
            machine.discard()
        written = [machine.tail(400) for machine in self.all]
        sys.stdout.write("\n".join(written))  # pytest shows it with a failing test
        for machine in self.all:
            shutil.rmtree(machine.base, ignore_errors=True)
        bugs = [text for text in written if "Traceback" in text or "This is a bug" in text]
        assert not bugs, "\n".join(bugs)


def eventually(
    holds: Callable[[], object], seen: Callable[[], object] = lambda: "it never held", within: float = SOON
) -> None:
    """Returns as soon as the condition holds; fails with what is ``seen`` when it does not within seconds."""
    deadline = time.monotonic() + within
    while not holds():
        assert time.monotonic() < deadline, f"not within {within:g} s: {seen()}"
        time.sleep(LOOK)


def tree(folder: Path, known: dict[tuple[int, ...], str] | None = None) -> dict[str, tuple[Any, ...]]:
    """All that a drive's members must agree on: path → kind, and content, exec bit and mtime, or target.

    Of a large file it is the hash; ``known`` remembers those of looks before.
    """
    found: dict[str, tuple[Any, ...]] = {}
    hashes = {} if known is None else known
    for directory, names, files in os.walk(folder):
        if Path(directory) == folder and ".p2pdrive" in names:
            names.remove(".p2pdrive")
        for name in [*names, *files]:
            path = Path(directory, name)
            found[str(path.relative_to(folder))] = _seen(path, hashes)
    return found


def _seen(path: Path, hashes: dict[tuple[int, ...], str]) -> tuple[Any, ...]:
    try:
        if path.is_symlink():
            return ("symlink", os.readlink(path))
        if path.is_dir():
            return ("directory",)
        stat = path.stat()
        content: bytes | str = path.read_bytes() if stat.st_size <= _SMALL else _hash(path, stat, hashes)
        return ("file", content, bool(stat.st_mode & 0o100), stat.st_mtime_ns)
    except FileNotFoundError:
        return ("gone while looked at",)


def _hash(path: Path, stat: os.stat_result, hashes: dict[tuple[int, ...], str]) -> str:
    version = (stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
    if version not in hashes:
        hashes[version] = f"{stat.st_size} bytes {blake3().update_mmap(path).hexdigest()}"
    return hashes[version]


def difference(one: Path, other: Path, known: dict[tuple[int, ...], str] | None = None) -> list[str]:
    """The paths at which two folders differ, in words."""
    left, right = tree(one, known), tree(other, known)
    return [
        f"{path}: {_brief(left.get(path))} | {_brief(right.get(path))}"
        for path in sorted(left.keys() | right.keys())
        if left.get(path) != right.get(path)
    ]


def _brief(entry: tuple[Any, ...] | None) -> str:
    if entry is None:
        return "nothing"
    return " ".join(
        f"{part[:20]!r} ({len(part)} B)" if isinstance(part, bytes) else str(part) for part in entry
    )


def settled(*machines: Machine, within: float = SOON) -> None:
    """Returns once the folders of all these are equal, all say that they are in sync, and nothing passes
    between them any more."""
    first, *others = machines
    known: dict[tuple[int, ...], str] = {}
    eventually(
        lambda: not any(difference(first.folder, other.folder, known) for other in others),
        lambda: "\n".join(
            [line for other in others for line in difference(first.folder, other.folder, known)]
            + [json.dumps(machine.drive(), indent=1) for machine in machines]
        ),
        within,
    )
    quiet(machines, within)
    for other in others:
        assert difference(first.folder, other.folder) == []


def quiet(machines: Iterable[Machine], within: float = SOON) -> None:
    """Returns once all are in sync with all that they are connected to, and no byte passed for a while."""
    watched = list(machines)
    last: Any = None
    since = time.monotonic()

    def steady() -> bool:
        nonlocal last, since
        now = [machine.drive() for machine in watched]
        if now != last or not all(map(_in_sync, now)):
            last, since = now, time.monotonic()
        return time.monotonic() - since > QUIET

    eventually(steady, lambda: json.dumps([machine.drive() for machine in watched], indent=1), within)


def _in_sync(drive: Status) -> bool:
    return drive["state"] == "in-sync" and all(
        peer["in_sync"] for peer in drive["peers"] if peer["connected"]
    )


def write(folder: Path, contents: Mapping[str, bytes | str]) -> None:
    """Write files, with the directories that they are in."""
    for name, content in contents.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)


def random_bytes(seed: int, size: int) -> bytes:
    """The same for the same seed, and nothing that compresses."""
    return random.Random(seed).randbytes(size)


def changed_invite(link: str, **changes: Any) -> str:
    """The same invite, but for what ``changes`` says of its fields."""
    return replace(Invite.parse(link), **changes).link()


def _free_port() -> int:
    """One that this process was not given before: the machine that has it may not have begun to listen."""
    while _PORTS:
        with socket.socket() as probe:
            port = _PORTS.pop()
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port
    raise AssertionError("no free port was found")
