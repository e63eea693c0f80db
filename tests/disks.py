"""Disks that lack things: a real exFAT (no permissions, no links, no case, times of whole seconds), and one
that gives no leases."""

import errno
import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_TOOLS = ("mkfs.exfat", "mount.exfat-fuse", "losetup")


class ExFat:
    """One in a file, mounted at ``place``."""

    def __init__(self, base: Path) -> None:
        self.image, self.place = base / "exfat.img", base / "exfat"
        self.place.mkdir()
        with open(self.image, "wb") as image:
            image.truncate(64 << 20)
        _run("mkfs.exfat", str(self.image))
        self._loop = _run("losetup", "--find", "--show", str(self.image)).strip()

    def mount(self) -> None:
        _run("mount.exfat-fuse", self._loop, str(self.place))

    def unmount(self) -> None:
        _run("umount", str(self.place))

    def close(self) -> None:
        subprocess.run(["umount", "-l", str(self.place)], check=False, capture_output=True)
        _run("losetup", "--detach", self._loop)


@contextmanager
def exfat(base: Path) -> Iterator[ExFat]:
    """Skips where this machine or account cannot have one."""
    missing = [
        tool for tool in _TOOLS if shutil.which(tool, path="/usr/sbin:/sbin:" + os.environ["PATH"]) is None
    ]
    if missing:
        pytest.skip(f"no {', '.join(missing)} here (apt install exfat-fuse exfatprogs)")
    if os.geteuid() != 0 or not os.path.exists("/dev/fuse"):
        pytest.skip("this account may not mount")
    try:
        disk = ExFat(base)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no disk in a file can be made here: {error.stderr}")
    try:
        try:
            disk.mount()
        except subprocess.CalledProcessError as error:
            pytest.skip(f"exFAT cannot be mounted here: {error.stderr}")
        yield disk
    finally:
        disk.close()


def _run(*command: str) -> str:
    environment = os.environ | {"PATH": f"/usr/sbin:/sbin:{os.environ['PATH']}"}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout


def refuse_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As NFSv4 and SMB do, for files that nobody has open too."""
    control = fcntl.fcntl

    def refusing(fd: int, command: int, *arguments: Any) -> Any:
        if command == fcntl.F_SETLEASE:
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return control(fd, command, *arguments)

    monkeypatch.setattr(fcntl, "fcntl", refusing)
