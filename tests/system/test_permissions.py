"""Whose a file is, on real nodes: one as root, the other as an ordinary account, and a third looking on."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.machines import Machine, Machines, eventually, settled, write

ANNA, BOB = 20001, 20002
SECRET = "nobody else may read this"

#: Reads all that it can, again and again, until it is told to end; then says which files held a secret.
LOOK_ON = f"""
import os, signal, sys
ended, found = [], set()
signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
print("looking", flush=True)
while not ended:
    for directory, _, files in os.walk(sys.argv[1]):
        for path in (os.path.join(directory, name) for name in files):
            try:
                with open(path) as file:
                    if {SECRET!r} in file.read():
                        found.add(path)
            except (OSError, ValueError):
                pass
print(sorted(found))
"""


def as_account(uid: int, *argv: str) -> list[str]:
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups", *argv]


@pytest.fixture
def machines() -> Iterator[Machines]:
    """Where other accounts may come to."""
    if os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root, with setpriv, can run a node as another account")
    with tempfile.TemporaryDirectory(prefix="p2pdrive-test-") as name:
        os.chmod(name, 0o755)
        tried = subprocess.run(
            as_account(ANNA, sys.executable, "-c", "import p2pdrive"),
            cwd="/",
            check=False,
            capture_output=True,
        )
        if tried.returncode != 0:
            pytest.skip("another account cannot run this program where it is installed")
        made = Machines(Path(name))
        yield made
        made.end()


def of_anna(machines: Machines) -> Machine:
    machine = machines.make("desktop", command=lambda *argv: as_account(ANNA, *argv))
    for path in (machine.base, *machine.base.rglob("*")):
        os.chown(path, ANNA, ANNA)
    machine.output.touch()
    return machine


@contextmanager
def bob_looks_on(folder: Path) -> Iterator[list[str]]:
    """What he has read of secrets is there at the end."""
    argv = as_account(BOB, sys.executable, "-c", LOOK_ON, str(folder))
    read: list[str] = []
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd="/") as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "looking\n"
        try:
            yield read
        finally:
            process.send_signal(signal.SIGTERM)
            said = process.stdout.readline().strip()
        if said != "[]":
            read.append(said)


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o7777


def test_what_is_private_is_read_by_nobody_else_wherever_it_goes(machines: Machines) -> None:
    (laptop,) = machines.started("laptop")
    desktop = of_anna(machines).start()
    (laptop.folder / "keys").mkdir(mode=0o700)
    write(laptop.folder, {f"keys/{number}": f"{SECRET} {number}" for number in range(50)})
    with bob_looks_on(desktop.folder) as read:
        desktop.join(laptop.share())
        settled(laptop, desktop)
        os.umask(0o077)
        try:
            write(laptop.folder, {"id": SECRET, "keys/more": SECRET})
        finally:
            os.umask(0o022)
        settled(laptop, desktop)
        (laptop.folder / "keys").rename(laptop.folder / "renamed")
        settled(laptop, desktop)
        write(laptop.folder, {"id": f"{SECRET}, edited"})
        settled(laptop, desktop)
    assert read == []
    assert (mode(desktop.folder / "renamed"), mode(desktop.folder / "id")) == (0o700, 0o600)
    (desktop.folder / "id").chmod(0o644)
    eventually(lambda: mode(laptop.folder / "id") == 0o644)


def test_read_only_folder_and_what_a_person_gave_a_file_outlast_edits_from_elsewhere(
    machines: Machines,
) -> None:
    (laptop,) = machines.started("laptop")
    desktop = of_anna(machines).start()
    write(laptop.folder, {"go/pkg/a": "a", "go/pkg/b": "b", "go/pkg/c": "c", "report": "one"})
    desktop.join(laptop.share())
    settled(laptop, desktop)
    cache, report = desktop.folder / "go/pkg", desktop.folder / "report"
    cache.chmod(0o555)
    os.chmod(report, 0o640)
    os.setxattr(report, "user.xdg.tags", b"work")
    write(laptop.folder, {"go/pkg/a": "changed", "report": "two"})
    (laptop.folder / "go/pkg/b").unlink()
    (laptop.folder / "go/pkg/c").rename(laptop.folder / "c")
    settled(laptop, desktop)
    assert mode(cache) == 0o555
    assert (mode(report), os.getxattr(report, "user.xdg.tags")) == (0o640, b"work")
    assert (report.stat().st_uid, (cache / "a").stat().st_uid) == (ANNA, ANNA)
    shutil.rmtree(laptop.folder / "go")
    settled(laptop, desktop)
    assert desktop.problems() == {}
