"""What counts as news of a device: new addresses do, that it is still there does not."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import ANNOUNCED_ADDRESS_BYTES_MAX, DEVICES_MAX, RELAYED_ADDRESSES_MAX
from p2pdrive.node.addressbook import AddressBook
from p2pdrive.node.home import Home
from p2pdrive.wire.messages import Addresses, decode, encode

DEVICE = b"d" * 32
SECOND_NS = 10**9


def address(number: int) -> str:
    return f"192.0.2.{number}:4100"


def can_be_passed_on(book: AddressBook, *devices: bytes) -> bool:
    """Whether what the book says of these fits in a message."""
    message = Addresses(b"T" * 8, tuple((device, book.addresses(device)) for device in devices))
    return decode(encode(message)) == message


def test_new_addresses_are_news_and_to_be_kept() -> None:
    book = AddressBook()
    assert book.learn(DEVICE, ["192.0.2.1:4100"])
    assert book.news and book.changed


def test_known_addresses_are_no_news() -> None:
    book = AddressBook()
    book.learn(DEVICE, ["192.0.2.1:4100"])
    book.to_json()
    book.news = False
    assert not book.learn(DEVICE, ["192.0.2.1:4100"])
    assert not book.news and not book.changed


def test_a_device_that_is_still_there_is_no_news() -> None:
    """Or else whoever cannot be reached would be dialled without a pause while anyone else is connected."""
    book = AddressBook()
    book.seen(DEVICE, 1000 * SECOND_NS)
    assert book.changed and not book.news


def test_when_a_device_was_seen_is_not_written_again_and_again() -> None:
    book = AddressBook()
    book.seen(DEVICE, 1000 * SECOND_NS)
    book.to_json()
    book.seen(DEVICE, 1010 * SECOND_NS)
    assert not book.changed
    book.seen(DEVICE, 1100 * SECOND_NS)
    assert book.changed and book.last_seen_ns(DEVICE) == 1100 * SECOND_NS


# --- what it remembers


def test_what_a_device_says_itself_goes_first_and_what_others_say_last() -> None:
    book = AddressBook()
    book.learn(DEVICE, [address(1), address(2)])
    book.learn(DEVICE, [address(3), address(1)])
    assert book.addresses(DEVICE) == (address(1), address(2), address(3))
    book.learn(DEVICE, [address(3)], first=True)
    assert book.addresses(DEVICE) == (address(3), address(1), address(2))


def test_others_cannot_push_out_what_the_device_said_but_the_device_can_push_out_theirs() -> None:
    book = AddressBook()
    book.learn(DEVICE, [address(1)], first=True)
    book.learn(DEVICE, [address(number) for number in range(2, 200)])
    assert book.addresses(DEVICE) == tuple(address(number) for number in range(1, RELAYED_ADDRESSES_MAX + 1))
    own = [address(100 + number) for number in range(RELAYED_ADDRESSES_MAX)]
    book.learn(DEVICE, own, first=True)
    assert book.addresses(DEVICE) == tuple(own)
    assert not book.learn(DEVICE, [address(1)])  # there is no room for it


@pytest.mark.parametrize(
    "unsound",
    [
        "",
        "192.0.2.1",
        "192.0.2.1:0",
        "192.0.2.1:65536",
        ":4100",
        "*:4100",
        "a b:1",
        "x" * 121 + ".example:4100",
    ],
)
def test_what_is_no_address_is_left_out(unsound: str) -> None:
    book = AddressBook()
    assert not book.learn(DEVICE, [unsound])
    assert book.addresses(DEVICE) == () and not book.news
    book.learn(DEVICE, [unsound, address(1), unsound])
    assert book.addresses(DEVICE) == (address(1),)


def test_devices_beyond_the_limit_are_not_noted_and_those_known_still_learn() -> None:
    book = AddressBook()
    for number in range(DEVICES_MAX):
        book.learn(number.to_bytes(32, "big"), [address(1)])
    assert not book.learn(DEVICE, [address(1)])
    book.seen(DEVICE, SECOND_NS)
    assert book.addresses(DEVICE) == () and book.last_seen_ns(DEVICE) is None
    assert len(book.to_json()) == DEVICES_MAX
    assert book.learn(bytes(32), [address(2)])
    assert len(book.to_json()) == DEVICES_MAX


def test_a_device_that_nobody_knows() -> None:
    book = AddressBook()
    assert book.addresses(DEVICE) == ()
    assert book.last_seen_ns(DEVICE) is None
    assert book.to_json() == {}  # asking leaves no trace


# --- what it keeps


def test_it_is_the_same_after_a_restart(tmp_path: Path) -> None:
    book = AddressBook()
    book.learn(DEVICE, [address(2), "[2001:db8::1]:7", "laptop.example:65535"])
    book.seen(DEVICE, 1000 * SECOND_NS)
    book.seen(b"e" * 32, 2000 * SECOND_NS)
    home = Home(tmp_path / "home")
    home.save_peers(book.to_json())
    again = AddressBook(Home(tmp_path / "home").peers())
    assert again.addresses(DEVICE) == (address(2), "[2001:db8::1]:7", "laptop.example:65535")
    assert again.last_seen_ns(DEVICE) == 1000 * SECOND_NS
    assert again.last_seen_ns(b"e" * 32) == 2000 * SECOND_NS
    assert again.to_json() == book.to_json()
    assert not again.changed and not again.news


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.just(address(1)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)
cards = st.fixed_dictionaries({}, optional={"addresses": st.lists(odd) | odd, "last_seen_ns": odd}) | odd
devices = st.sampled_from([DEVICE.hex(), "e" * 64]) | st.text("0aAg", max_size=6)


@given(st.dictionaries(devices, cards, max_size=3))
def test_what_is_not_understood_of_it_is_left_out(data: dict[str, Any]) -> None:
    book = AddressBook(json.loads(json.dumps(data)))
    book.learn(DEVICE, [address(2)])
    assert address(2) in book.addresses(DEVICE)
    assert can_be_passed_on(book, DEVICE, b"\xee" * 32)
    assert (book.last_seen_ns(DEVICE) or 1) > 0
    assert AddressBook(book.to_json()).to_json() == book.to_json()


def test_bounds_hold_for_what_was_written_by_hand_too() -> None:
    long = "x" * 60 + "." + "y" * 60 + ".example:4100"
    assert len(long) > ANNOUNCED_ADDRESS_BYTES_MAX
    many = [f"{address(1)}\n", long, *(address(number) for number in range(1, 20))]
    data = {
        number.to_bytes(32, "big").hex(): {"addresses": many, "last_seen_ns": 1}
        for number in range(DEVICES_MAX + 100)
    }
    book = AddressBook(data)
    assert len(book.to_json()) == DEVICES_MAX
    assert book.addresses(bytes(32)) == tuple(address(n) for n in range(1, RELAYED_ADDRESSES_MAX + 1))
    assert can_be_passed_on(book, bytes(32))


@pytest.mark.parametrize("content", ['{"format": 1, "devices": [1]}', '{"format": 1, "devices": null}', "{}"])
def test_file_of_another_form_is_an_empty_book(tmp_path: Path, content: str) -> None:
    (tmp_path / "peers.json").write_text(content)
    assert AddressBook(Home(tmp_path).peers()).to_json() == {}
