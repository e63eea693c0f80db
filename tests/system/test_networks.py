"""Two machines on one network that know nothing of each other but the drive."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.net.namespaces import joined_hosts
from tests.system.machines import Machine, Machines, changed_invite, eventually, random_bytes, settled, write


@pytest.fixture
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Machine, Machine]]:
    with joined_hosts(2) as (first, second):
        machines = Machines(Path(tmp_path_factory.mktemp("hosts")))
        laptop = machines.make("laptop", listen=None, discovery=True, command=first.command)
        desktop = machines.make("desktop", listen=None, discovery=True, command=second.command)
        yield laptop, desktop
        machines.end()


def test_machines_find_each_other_by_mdns_alone(strangers: tuple[Machine, Machine]) -> None:
    laptop, desktop = strangers
    for machine in strangers:
        machine.start()
    write(laptop.folder, {"folder/file": random_bytes(1, 3_000_000)})
    desktop.join(changed_invite(laptop.share(), addresses=()))
    write(desktop.folder, {"of desktop": "and back"})
    settled(laptop, desktop)
    assert desktop.drive()["peers"][0]["address"].startswith("10.83.0.1:")

    laptop.stop()  # and again under another port
    (desktop.folder / "while away").write_text("while away")
    laptop.start("--listen", "0.0.0.0:40404")
    eventually(lambda: desktop.is_connected_to(laptop), desktop.drive)
    settled(laptop, desktop)
