"""What cannot be is refused with words that say what to do, and changes nothing."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.system.machines import Machine, Machines, changed_invite, eventually, settled, tree, write

Pair = tuple[Machine, Machine]


def refusal(machine: Machine, *arguments: str | Path, code: int = 1) -> str:
    """Runs a command that must fail without a word about a bug; gives what it told the person."""
    said = machine.cli(*arguments, code=code).stderr.strip()
    assert said
    assert "bug" not in said
    return said


def registered(machine: Machine) -> list[str]:
    return [drive["path"] for drive in machine.status()["drives"]]


# --- invites


def test_what_is_no_invite_is_told_apart_from_a_mistyped_one(pair: Pair, tmp_path: Path) -> None:
    _, desktop = pair
    link = pair[0].share()
    before = registered(desktop)
    assert "p2pdrive://join/" in refusal(desktop, "join", "hello", tmp_path)
    mistyped = link[:40] + ("x" if link[40] != "x" else "y") + link[41:]
    for damaged in (link[:-5], mistyped, link + "AAAA"):
        assert "again" in refusal(desktop, "join", damaged, tmp_path)
    assert registered(desktop) == before
    assert list(tmp_path.iterdir()) == []


def test_an_expired_invite(pair: Pair, machines: Machines) -> None:
    laptop, _ = pair
    (tablet,) = machines.started("tablet")
    link = laptop.share("--expires", "1s")
    made = time.time()
    eventually(lambda: time.time() > made + 2.1)

    assert "expired" in refusal(tablet, "join", link, tablet.folder)
    lying = changed_invite(link, expires=0)  # the drive's members know better
    assert "expired" in refusal(tablet, "join", lying, tablet.folder)
    eventually(lambda: registered(tablet) == [], tablet.status)
    assert len(laptop.drive()["peers"]) == 1


def test_a_used_up_invite(pair: Pair, machines: Machines) -> None:
    laptop, _ = pair
    tablet, phone = machines.started("tablet", "phone")
    link = laptop.share("--role", "viewer")
    tablet.join(link)
    made = phone.base / "made"
    assert "used up" in refusal(phone, "join", link, made)
    assert not made.exists()
    assert "used up" in refusal(phone, "join", link, phone.folder)
    eventually(lambda: registered(phone) == [], phone.status)
    assert not (phone.folder / ".p2pdrive").exists()

    phone.join(laptop.share("--role", "viewer"))  # and a good one works in the same folder
    settled(laptop, phone)


def test_an_invite_to_a_drive_that_is_here_already(pair: Pair, tmp_path: Path) -> None:
    for machine in pair:
        link = pair[0].share()
        told = refusal(machine, "join", link, tmp_path)
        assert "here already" in told
        assert str(machine.folder) in told
        assert "already" in refusal(machine, "join", link, machine.folder)
    assert list(tmp_path.iterdir()) == []


# --- folders


def test_a_folder_that_is_missing(pair: Pair, tmp_path: Path) -> None:
    laptop, desktop = pair
    assert "does not exist" in refusal(laptop, "share", tmp_path / "missing")
    assert "does not exist" in refusal(desktop, "join", another_invite(pair), tmp_path / "missing/too")
    (tmp_path / "file").write_text("no folder")
    assert "not a folder" in refusal(laptop, "share", tmp_path / "file")
    assert "not a folder" in refusal(desktop, "join", another_invite(pair), tmp_path / "file")


def test_a_folder_that_is_not_writable(pair: Pair, tmp_path: Path) -> None:
    laptop, desktop = pair
    with read_only(tmp_path / "fixed") as folder:
        assert "not writable" in refusal(laptop, "share", folder)
        assert "not writable" in refusal(desktop, "join", another_invite(pair), folder)
        assert list(folder.iterdir()) == []


def test_a_folder_that_overlaps_a_drive(pair: Pair) -> None:
    laptop, desktop = pair
    for machine in pair:
        inside = machine.folder / "inside"
        inside.mkdir(exist_ok=True)
        for folder, why in (
            (inside, "apart"),
            (machine.folder.parent, "has p2pdrive's own home in it"),
            (machine.folder / ".p2pdrive", "another"),
            (machine.folder / ".p2pdrive/tmp", "another"),
        ):
            assert why in refusal(machine, "share", folder)
            refusal(machine, "join", another_invite(pair), folder)
        assert registered(machine) == [str(machine.folder)]
    settled(laptop, desktop)


def test_a_folder_inside_a_drive_of_another_node(pair: Pair, machines: Machines) -> None:
    laptop, _ = pair
    (tablet,) = machines.started("tablet")
    (laptop.folder / "inside").mkdir(exist_ok=True)
    assert "inside another drive" in refusal(tablet, "share", laptop.folder / "inside")
    assert "inside" in refusal(tablet, "share", laptop.folder / ".p2pdrive/packs")


def test_joining_where_another_drive_is(pair: Pair, machines: Machines, tmp_path: Path) -> None:
    (tablet,) = machines.started("tablet")
    tablet.share("--no-run", folder=tablet.folder)
    tablet.cli("leave", tablet.folder)
    link = pair[0].share()
    assert "another drive already" in refusal(tablet, "join", link, tablet.folder)
    tablet.join(link, tmp_path)
    tablet.wait()
    assert tree(tmp_path) == tree(pair[0].folder)


_spare: dict[int, str] = {}


def another_invite(pair: Pair) -> str:
    """To a drive that neither of the two has: for what must fail before anyone is asked."""
    if id(pair) not in _spare:
        link = pair[0].share()
        _spare[id(pair)] = changed_invite(link, drive=b"another drive".ljust(32), addresses=())
    return _spare[id(pair)]


@contextmanager
def read_only(folder: Path) -> Iterator[Path]:
    """A folder that may not be written; for root, who may write anything, a read-only file system."""
    folder.mkdir()
    if os.geteuid() != 0:
        folder.chmod(0o555)
        yield folder
        return
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", folder]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("root may write any folder, and may not mount a read-only one here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


# --- homes and ports


def test_a_second_node_on_one_home(pair: Pair) -> None:
    laptop, _ = pair
    told = refusal(laptop, "run", "--no-discovery", "--listen", "127.0.0.1:0")
    assert "Another p2pdrive node runs on" in told
    assert str(laptop.home) in told
    assert laptop.drive()["state"] == "in-sync"


def test_a_port_in_use(pair: Pair, machines: Machines) -> None:
    laptop, _ = pair
    tablet = machines.make("tablet")
    told = refusal(tablet, "run", "--no-discovery", "--listen", laptop.address)
    assert laptop.address.rpartition(":")[2] in told
    assert not (tablet.home / "control.sock").exists()
    tablet.start()  # and nothing of it is left


def test_a_damaged_list_of_drives_is_named_and_kept(machines: Machines) -> None:
    laptop = machines.make("laptop")
    drives = laptop.home / "drives.json"
    for damage in ("", '{"format": 1}', '{"format": 1, "drives": [{"path": "x"}]}'):
        drives.write_text(damage)
        assert str(drives) in refusal(laptop, "run", "--no-discovery", "--listen", "127.0.0.1:0")
        assert drives.read_text() == damage
    assert str(drives) in refusal(laptop, "share", laptop.folder, "--no-run")
    assert drives.read_text() == damage


def test_a_damaged_key_is_named_and_kept(machines: Machines) -> None:
    laptop = machines.make("laptop")
    key = laptop.home / "device.key"
    key.write_bytes(b"too short")
    assert str(key) in refusal(laptop, "run", "--no-discovery", "--listen", "127.0.0.1:0")
    assert key.read_bytes() == b"too short"


# --- usage


def test_wrong_usage_ends_with_2(machines: Machines) -> None:
    laptop = machines.make("laptop")
    wrong: list[tuple[str | Path, ...]] = [
        ("share",),
        ("nonsense",),
        ("share", laptop.folder, "--role", "king"),
        ("share", laptop.folder, "--expires", "soon"),
        ("share", laptop.folder, "--uses", "0"),
        ("run", "--listen", "nonsense"),
        ("run", "--peer", "nonsense", "--no-discovery"),
        ("wait", "--timeout", "-1"),
    ]
    for arguments in wrong:
        refusal(laptop, *arguments, code=2)
    assert tree(laptop.folder) == {}


def test_without_a_node_commands_that_need_one_end_with_4(machines: Machines) -> None:
    laptop = machines.make("laptop")
    for command in (["status"], ["status", "--json"], ["wait"], ["log", laptop.folder / "x"], ["devices"]):
        assert "p2pdrive run" in refusal(laptop, *command, code=4)


def test_wait_ends_with_3_at_its_timeout(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    write(laptop.folder, {"file": "content"})
    desktop.join(laptop.share())
    settled(laptop, desktop)
    desktop.wait()
    laptop.stop()
    eventually(lambda: desktop.drive()["state"] == "waiting", desktop.drive)
    began = time.monotonic()
    told = refusal(desktop, "wait", "--timeout", "1", code=3)
    assert 1 <= time.monotonic() - began < 10  # a command begins slowly on a busy machine
    assert "waiting" in told
    assert "no drive" in refusal(desktop, "wait", "/", "--timeout", "1")
