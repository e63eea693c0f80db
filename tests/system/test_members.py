"""More than two machines: one knows another, viewers, a machine that is killed while it receives."""

import os
from pathlib import Path

from tests.system.machines import (
    Machine,
    Machines,
    changed_invite,
    difference,
    eventually,
    quiet,
    random_bytes,
    settled,
    tree,
    write,
)

MB = 1_000_000


def test_a_third_joins_from_the_second_while_the_first_is_down(machines: Machines) -> None:
    laptop, desktop, tablet = machines.started("laptop", "desktop", "tablet")
    write(laptop.folder, {"of laptop/large": random_bytes(1, 3 * MB), "of laptop/small": "small"})
    link = laptop.share("--uses", "2")
    desktop.join(link)
    write(desktop.folder, {"of desktop": "by the second"})
    settled(laptop, desktop)
    everything = tree(laptop.folder)

    laptop.stop()
    tablet.join(changed_invite(link, addresses=(desktop.address,)))
    settled(desktop, tablet)
    assert tree(tablet.folder) == everything

    write(tablet.folder, {"of tablet": "while the first was away"})
    settled(desktop, tablet)
    laptop.start()
    settled(laptop, desktop, tablet)
    assert (laptop.folder / "of tablet").read_text() == "while the first was away"
    eventually(lambda: tablet.is_connected_to(laptop) and laptop.is_connected_to(tablet), tablet.drive)

    desktop.stop()  # now the two that never had an invite of each other are alone
    write(laptop.folder, {"of laptop/later": "straight from the first"})
    settled(laptop, tablet)


def test_another_admin_invites_and_lets_in_while_the_first_is_down(machines: Machines) -> None:
    laptop, desktop, tablet = machines.started("laptop", "desktop", "tablet")
    write(laptop.folder, {"deep/down/file": random_bytes(2, 2 * MB)})
    desktop.join(laptop.share("--role", "admin"))
    settled(laptop, desktop)

    laptop.stop()
    tablet.join(desktop.share())
    settled(desktop, tablet)
    laptop.start()
    settled(laptop, desktop, tablet)

    for machine in (laptop, desktop, tablet):
        roles = {peer["name"]: peer["role"] for peer in machine.drive()["peers"]} | {
            machine.name: machine.drive()["role"]
        }
        assert roles == {"laptop": "admin", "desktop": "admin", "tablet": "editor"}
        eventually(lambda m=machine: all(peer["connected"] for peer in m.drive()["peers"]), machine.drive)


def test_a_node_that_is_named_by_peer_lets_in_whoever_has_an_invite(machines: Machines) -> None:
    (laptop,) = machines.started("laptop")
    desktop = machines.make("desktop")
    write(laptop.folder, {"file": "content"})
    link = changed_invite(laptop.share(), addresses=())
    desktop.start("--peer", laptop.address)
    desktop.join(link)
    settled(laptop, desktop)


def test_an_editor_may_not_invite(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    desktop.join(laptop.share())
    settled(laptop, desktop)
    refused = desktop.cli("share", desktop.folder, code=1)
    assert "admin" in refused.stderr


def test_edits_of_a_viewer_go_nowhere_and_those_of_others_still_reach_it(machines: Machines) -> None:
    laptop, desktop, viewer = machines.started("laptop", "desktop", "viewer")
    names = ("kept", "changed by viewer", "changed by both", "deleted by viewer", "folder/inside")
    write(laptop.folder, {name: f"{name}: first" for name in names})
    desktop.join(laptop.share())
    viewer.join(laptop.share("--role", "viewer"))
    settled(laptop, desktop, viewer)
    before = tree(laptop.folder)
    assert viewer.drive()["role"] == "viewer"

    write(
        viewer.folder,
        {
            "changed by viewer": "the viewer's text",
            "changed by both": "the viewer's text too",
            "made by viewer": "a new file",
            "made by viewer also/inside": "a new folder",
        },
    )
    (viewer.folder / "deleted by viewer").unlink()
    eventually(
        lambda: {"changed by viewer", "changed by both", "made by viewer"} <= viewer.problems().keys(),
        viewer.problems,
    )
    assert all("viewer" in what for what in viewer.problems().values())
    quiet([laptop, desktop, viewer])
    assert tree(laptop.folder) == tree(desktop.folder) == before

    write(laptop.folder, {"changed by both": "the laptop's text", "new": "for all"})
    write(desktop.folder, {"kept": "changed on the desktop"})
    settled(laptop, desktop)
    quiet([laptop, desktop, viewer])
    theirs, ours = tree(laptop.folder), tree(viewer.folder)
    for name in ("changed by both", "kept", "new", "folder/inside", "deleted by viewer"):
        assert ours[name] == theirs[name]
    assert ours["changed by viewer"][1] == b"the viewer's text"
    assert ours["made by viewer"][1] == b"a new file"
    assert b"the viewer's text too" in [entry[1] for entry in ours.values() if entry[0] == "file"]

    viewer.stop()
    viewer.start()
    quiet([laptop, desktop, viewer])
    assert tree(viewer.folder) == ours
    assert tree(laptop.folder) == tree(desktop.folder) == theirs


def test_a_receiver_killed_in_the_middle_goes_on_from_there(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    total = begin_transfer(laptop, desktop)
    with laptop.frozen():  # what is on its way arrives, and can be counted
        seen = steady_received(desktop)
        desktop.kill()
    assert total // 4 < seen < total * 0.95, "the machine is too fast or too slow for this test"
    assert_nothing_torn(laptop.folder, desktop.folder)

    desktop.start()
    settled(laptop, desktop)
    again = desktop.received_bytes()
    assert seen + again < total + 20 * MB


def test_a_cut_in_the_middle_costs_nothing_that_had_arrived(machines: Machines) -> None:
    laptop, desktop = machines.started("laptop", "desktop")
    total = begin_transfer(laptop, desktop)
    laptop.kill()
    eventually(lambda: not desktop.is_connected_to(laptop), desktop.drive)
    assert received(desktop) < total * 0.95, "the machine is too fast for this test"
    assert_nothing_torn(laptop.folder, desktop.folder)

    laptop.start()
    settled(laptop, desktop)
    assert total < received(desktop) < total + 20 * MB


def begin_transfer(laptop: Machine, desktop: Machine) -> int:
    """One large file and many of middle size begin to go over; returns their bytes."""
    sizes = {"one large file": 200 * MB, **{f"album/{number}": 2 * MB for number in range(30)}}
    for name, size in sizes.items():
        write(laptop.folder, {name: os.urandom(size)})
    total = sum(sizes.values())
    link = laptop.share()
    eventually(lambda: laptop.drive()["bytes"] == total, laptop.drive)
    desktop.join(link)
    eventually(lambda: received(desktop) > total // 4, desktop.status)
    return total


def received(machine: Machine) -> int:
    return sum(peer["received_bytes"] for drive in machine.status()["drives"] for peer in drive["peers"])


def steady_received(machine: Machine) -> int:
    last = [-1, 0]

    def same_again() -> bool:
        now = received(machine)
        last[1] = last[1] + 1 if now == last[0] else 0
        last[0] = now
        return last[1] >= 10

    eventually(same_again)
    return last[0]


def assert_nothing_torn(whole: Path, part: Path) -> None:
    """Whatever a folder shows already is the whole of it."""
    for line in difference(whole, part):
        assert line.endswith("| nothing"), line
