"""Profiles of Hypothesis, what was drawn at random, and a node's API in memory for the tests of its faces."""

import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import pytest
import trio
from hypothesis import settings

from p2pdrive.api.control import Joined, Member, Shared, Version
from p2pdrive.engine.status import DriveState, DriveStatus, NodeInfo, NodeStatus, PeerStatus, ProblemStatus
from p2pdrive.errors import AskFirst, DriveError, InviteMalformed

# No deadline: a shared machine may stall, and a slow example is no wrong one. The profile alone says how many
# examples there are, so that a thorough run is thorough everywhere.
settings.register_profile("default", deadline=None, print_blob=True, max_examples=30)
settings.register_profile("thorough", deadline=None, print_blob=True, max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What tests drew at random is told at the end, whether they passed or not.

    Here and not beside them, as the process that has workers run the tests reads only the first conftest.
    """
    for reports in terminalreporter.stats.values():
        for report in (each for each in reports if getattr(each, "when", "") == "call"):
            for name, value in report.user_properties:
                if name == "drawn":
                    terminalreporter.write_line(f"{report.nodeid}: {value}")


DEVICE, DRIVE = "d1" * 32, "e5" * 32
LINK = "p2pdrive://join/AQID"
WHEN = "2026-02-03T04:05:06Z"


def example_status(state: DriveState = DriveState.IN_SYNC) -> NodeStatus:
    peer = PeerStatus("b2" * 32, "desktop", "editor", True, "192.0.2.7:4100", True, 3_000_000, 1_500)
    problem = ProblemStatus("a/b.txt", "it cannot be read", WHEN)
    drive = DriveStatus(
        DRIVE,
        "Photos",
        "/srv/Photos",
        "admin",
        state,
        1204,
        1,
        4_300_000_000,
        12,
        3_400_000,
        2,
        (problem,),
        (peer,),
    )
    return NodeStatus(NodeInfo(DEVICE, "laptop", "0.1.0", ("192.0.2.5:4242",)), (drive,))


@dataclass
class InMemoryControl:
    """A Control without a node: it remembers what it was asked, and answers from its fields."""

    answer: NodeStatus = field(default_factory=example_status)
    asked: list[tuple[object, ...]] = field(default_factory=list)
    stopped: trio.Event = field(default_factory=trio.Event)

    async def status(self) -> NodeStatus:
        return self.answer

    async def share(
        self, path: str, name: str | None, role: str, uses: int, expires: int, yes: bool
    ) -> Shared:
        self.asked.append(("share", path, name, role, uses, expires, yes))
        if path.endswith("anna") and not yes:
            raise AskFirst(f"{path} is a whole home folder.")
        if path.endswith("nowhere"):
            raise DriveError(f"{path} is not a folder.")
        return Shared(DRIVE, path, True, LINK)

    async def join(self, link: str, path: str, yes: bool) -> Joined:
        self.asked.append(("join", link, path, yes))
        if link != LINK:
            raise InviteMalformed("That is no invite.")
        return Joined(DRIVE, "Photos", path)

    async def choose(self, path: str, choice: str) -> None:
        self.asked.append(("choose", path, choice))

    async def leave(self, path: str, forget: bool) -> None:
        self.asked.append(("leave", path, forget))

    async def log(self, path: str) -> list[Version]:
        self.asked.append(("log", path))
        if path.endswith("bug"):
            raise ZeroDivisionError
        if path.endswith("unheard of"):
            return []
        newest = Version(WHEN, DEVICE, "laptop", 1234, "file", True, True)
        return [newest, replace(newest, device_name="desktop", readable=False, current=False)]

    async def devices(self, path: str | None) -> list[Member]:
        self.asked.append(("devices", path))
        own = Member(DRIVE, "Photos", DEVICE, "laptop", "admin", own=True, connected=False, last_seen=None)
        other = replace(own, device="b2" * 32, name="desktop", own=False, last_seen=WHEN)
        return [own, other]

    async def stop(self) -> None:
        self.stopped.set()

    async def run(self, *, task_status: trio.TaskStatus[None]) -> None:
        task_status.started()
        await self.stopped.wait()

    async def until_stopping(self) -> None:
        await self.stopped.wait()


@pytest.fixture
def control() -> InMemoryControl:
    return InMemoryControl()


@pytest.fixture
def home_path() -> Iterator[Path]:
    """Short, as the path of a Unix socket is."""
    with tempfile.TemporaryDirectory(prefix="p2p") as name:
        yield Path(name).resolve()


@pytest.fixture
async def socket(control: InMemoryControl, home_path: Path, nursery: trio.Nursery) -> AsyncIterator[Path]:
    """Where ``control`` is served."""
    from p2pdrive.api.server import serve

    path = home_path / "control.sock"
    await nursery.start(partial(serve, control, path))
    yield path
    nursery.cancel_scope.cancel()
