"""What a person's folder is like must not make its edits late in silence."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.system.machines import Machines, eventually, settled, write

#: Seconds within which an edit that is watched has passed: a poll or a scan takes longer to begin.
LIVE = 4.0


def passes_live(here: Path, there: Path, name: str) -> None:
    """An edit made here is there at once."""
    write(here, {name: "edited"})
    eventually((there / name).exists, within=LIVE)


def test_folder_behind_a_symlink_is_the_folder_itself(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    link = laptop.base / "link"
    link.symlink_to(laptop.folder)
    desktop.join(laptop.share(folder=link))
    settled(laptop, desktop)
    assert [drive["path"] for drive in laptop.status()["drives"]] == [str(laptop.folder)]
    passes_live(laptop.folder, desktop.folder, "first")
    assert "laptop" in laptop.cli("log", link / "first").stdout
    laptop.stop()

    registered = laptop.home / "drives.json"
    as_before = registered.read_text().replace(json.dumps(str(laptop.folder)), json.dumps(str(link)))
    registered.write_text(as_before)  # as an earlier version wrote it
    laptop.start()
    eventually(lambda: all(peer["connected"] for peer in laptop.drive(link)["peers"]), laptop.status)
    passes_live(laptop.folder, desktop.folder, "second")
    laptop.cli("leave", laptop.folder)
    assert laptop.status()["drives"] == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may set the limits of a user namespace")
def test_status_says_what_cannot_be_watched_until_it_can_be(machines: Machines) -> None:
    limit = "/proc/sys/user/max_inotify_watches"
    unshare = ["unshare", "--user", "--map-root-user", "sh", "-c", f'echo 4 >{limit}; exec "$@"', "sh"]
    laptop = machines.make("laptop", command=lambda *argv: [*unshare, *argv])
    write(laptop.folder, {f"d{number}/inner/f": "f" for number in range(5)})
    laptop.share("--no-run")
    laptop.start()
    eventually(lambda: laptop.drive()["polled_directories"], laptop.status)
    said = laptop.drive()["watching"]
    assert "cannot be watched" in said
    assert "sudo sysctl fs.inotify.max_user_watches=" in said
    assert said in laptop.cli("status").stdout
    assert laptop.process is not None
    inside = ["nsenter", "--user", "--target", str(laptop.process.pid)]
    subprocess.run([*inside, "sh", "-c", f"echo 1000 >{limit}"], check=True)
    eventually(lambda: not laptop.drive()["watching"], laptop.status)
    assert "watched" not in laptop.cli("status").stdout
