"""What a person does: share a folder on one machine, join it on another."""

import os
import subprocess
from pathlib import Path

from tests.system.machines import (
    Machine,
    Machines,
    difference,
    eventually,
    random_bytes,
    settled,
    tree,
    write,
)


def a_real_folder(folder: Path) -> None:
    write(
        folder,
        {
            "read me.txt": "hello\n",
            "empty": b"",
            "2024/Sommer/Küste, Ærø 🌊.jpg": random_bytes(1, 300_000),
            "2024/Sommer/deeper/and deeper/bottom.txt": "x" * 70_000,
            "日本/写真.raw": random_bytes(2, 5_000_000),
            "bin/tool": "#!/bin/sh\necho hi\n",
            '-dash *?[x]\\ "quoted"': "an odd name\n",
        },
    )
    (folder / "nothing in it" / "nor here").mkdir(parents=True)
    (folder / "bin/tool").chmod(0o755)
    (folder / "link").symlink_to("read me.txt")
    (folder / "dangling").symlink_to("../no/such/thing")
    (folder / "2024/folder link").symlink_to("Sommer")
    os.utime(folder / "read me.txt", ns=(1, 981_173_106_123_456_789))
    os.utime(folder / "empty", ns=(1, 1))


def test_a_folder_is_shared_by_one_command_and_joined_by_another(machines: Machines) -> None:
    laptop, desktop = machines.make("laptop"), machines.make("desktop")
    a_real_folder(laptop.folder)
    before = tree(laptop.folder)

    laptop.launch("share", str(laptop.folder))  # without a running node: it becomes the node
    link = printed_link(laptop)
    desktop.launch("join", link, str(desktop.folder)).answering()
    desktop.wait()
    laptop.wait()

    diff = ["diff", "-r", "--no-dereference", "-x", ".p2pdrive", laptop.folder, desktop.folder]
    assert subprocess.run(diff, capture_output=True, check=True).stdout == b""
    assert difference(laptop.folder, desktop.folder) == []
    assert tree(laptop.folder) == before
    settled(laptop, desktop)
    for machine in (laptop, desktop):
        assert machine.stop() < 3


def printed_link(machine: Machine) -> str:
    found: list[str] = []

    def printed() -> bool:
        lines = machine.output.read_text().splitlines()
        found[:] = [line for line in lines if line.startswith("p2pdrive://join/")]
        return bool(found)

    eventually(printed, machine.tail)
    return found[0]
