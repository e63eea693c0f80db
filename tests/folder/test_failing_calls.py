"""What the system refuses where it hardly ever does: an error of ours all the same, for one path or drive."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from p2pdrive.errors import DiskFull, NotWritable, RootMissing, Unreadable, WorldError
from p2pdrive.folder.local import LocalFiles
from p2pdrive.folder.syscalls import SystemCalls


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


@pytest.mark.parametrize("number", [3, 12])
@pytest.mark.parametrize(("code", "error"), [(errno.EIO, NotWritable), (errno.EDQUOT, DiskFull)])
def test_what_cannot_be_synced_is_named_and_the_rest_is_synced(
    files: LocalFiles,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    code: int,
    error: type[WorldError],
) -> None:
    """However many there are: one sync of the whole file system does not tell which of them failed."""
    names = ["bad", *(f"good {count}" for count in range(1, number))]
    for name in names:
        (root / name).write_bytes(b"some")
        files.make_directory(f"in {name}")
        files.open_temporary(name, 4).close()
    real = os.fsync
    bad = {(root / path).stat().st_ino for path in ("bad", "in bad", ".p2pdrive/tmp/bad")}
    synced: set[int] = set()

    def sync(fd: int) -> None:
        inode = os.fstat(fd).st_ino
        if inode in bad:
            raise OSError(code, os.strerror(code))
        synced.add(inode)
        real(fd)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(SystemCalls, "sync_file_system", failing)
    for act, directory, form in (
        (files.sync_files, root, "{}"),
        (files.sync_directories, root, "in {}"),
        (files.sync_temporaries, root / ".p2pdrive/tmp", "{}"),
    ):
        failed = act([form.format(name) for name in names])
        assert {name: type(why) for name, why in failed.items()} == {form.format("bad"): error}
        assert {(directory / form.format(name)).stat().st_ino for name in names[1:]} <= synced


def test_directory_above_one_that_is_gone_is_named_where_it_cannot_be_synced(
    files: LocalFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", failing)
    [(path, why)] = files.sync_directories(["gone"]).items()
    assert (path, type(why)) == ("gone", NotWritable)


def test_disk_that_goes_while_it_is_synced_is_a_missing_root(
    files: LocalFiles, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "f").write_bytes(b"some")
    root.rename(root.with_name("unplugged"))
    monkeypatch.setattr(os, "fsync", failing)
    for sync, path in ((files.sync_files, "f"), (files.sync_directories, "")):
        with pytest.raises(RootMissing):
            sync([path])
