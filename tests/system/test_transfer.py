"""What passes on the wire for what was changed."""

import os

from tests.system.machines import Machine, settled, write

MIB = 1024 * 1024

Pair = tuple[Machine, Machine]


def test_an_insert_at_the_front_of_a_large_file_sends_a_block_or_two(pair: Pair) -> None:
    laptop, desktop = pair
    path = laptop.folder / "large.bin"
    path.write_bytes(content := os.urandom(256 * MIB))
    settled(laptop, desktop)
    before = desktop.received_bytes()
    assert before > 256 * MIB

    path.write_bytes(b"x" * 500 + content)
    settled(laptop, desktop)
    assert desktop.received_bytes() - before < 2 * MIB
    assert (desktop.folder / "large.bin").stat().st_size == 256 * MIB + 500


def test_an_edit_in_the_middle_and_on_the_other_machine(pair: Pair) -> None:
    laptop, desktop = pair
    path = desktop.folder / "large too.bin"
    path.write_bytes(os.urandom(20 * MIB))
    settled(laptop, desktop)
    before = laptop.received_bytes()

    with open(path, "r+b") as file:
        file.seek(10 * MIB)
        file.write(b"a few bytes in place")
    settled(laptop, desktop)
    assert laptop.received_bytes() - before < 2 * MIB


def test_small_changes_among_many_files_send_little(pair: Pair) -> None:
    laptop, desktop = pair
    write(laptop.folder, {f"many/{number % 20}/{number}": f"file {number}" for number in range(2000)})
    settled(laptop, desktop)
    desktop.stop()
    write(laptop.folder, {f"many/{number}/{number}": "changed" for number in range(10)})
    desktop.start()
    settled(laptop, desktop)
    assert desktop.received_bytes() < 10_000
