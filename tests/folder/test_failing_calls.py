"""What the system refuses where it hardly ever does: an error of ours all the same, for one path or drive."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pdrive.errors import Unreadable, WorldError
from p2pdrive.folder.local import LocalFiles


def failing(*_arguments: Any, **_options: Any) -> Any:
    raise OSError(errno.EIO, "Input/output error")


@pytest.mark.parametrize("call", ["fstat", "close"])
def test_open_file_that_its_disk_fails_is_unreadable(
    files: LocalFiles, root: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    (root / "f").write_bytes(b"some")
    handle = files.open("f")
    use = {"fstat": handle.stat, "close": handle.close}[call]
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(Unreadable):
            use()
    handle.close()


@pytest.mark.parametrize(
    ("call", "act"),
    [
        ("fstatvfs", lambda files: files.free_bytes()),
        ("unlink", lambda files: files.make_symlink("link", "f", None)),
    ],
)
def test_drive_that_its_disk_fails_says_so(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch, call: str, act: Callable[[LocalFiles], object]
) -> None:
    monkeypatch.setattr(os, call, failing)
    with pytest.raises(WorldError):
        act(files)
