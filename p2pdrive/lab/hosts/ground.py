"""Where the hosts can live: in network namespaces of their own, or beside each other on the loopback."""

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

#: The stage's namespaces: what lives in them ends with it, and it ends with the command that started it.
_UNSHARE = ("--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
_AS_ROOT_INSIDE = ("--user", "--map-root-user")
_NEEDED = {"unshare": "util-linux", "nsenter": "util-linux", "ip": "iproute2"}
#: All that setting up a host takes, tried once.
_TRIAL = """
unshare --net="$0" true &&
ip link add bridge type bridge &&
ip link add port type veth peer name eth0 netns "$0" &&
nsenter --net="$0" ip link set lo up
"""
_TRIAL_SECONDS = 20


@dataclass(frozen=True, slots=True)
class Ground:
    """``enter`` is the command line that starts a program there; ``text`` tells a person what it is."""

    isolated: bool
    enter: tuple[str, ...]
    text: str


def find_ground(base: Path) -> Ground:
    """The best that can be had here; ``base`` is a folder to try it in."""
    missing = [f"`{name}` ({package})" for name, package in _NEEDED.items() if shutil.which(name) is None]
    if missing:
        return _loopback(f"{' and '.join(missing)} cannot be found")
    ways: tuple[tuple[str, ...], ...] = ((), _AS_ROOT_INSIDE) if os.geteuid() == 0 else (_AS_ROOT_INSIDE,)
    reason = ""
    for way in ways:
        enter = ("unshare", *way, *_UNSHARE, "--")
        reason = _hindrance(enter, base / "trial.net")
        if not reason:
            return Ground(True, enter, "Each host has a network namespace of its own, on one bridge.")
    return _loopback(reason)


def _hindrance(enter: tuple[str, ...], file: Path) -> str:
    """Why a host cannot be set up after ``enter``, empty if it can; ``file`` is made for it and removed."""
    file.touch()
    try:
        tried = subprocess.run(  # noqa: S603 - our own words
            [*enter, "sh", "-c", _TRIAL, file],
            capture_output=True,
            text=True,
            timeout=_TRIAL_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return "making one takes too long"
    finally:
        file.unlink()
    return "" if tried.returncode == 0 else tried.stderr.strip() or f"trying ended with {tried.returncode}"


def _loopback(reason: str) -> Ground:
    dies_with_parent = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()
    return Ground(
        False,
        dies_with_parent,
        f"Network namespaces cannot be had here: {reason}. They take root, or a Linux kernel that lets users "
        "make namespaces, with the commands of iproute2 and util-linux. The nodes share the loopback "
        "interface instead: they are told of each other, and links are not shaped.",
    )
