"""A small or fresh change waits for nothing large or old, on a line that is full of it."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.net.namespaces import Host, joined_hosts
from tests.system.machines import Machine, Machines, eventually, random_bytes, write

#: Bytes a second that each machine can send, and photographs that take forty seconds then.
RATE = 2_000_000
PHOTOS, PHOTO_BYTES = 40, 2_000_000
#: Seconds within which a small change is elsewhere: it takes two, more on a machine that is busy with other
#: tests, and forty behind the photographs.
PROMPT = 15.0


@pytest.fixture
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine]]:
    with joined_hosts(2) as hosts:
        for host in hosts:
            _slow_down(host)
        machines = Machines(Path(tmp_path_factory.mktemp("hosts")))
        first, second = (
            machines.make(name, listen=None, command=host.command)
            for name, host in zip(("laptop", "desktop"), hosts, strict=True)
        )
        first.start("--listen", f"{hosts[0].address}:22000")
        second.start("--listen", f"{hosts[1].address}:22000")
        yield first, second
        machines.end()


def _slow_down(host: Host) -> None:
    rate = f"{RATE * 8}bit"
    try:
        host.run(*f"tc qdisc add dev eth0 root tbf rate {rate} burst 64kb latency 300ms".split())
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs a slow line: tc cannot make one here ({error})")


def test_edits_deletions_and_renames_pass_a_line_that_is_full_of_photographs(
    slow: tuple[Machine, Machine],
) -> None:
    laptop, desktop = slow
    here, there = laptop.folder, desktop.folder
    write(here, {f"papers/{number}": f"paper {number}" for number in range(6)})
    desktop.join(laptop.share())
    eventually((there / "papers/5").exists, desktop.drive)
    photos = laptop.base / "photos"
    write(photos, {f"{number}.jpg": random_bytes(number, PHOTO_BYTES) for number in range(PHOTOS)})
    shutil.move(photos, here / "photos")
    eventually(lambda: any((there / "photos").glob("*.jpg")), desktop.drive, 60)

    began = time.monotonic()
    (here / "papers/0").write_text("edited on the laptop")
    (here / "papers/1").unlink()
    (here / "papers/2").rename(here / "papers/renamed")
    (there / "papers/3").write_text("edited on the desktop")
    (there / "papers/4").unlink()
    eventually(
        lambda: (
            (there / "papers/0").read_text() == "edited on the laptop"
            and not (there / "papers/1").exists()
            and (there / "papers/renamed").exists()
            and not (there / "papers/2").exists()
            and (here / "papers/3").read_text() == "edited on the desktop"
            and not (here / "papers/4").exists()
        ),
        lambda: (sorted(path.name for path in (there / "papers").iterdir()), desktop.drive()),
        PROMPT,
    )
    assert time.monotonic() - began < PROMPT
    assert desktop.drive()["missing_bytes"] > PHOTO_BYTES  # the line was full all the while
