"""Real hosts on one machine: network namespaces joined by veth pairs to one bridge.

Nothing of it is seen outside: the bridge has a namespace of its own, and all of them go when the context
ends, with the processes that were started in them. Making namespaces takes root and iproute2; where that is
not to be had, the test that asks is skipped and says why.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest

_PROCESS_SECONDS = 5
_numbers = count()


@dataclass
class Host:
    """A namespace with an interface ``eth0``, at ``address`` and (where there is IPv6) ``address6``."""

    namespace: str
    switch: str
    address: str
    address6: str | None
    processes: list[subprocess.Popen[Any]] = field(default_factory=list)

    def command(self, *argv: str) -> list[str]:
        """``argv`` as a command that runs on this host."""
        return ["ip", "netns", "exec", self.namespace, *argv]

    def run(self, *argv: str, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run to the end; options as for subprocess.run."""
        return subprocess.run(self.command(*argv), check=True, text=True, capture_output=True, **options)

    def start(self, *argv: str, **options: Any) -> subprocess.Popen[Any]:
        """Start a process that ends with the hosts at the latest; options as for subprocess.Popen."""
        process = subprocess.Popen(self.command(*argv), **options)
        self.processes.append(process)
        return process

    def connect(self) -> None:
        """Plug the cable in: ``eth0`` appears, with its addresses."""
        port = self.namespace[-15:]
        _ip("-n", self.switch, "link", "add", port, "type", "veth", "peer", "eth0", "netns", self.namespace)
        _ip("-n", self.switch, "link", "set", port, "master", "bridge", "up")
        _ip("-n", self.namespace, "address", "add", f"{self.address}/24", "dev", "eth0")
        if self.address6 is not None:
            _ip("-n", self.namespace, "address", "add", f"{self.address6}/64", "dev", "eth0", "nodad")
        _ip("-n", self.namespace, "link", "set", "eth0", "up")

    def disconnect(self) -> None:
        """Take the interface away, as an unplugged adapter is."""
        _ip("-n", self.namespace, "link", "delete", "eth0")

    def stop_processes(self) -> None:
        """End what ``start`` started."""
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
        for process in self.processes:
            try:
                process.wait(_PROCESS_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()


@contextmanager
def joined_hosts(number: int, *, connected: bool = True) -> Iterator[list[Host]]:
    """So many hosts on one network (unplugged ones if not ``connected``); skips the test where impossible."""
    prefix = f"p2p{os.getpid()}n{next(_numbers)}"
    with ExitStack() as stack:
        switch = _namespace(stack, f"{prefix}s")
        # Snooping without a querier may keep multicast from reaching the other ports.
        _ip("-n", switch, "link", "add", "bridge", "type", "bridge", "mcast_snooping", "0")
        _ip("-n", switch, "link", "set", "bridge", "up")
        hosts = []
        for index in range(1, number + 1):
            namespace = _namespace(stack, f"{prefix}h{index}")
            _ip("-n", namespace, "link", "set", "lo", "up")
            address6 = f"fd83::{index}" if _has_ipv6() else None
            host = Host(namespace, switch, f"10.83.0.{index}", address6)
            stack.callback(host.stop_processes)
            if connected:
                host.connect()
            hosts.append(host)
        yield hosts


def _namespace(stack: ExitStack, name: str) -> str:
    if shutil.which("ip") is None:
        pytest.skip("needs network namespaces: there is no `ip` command (iproute2) here")
    try:
        _ip("netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"needs network namespaces, which may not be made here: {error.stderr.strip()}")
    stack.callback(_ip, "netns", "delete", name)
    return name


def _has_ipv6() -> bool:
    setting = Path("/proc/sys/net/ipv6/conf/all/disable_ipv6")
    return setting.exists() and setting.read_text().strip() == "0"


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, text=True, capture_output=True)
