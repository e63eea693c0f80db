"""The cables between hosts: namespaces, veth pairs and a bridge; or the loopback interface for all.

On isolated ground each host has a namespace with an interface ``eth0``. The other end of that cable is a port
of a bridge in the stage's own namespace. A cable that is to be slow or lossy gets a netem discipline where
the kernel has it, and else leads through a relay (``relay.py``) on its way to the bridge. Nothing is taken
away at the end: all of it goes with the stage's namespaces.
"""

import os
import random
import shutil
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from p2pdrive.errors import WorldError
from p2pdrive.lab.hosts.link import Link
from p2pdrive.lab.hosts.process import Process, call

_NETWORK = "10.83.0"
_NETWORK_6 = "fd83:"
_BRIDGE = "bridge"
#: Bytes of a packet on a wire, and seconds that packets may queue before a slow wire, as in common routers.
PACKET_BYTES = 1500
QUEUE_SECONDS = 0.3
QUEUE_PACKETS_MIN = 20
#: Ports below those that outgoing connections are given, so that a node gets its own again.
_PORTS = range(20_000, 32_000)


class Network(Protocol):
    """What joins the hosts, which are numbered from 1."""

    #: Whether hosts can be separated and cables be made slow, and whether disks can be mounted.
    isolated: bool

    def address(self, host: int) -> str:
        """Where the host is reached."""

    def command(self, host: int, *argv: str) -> list[str]:
        """``argv`` as a command that runs on the host."""

    def node_options(self, host: int) -> list[str]:
        """Options of `p2pdrive run` on the host."""

    def shape(self, host: int, link: Link) -> None:
        """Makes the host's cable like ``link``."""

    def split(self, groups: Sequence[Sequence[int]]) -> None:
        """Only hosts of one group reach each other from now on."""

    def heal(self) -> None:
        """All hosts reach each other again."""

    def check(self) -> None:
        """Raises WorldError if something that runs for the network has ended."""

    def close(self) -> None:
        """Ends what runs for the network."""


class Namespaces:
    """Hosts 1 to ``hosts`` in namespaces of their own; their files lie in ``base``."""

    isolated = True

    def __init__(self, base: Path, hosts: int) -> None:
        self._base = base
        self._hosts = range(1, hosts + 1)
        self._bridges = 0
        self._relays: dict[int, Process] = {}
        self._has_ipv6 = _has_ipv6()
        self._add_bridge()
        self._has_netem = _kernel_has_netem(_bridge(0))
        for host in self._hosts:
            self._add(host)

    def address(self, host: int) -> str:
        """See Network."""
        return f"{_NETWORK}.{host}"

    def command(self, host: int, *argv: str) -> list[str]:
        """See Network."""
        return ["nsenter", f"--net={self._file(host)}", "--", *argv]

    def node_options(self, host: int) -> list[str]:  # noqa: ARG002 - all run alike, found by mDNS
        """See Network."""
        return []

    def shape(self, host: int, link: Link) -> None:
        """See Network."""
        if self._has_netem:
            _netem(self.command(host), "eth0", link)
            _netem([], _port(host), Link(rate=link.rate))
        else:
            self._relay(host, link)

    def split(self, groups: Sequence[Sequence[int]]) -> None:
        """See Network."""
        while self._bridges < len(groups):
            self._add_bridge()
        for number, group in enumerate(groups):
            for host in group:
                _ip("link", "set", _port(host), "master", _bridge(number))

    def heal(self) -> None:
        """See Network."""
        self.split([self._hosts])

    def check(self) -> None:
        """See Network."""
        for host, relay in self._relays.items():
            if relay.code is not None:
                raise WorldError(f"The relay of host {host} ended with {relay.code}, by itself.")

    def close(self) -> None:
        """See Network."""
        for relay in self._relays.values():
            relay.kill()
        self._relays.clear()

    def _add_bridge(self) -> None:
        bridge = _bridge(self._bridges)
        # Snooping without a querier may keep multicast from reaching the other ports.
        _ip("link", "add", bridge, "type", "bridge", "mcast_snooping", "0")
        _ip("link", "set", bridge, "up")
        self._bridges += 1

    def _add(self, host: int) -> None:
        namespace = self._file(host)
        namespace.touch()
        call("unshare", f"--net={namespace}", "true")
        _ip("link", "add", _port(host), "type", "veth", "peer", "name", "eth0", "netns", str(namespace))
        _ip("link", "set", _port(host), "master", _bridge(0), "up")
        inside = self.command(host, "ip")
        call(*inside, "link", "set", "lo", "up")
        call(*inside, "address", "add", f"{self.address(host)}/24", "dev", "eth0")
        if self._has_ipv6:
            call(*inside, "address", "add", f"{_NETWORK_6}:{host:x}/64", "dev", "eth0", "nodad")
        call(*inside, "link", "set", "eth0", "up")

    def _relay(self, host: int, link: Link) -> None:
        """Leads the host's cable through a relay: eth0 - wire, relay, plug - port of the bridge."""
        if host in self._relays:
            self._relays.pop(host).kill()
        else:
            wire, plug = f"wire{host}", f"plug{host}"
            _ip("link", "set", _port(host), "nomaster", "down")
            _ip("link", "set", _port(host), "name", wire)
            _ip("link", "add", _port(host), "type", "veth", "peer", "name", plug)
            _ip("link", "set", _port(host), "master", _bridge(0), "up")
            for name in (wire, plug):
                _ip("link", "set", name, "up")
            # Packets as they are on a wire: what is lost is one of them, and not a bundle of forty.
            call(*self.command(host, "ip"), "link", "set", "eth0", "gso_max_segs", "1")
        argv = [sys.executable, "-m", "p2pdrive.lab.hosts.relay", f"wire{host}", f"plug{host}", str(link)]
        self._relays[host] = Process(argv, os.environ, self._base / f"relay{host}.txt")

    def _file(self, host: int) -> Path:
        return self._base / f"host{host}.net"


class Loopback:
    """All hosts on the loopback interface: 127.0.0.1 for host 1, and so on."""

    isolated = False

    def __init__(self, hosts: int) -> None:
        self._addresses = {host: _loopback_address(host) for host in range(1, hosts + 1)}
        self._prefix = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()

    def address(self, host: int) -> str:
        """See Network."""
        return self._addresses[host]

    def command(self, host: int, *argv: str) -> list[str]:  # noqa: ARG002 - there is one for all
        """See Network."""
        return [*self._prefix, *argv]

    def node_options(self, host: int) -> list[str]:
        """See Network."""
        return ["--no-discovery", "--listen", self._addresses[host]]

    def shape(self, host: int, link: Link) -> None:
        """See Network: cannot be done here."""

    def split(self, groups: Sequence[Sequence[int]]) -> None:
        """See Network: cannot be done here."""

    def heal(self) -> None:
        """See Network."""

    def check(self) -> None:
        """See Network."""

    def close(self) -> None:
        """See Network."""


def _loopback_address(host: int) -> str:
    """A free port on the host's address; on that of all where a system knows no other (macOS)."""
    for port in random.SystemRandom().sample(_PORTS, 100):
        for address in (f"127.0.0.{host}", "127.0.0.1"):
            with socket.socket() as probe:
                try:
                    probe.bind((address, port))
                except OSError:
                    continue
                return f"{address}:{port}"
    raise WorldError("No free port was found on the loopback interface.")


def _netem(inside: Sequence[str], device: str, link: Link) -> None:
    """Shapes what leaves by ``device``."""
    call(*inside, "tc", "qdisc", "replace", "dev", device, "root", "netem", *_netem_words(link))


def _kernel_has_netem(device: str) -> bool:
    try:
        _netem([], device, Link(delay=1e-6))
    except (WorldError, FileNotFoundError):
        return False
    call("tc", "qdisc", "delete", "dev", device, "root")
    return True


def _netem_words(link: Link) -> list[str]:
    queue = QUEUE_PACKETS_MIN
    if link.rate is not None:
        queue += int((QUEUE_SECONDS + link.delay) * link.rate / 8 / PACKET_BYTES)
    words = ["limit", str(queue if link.rate is not None else 100_000)]
    if link.delay:
        words += ["delay", f"{link.delay * 1e6:.0f}us"]
    if link.loss:
        words += ["loss", f"{link.loss * 100:g}%"]
    if link.rate is not None:
        words += ["rate", f"{link.rate:.0f}bit"]
    return words


def _bridge(number: int) -> str:
    return f"{_BRIDGE}{number}"


def _port(host: int) -> str:
    return f"port{host}"


def _has_ipv6() -> bool:
    setting = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    return setting.exists() and setting.read_text().strip() == "0"


def _ip(*arguments: str) -> None:
    call("ip", *arguments)
