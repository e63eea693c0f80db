"""`lab hosts`: real nodes in namespaces and on the loopback, what is found wrong, and what stays behind."""

import io
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from p2pdrive.cli.main import main
from p2pdrive.errors import CallerError
from p2pdrive.lab.hosts import SCENARIOS, Link, LinkMalformed, parse_link, run_hosts
from p2pdrive.lab.hosts.checks import differences, lost
from p2pdrive.lab.hosts.ground import find_ground
from p2pdrive.lab.hosts.host import Host
from p2pdrive.lab.hosts.ledger import Ledger, content_of
from p2pdrive.lab.hosts.network import Loopback
from p2pdrive.lab.hosts.person import Person
from p2pdrive.lab.hosts.relay import Direction
from p2pdrive.lab.hosts.run import _interruptible_once
from p2pdrive.lab.hosts.scenarios import PLAYS
from p2pdrive.lab.hosts.show import table
from p2pdrive.lab.hosts.telling import Event, HostLook

COMMAND = (sys.executable, "-m", "p2pdrive.cli.main", "lab", "hosts", "--nodes", "2")
SOON = 60.0


# --- what is asked for ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("", Link()),
        ("delay=20ms,rate=100mbit,loss=0.1%", Link(0.02, 100e6, 0.001)),
        ("rate=1.5gbit", Link(rate=1.5e9)),
        (" loss=5% , delay=0.5s ", Link(0.5, None, 0.05)),
    ],
)
def test_link_is_understood(text: str, link: Link) -> None:
    assert parse_link(text) == link
    assert parse_link(str(link)) == link


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("delay=20", "'20' is no delay such as"),
        ("delay=11s", "at most 10s"),
        ("rate=1mb", "'1mb' is no rate such as"),
        ("rate=1kbit", "at least 8kbit"),
        ("loss=100%", "below 100%"),
        ("jitter=1ms", "'jitter=1ms' is none of them"),
        ("loss=1%,loss=2%", "loss is given twice"),
    ],
)
def test_link_that_is_none_is_explained(text: str, why: str) -> None:
    with pytest.raises(LinkMalformed, match=why):
        parse_link(text)


def test_every_scenario_that_is_named_can_be_played() -> None:
    assert list(SCENARIOS) == list(PLAYS)


@pytest.mark.parametrize(
    "wrong", ["--scenario=war", "--nodes=1", "--minutes=-1", "--minutes=inf", "--link=war"]
)
def test_what_cannot_be_played_is_refused(wrong: str) -> None:
    assert main(["lab", "hosts", wrong]) == 2


# --- the relay -----------------------------------------------------------------------------------
def test_frames_leave_after_the_delay_in_their_order() -> None:
    way = Direction(Link(delay=0.02), 0.3)
    way.take(b"one", 1.0)
    way.take(b"two", 1.01)
    assert (way.due(1.0199), way.next) == ([], 1.02)
    assert way.due(1.03) == [b"one", b"two"]


def test_a_slow_wire_takes_its_time_and_drops_what_would_queue_too_long() -> None:
    way = Direction(Link(rate=8000), 0.25)  # a byte each millisecond
    for number in range(5):
        way.take(bytes([number]) * (10 + 100), 0.0)  # 10 bytes are the kernel's, not on the wire
    assert [frame[0] for frame in way.due(0.2001)] == [0, 1]
    assert [frame[0] for frame in way.due(9)] == [2]


def test_some_frames_are_lost() -> None:
    way = Direction(Link(loss=0.5), 0.3)
    for _ in range(1000):
        way.take(b"frame", 0.0)
    assert 300 < len(way.due(0.0)) < 700


# --- what finds something wrong ------------------------------------------------------------------
@pytest.fixture
def pair(tmp_path: Path) -> list[Host]:
    """Two hosts whose nodes never run."""
    network = Loopback(2)
    hosts = [Host(tmp_path, number, network) for number in (1, 2)]
    for host in hosts:
        host.prepare()
    return hosts


def test_folders_that_differ_are_told_apart(pair: list[Host]) -> None:
    one, other = pair
    for host in pair:
        (host.folder / "same").write_text("same")
        os.utime(host.folder / "same", (1, 1))
    assert differences(pair, {}) == []
    (one.folder / "script").write_text("x")
    shutil.copy2(one.folder / "script", other.folder / "script")
    (other.folder / "script").chmod(0o755)
    (other.folder / "more").mkdir()
    assert [line.split(":")[0] for line in differences(pair, {})] == ["more", "script"]


class Bench:
    """What ``lost`` needs of a lab."""

    def __init__(self, hosts: list[Host]) -> None:
        self.hosts = hosts
        self.ledger = Ledger()
        self.said: list[str] = []
        self.say: Callable[[str], None] = self.said.append


def test_a_version_that_is_nowhere_is_lost_unless_who_saw_it_let_it_go(pair: list[Host]) -> None:
    bench: Any = Bench(pair)
    bench.ledger.wrote("host1", "a", b"one", None, 1.0)
    bench.ledger.wrote("host2", "a", b"two", None, 2.0)
    bench.ledger.wrote("host1", "a", b"three", b"one", 3.0)
    bench.ledger.wrote("host1", "b", b"four", None, 4.0)
    bench.ledger.deleted(b"four")
    (pair[0].folder / "a").write_text("three")
    shown = {content_of(pair[0].folder / "a")}
    assert [version.path for version in lost(bench, shown)] == ["a"]
    aside = pair[1].folder / ".p2pdrive/tmp"
    aside.mkdir(parents=True)
    (aside / "displaced.1.a").write_text("two")
    assert lost(bench, shown) == []


def test_content_that_nobody_wrote_is_noticed(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.wrote("host1", "a", b"one", None, 1.0)
    (tmp_path / "a").write_text("one")
    (tmp_path / "b").write_text("on")
    assert ledger.invented({name: content_of(tmp_path / name) for name in ("a", "b")}) == ["b"]


def test_all_that_a_person_leaves_behind_is_accounted_for(pair: list[Host]) -> None:
    from random import Random

    host = pair[0]
    ledger = Ledger()
    person = Person(host.name, host.folder, host.outside, ledger, Random(1), lambda: 0.0)
    for _ in range(400):
        person.act()
    files = [path for path in host.folder.rglob("*") if path.is_file()]
    assert person.acts > 100 and len(files) > 5
    contents = {str(path): content_of(path) for path in files}
    assert ledger.invented(contents) == []
    assert ledger.unaccounted(set(contents.values())) == []
    assert list(host.outside.iterdir()) == []


def test_table_shows_who_received_how_much_from_whom() -> None:
    hosts = (
        HostLook("host1", "10.83.0.1", "running", "in-sync", 3, 0, 0, 1, 80_000_000, {"host2": 1500}),
        HostLook("host2", "10.83.0.2", "asleep", "", 0, 0, 0, 0, 0, {}),
    )
    written = io.StringIO()
    Console(file=written, width=120).print(table(Event(7.0, hosts=hosts), 120))
    row = next(line for line in written.getvalue().splitlines() if "host1" in line)
    assert [cell.strip() for cell in row.strip("│").split("│")] == [
        *("host1", "10.83.0.1", "running", "in-sync", "1", "3", "", "", "80 M", "", "2 k"),
    ]


# --- for real ------------------------------------------------------------------------------------
@pytest.fixture
def namespaces(tmp_path: Path) -> None:
    ground = find_ground(tmp_path)
    if not ground.isolated:
        pytest.skip(ground.text)


def played(scenario: str, link: str = "") -> tuple[int, str]:
    written = io.StringIO()
    code = run_hosts(2, link, scenario, 0.02, Console(file=written, width=200))
    return code, written.getvalue()


@pytest.mark.usefixtures("namespaces")
def test_nodes_in_namespaces_are_killed_and_become_equal_over_a_shaped_link() -> None:
    code, told = played("kill", "delay=2ms,rate=50mbit,loss=0.1%")
    assert code == 0, told
    assert "network namespace of its own" in told and "kill -9 of host" in told


def test_without_the_commands_for_namespaces_the_nodes_share_the_loopback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "")
    code, told = played("split-brain", "delay=2ms")
    assert code == 0, told
    assert "namespaces cannot be had here" in told and "--link is left out" in told
    with pytest.raises(CallerError, match="disk-full"):
        played("disk-full")


@pytest.mark.usefixtures("namespaces")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_nothing_is_left_behind_after_an_interrupt(number: signal.Signals) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:
        pytest.skip("it is ignored here, as under nohup")
    with running_lab() as (lab, started):
        folder = base_of(started)
        lab.send_signal(number)
        assert lab.wait(SOON) == 1
    assert not folder.exists()


def test_the_end_of_the_terminal_is_no_interrupt_where_it_is_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with _interruptible_once():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.usefixtures("namespaces")
def test_nothing_but_the_evidence_is_left_behind_after_a_node_died() -> None:
    with running_lab() as (lab, started):
        folder = base_of(started)
        os.kill(nodes(started)[0], signal.SIGKILL)
        told, _ = lab.communicate(timeout=SOON)
        assert lab.returncode == 1
        assert "ended with -9, by itself" in told and str(folder) in told
    shutil.rmtree(folder)


@contextmanager
def running_lab() -> Iterator[tuple["subprocess.Popen[str]", dict[int, list[str]]]]:
    """A lab whose nodes run, and its processes with their command lines; nothing of it may be left after."""
    mark = secrets.token_hex()  # the number of a namespace is given to another one once it is gone
    environment = {**os.environ, "P2PDRIVE_TEST": mark}
    lab = subprocess.Popen(COMMAND, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        deadline = time.monotonic() + SOON
        while len(nodes(started := descendants(lab.pid))) < 2:
            assert time.monotonic() < deadline, started
            time.sleep(0.05)
        spaces = {space for pid in started for space in namespaces_of(pid)} - set(namespaces_of(os.getpid()))
        assert processes_with(mark) >= set(nodes(started))
        yield lab, started
    finally:
        lab.kill()
        lab.communicate()
    assert len(spaces) >= 5  # mounts, processes, and the networks of the stage and of two hosts
    assert not processes_with(mark)
    assert not [pid for pid, words in started.items() if words and command_line(pid) == words]
    assert "p2pdrive-lab" not in Path("/proc/mounts").read_text()


def nodes(started: dict[int, list[str]]) -> list[int]:
    return [pid for pid, words in started.items() if words[:1] == [sys.executable] and "run" in words]


def base_of(started: dict[int, list[str]]) -> Path:
    """The folder of the lab that has these processes."""
    (order,) = {words[-1] for words in started.values() if "p2pdrive.lab.hosts.stage" in words}
    return Path(order.split('"base": "')[1].split('"')[0])


def descendants(pid: int) -> dict[int, list[str]]:
    """Process → command line, for all that ``pid`` has started, and what these have."""
    found = {}
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended meanwhile
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                found[child] = command_line(child)
                found.update(descendants(child))
    return found


def command_line(pid: int) -> list[str]:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    except (FileNotFoundError, ProcessLookupError):
        return []


def processes_with(mark: str) -> set[int]:
    """All that were started with it in their environment, by whomever."""
    found = set()
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            if mark.encode() in Path(f"/proc/{pid}/environ").read_bytes():
                found.add(pid)
    return found


def namespaces_of(pid: int) -> list[str]:
    try:
        return [os.readlink(f"/proc/{pid}/ns/{kind}") for kind in ("net", "mnt", "pid")]
    except (FileNotFoundError, ProcessLookupError, PermissionError):
        return []
