import base64
import json
import os
import select
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import DISCOVERY_DRIVES_MAX, DISCOVERY_STOP_SECONDS
from p2pdrive.net.addresses import Interface
from p2pdrive.net.discovery import (
    Discovery,
    Found,
    NoDiscovery,
    announcement,
    dialable,
    drive_tag,
    shared_drives,
)
from p2pdrive.net.mdns import MdnsDiscovery
from tests.net.namespaces import Host, joined_hosts

HERE = Path(__file__).parent
DEADLINE_SECONDS = 20.0  # generous: a loaded machine is slow, not wrong
STOP_SECONDS = DISCOVERY_STOP_SECONDS + 3  # the same
PHOTOS, MUSIC = b"p" * 32, b"m" * 32

drive_ids = st.binary(min_size=32, max_size=32)
nonces = st.binary(min_size=8, max_size=8)
lan = [ip_network("10.83.0.0/24")]


# What announcements say


@given(st.sets(drive_ids, max_size=8), st.sets(drive_ids, max_size=8), st.sets(drive_ids, max_size=4), nonces)
def test_announcement_names_exactly_the_drives_that_both_have(
    ours: set[bytes], theirs: set[bytes], common: set[bytes], nonce: bytes
) -> None:
    assert shared_drives(announcement(theirs | common, nonce), ours | common) == (ours | common) & (
        theirs | common
    )


@pytest.mark.parametrize("number", [0, 1, 15, 16, DISCOVERY_DRIVES_MAX])
def test_all_drives_up_to_the_limit_are_found_again_and_fit_one_packet(number: int) -> None:
    drives = [bytes([index]) * 32 for index in range(number)]
    text = announcement(drives, b"12345678")
    assert shared_drives(text, [*drives, PHOTOS + b"?"]) == frozenset(drives)
    strings = [len(key) + 1 + len(value) for key, value in text.items()]
    assert max(strings) <= 255
    assert sum(strings) + len(strings) < 1300


def test_more_drives_than_fit_may_be_any_of_ours() -> None:
    drives = [index.to_bytes(32, "big") for index in range(DISCOVERY_DRIVES_MAX + 1)]
    assert shared_drives(announcement(drives, b"12345678"), [PHOTOS, MUSIC]) == {PHOTOS, MUSIC}


def test_tags_change_with_each_announcement() -> None:
    assert drive_tag(PHOTOS, b"monday--") != drive_tag(PHOTOS, b"tuesday-")


@given(
    st.dictionaries(
        st.sampled_from([b"v", b"n", b"t0", b"t1", b"t9"]),
        st.none() | st.binary(max_size=64) | st.sampled_from([b"1", b"0" * 16, b"x" * 16, b"0" * 17]),
    )
)
def test_garbage_names_no_drive(text: dict[bytes, bytes | None]) -> None:
    if text.get(b"t0") != b"*":
        assert shared_drives(text, [PHOTOS]) == frozenset()


def test_only_addresses_that_can_be_reached_are_dialled() -> None:
    heard = ["fe80::1", "0.0.0.0", "::", "224.0.0.251", "ff02::fb", "127.0.0.1", "::1", "::ffff:10.0.0.1"]
    assert dialable([*heard, "192.168.1.9", "10.83.0.7"], 7000, [], lan) == (
        "10.83.0.7:7000",
        "192.168.1.9:7000",
    )


def test_loopback_is_dialled_only_by_who_is_on_the_loopback_only() -> None:
    assert dialable(["127.0.0.1"], 7000, [], [ip_network("127.0.0.0/8")]) == ("127.0.0.1:7000",)
    assert dialable(["127.0.0.1"], 7000, [], lan) == ()


def test_our_own_address_is_not_dialled() -> None:
    assert dialable(["172.17.0.1", "10.83.0.7"], 7000, ["172.17.0.1:7000"], lan) == ("10.83.0.7:7000",)


@pytest.mark.parametrize("port", [0, -1, 65536])
def test_announcement_with_an_impossible_port_is_not_dialled(port: int) -> None:
    assert dialable(["10.83.0.7"], port, [], lan) == ()


# Where there is no network


async def problem_of(discovery: MdnsDiscovery) -> str:
    with trio.fail_after(DEADLINE_SECONDS):
        while discovery.problem is None:  # noqa: ASYNC110 (another thread sees to it)
            await trio.sleep(0.001)
    return discovery.problem


async def test_no_discovery_finds_nobody() -> None:
    nobody: Discovery = NoDiscovery()
    async with nobody as discovery:
        discovery.update()
        found: list[Found] = [each async for each in discovery]
        assert found == []
        assert discovery.known() == ()


async def test_machine_without_interfaces_is_a_problem_and_no_failure() -> None:
    async with MdnsDiscovery(lambda: [PHOTOS], 7000, os.urandom, interfaces=list) as discovery:
        assert "no network interface" in await problem_of(discovery)


async def test_interfaces_that_cannot_be_read_are_a_problem_and_no_failure() -> None:
    def unreadable() -> list[Interface]:
        raise PermissionError("not allowed")

    async with MdnsDiscovery(lambda: [PHOTOS], 7000, os.urandom, interfaces=unreadable) as discovery:
        assert "not allowed" in await problem_of(discovery)


async def test_discovery_that_ends_at_once_ends_cleanly() -> None:
    mdns: Discovery = MdnsDiscovery(lambda: [PHOTOS], 7000, os.urandom)
    began = time.monotonic()
    async with mdns as discovery:
        discovery.update()
    assert discovery.known() == ()
    assert time.monotonic() - began < STOP_SECONDS


# Processes on hosts of their own


class Node:
    """discoverer.py on a host, and what it has said."""

    def __init__(self, host: Host, port: int, *drives: bytes) -> None:
        root = HERE.parent.parent
        argv = [sys.executable, str(HERE / "discoverer.py"), str(port), *(drive.hex() for drive in drives)]
        environment = dict(os.environ, PYTHONPATH=str(root))
        self.process = host.start(*argv, stdin=-1, stdout=-1, bufsize=0, env=environment)
        self.text = b""
        assert self.next() == {"event": "started"}

    def next(self) -> dict[str, Any]:
        """The next event."""
        deadline = time.monotonic() + DEADLINE_SECONDS
        assert self.process.stdout is not None
        while b"\n" not in self.text:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"nothing was said within {DEADLINE_SECONDS} s"
            self.text += os.read(self.process.stdout.fileno(), 65536)
        line, _, self.text = self.text.partition(b"\n")
        event: dict[str, Any] = json.loads(line)
        return event

    def find(self, address: str, *drives: bytes) -> None:
        """Wait until a node is found that has ``address`` and just these drives."""
        wanted = sorted(drive.hex() for drive in drives)
        while True:
            event = self.next()
            if event["event"] == "found" and address in event["addresses"] and event["drives"] == wanted:
                return

    def tell(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def known(self) -> list[str]:
        self.tell("?")
        while (event := self.next())["event"] != "known":
            pass
        addresses: list[str] = event["addresses"]
        return addresses

    def wait_known(self, *addresses: str) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while self.known() != sorted(addresses):
            assert time.monotonic() < deadline
            time.sleep(0.02)

    def stop(self) -> float:
        """Seconds from SIGTERM to the end."""
        began = time.monotonic()
        self.process.terminate()
        assert self.process.wait(DEADLINE_SECONDS) == 0
        return time.monotonic() - began


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    with joined_hosts(2) as joined:
        yield joined


@pytest.fixture
def unplugged() -> Iterator[list[Host]]:
    with joined_hosts(2, connected=False) as joined:
        yield joined


def test_two_machines_find_each_other_and_say_goodbye(hosts: list[Host]) -> None:
    first, second = Node(hosts[0], 7001, PHOTOS, MUSIC), Node(hosts[1], 7002, PHOTOS)
    second.find("10.83.0.1:7001", PHOTOS)
    first.find("10.83.0.2:7002", PHOTOS)
    if hosts[0].address6 is not None:
        assert first.known() == ["10.83.0.2:7002", "[fd83::2]:7002"]
    assert second.stop() < STOP_SECONDS
    first.wait_known()


def test_machines_with_only_ipv6_find_each_other(hosts: list[Host]) -> None:
    if hosts[0].address6 is None:
        pytest.skip("needs IPv6, which is off here")
    for host in hosts:
        host.run("ip", "-4", "address", "flush", "dev", "eth0")
    first, second = Node(hosts[0], 7001, PHOTOS), Node(hosts[1], 7002, PHOTOS)
    second.find("[fd83::1]:7001", PHOTOS)
    first.find("[fd83::2]:7002", PHOTOS)


def test_strangers_find_each_other_once_they_share_a_drive(hosts: list[Host]) -> None:
    first, second = Node(hosts[0], 7001, PHOTOS), Node(hosts[1], 7002, MUSIC)
    assert first.known() == []
    second.tell(f"{MUSIC.hex()} {PHOTOS.hex()}")
    first.find("10.83.0.2:7002", PHOTOS)
    second.find("10.83.0.1:7001", PHOTOS)
    second.tell(MUSIC.hex())
    first.wait_known()
    assert second.known() == []


def test_drive_ids_cannot_be_read_from_the_packets(hosts: list[Host]) -> None:
    sniffer = hosts[0].start(sys.executable, str(HERE / "sniffer.py"), stdout=-1, text=True)
    assert sniffer.stdout is not None
    assert sniffer.stdout.readline() == "ready\n"
    first, second = Node(hosts[0], 7001, PHOTOS, MUSIC), Node(hosts[1], 7002, PHOTOS, MUSIC)
    first.find("10.83.0.2:7002", PHOTOS, MUSIC)
    second.find("10.83.0.1:7001", PHOTOS, MUSIC)
    for node in (first, second):
        node.stop()
    sniffer.terminate()
    packets = bytes.fromhex(sniffer.stdout.read().replace("\n", "")).lower()
    nonce = bytes.fromhex(packets.partition(b"n=")[2][:16].decode())
    assert drive_tag(PHOTOS, nonce).hex().encode() in packets
    for drive in (PHOTOS, MUSIC):
        for start in range(0, 32, 8):
            piece = drive[start : start + 8]
            assert piece not in packets
            assert piece.hex().encode() not in packets
            assert base64.b64encode(piece)[:10].lower() not in packets


def test_interface_that_appears_later_is_used(unplugged: list[Host]) -> None:
    first, second = Node(unplugged[0], 7001, PHOTOS), Node(unplugged[1], 7002, PHOTOS)
    assert first.known() == []
    for host in unplugged:
        host.connect()
    first.find("10.83.0.2:7002", PHOTOS)
    second.find("10.83.0.1:7001", PHOTOS)
    unplugged[0].disconnect()
    first.wait_known()
    unplugged[0].connect()
    first.find("10.83.0.2:7002", PHOTOS)


def test_two_nodes_on_a_machine_without_network_find_each_other(unplugged: list[Host]) -> None:
    first, second = Node(unplugged[0], 7001, PHOTOS), Node(unplugged[0], 7002, PHOTOS)
    first.find("127.0.0.1:7002", PHOTOS)
    second.find("127.0.0.1:7001", PHOTOS)


def test_two_nodes_on_one_machine_find_each_other_over_its_network(hosts: list[Host]) -> None:
    first, second = Node(hosts[0], 7001, PHOTOS), Node(hosts[0], 7002, PHOTOS)
    first.find("10.83.0.1:7002", PHOTOS)
    second.find("10.83.0.1:7001", PHOTOS)
