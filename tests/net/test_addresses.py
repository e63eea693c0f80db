from ipaddress import ip_address, ip_interface, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import AddressMalformed
from p2pdrive.limits import ADDRESSES_MAX
from p2pdrive.net.addresses import (
    Interface,
    announceable,
    format_address,
    local_addresses,
    local_interfaces,
    parse_address,
    ranked,
)

ports = st.integers(1, 65535)
labels = st.from_regex(r"[a-z]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
names = st.lists(labels, min_size=1, max_size=4).map(".".join)


def interfaces(*addresses: str) -> list[Interface]:
    return [Interface(index, f"eth{index}", ip_interface(each)) for index, each in enumerate(addresses)]


@given(st.ip_addresses().map(str) | names, ports)
def test_what_is_formatted_is_parsed_again(host: str, port: int) -> None:
    assert parse_address(format_address(host, port)) == (host, port)


@given(st.text() | st.from_regex(r"\[?[a-z0-9:.%]{0,20}\]?:[0-9]{0,6}"))
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        host, port = parse_address(text)
    except AddressMalformed:
        return
    assert parse_address(format_address(host, port)) == (host, port)
    assert 0 < port < 65536


@pytest.mark.parametrize(
    "text",
    [
        "",
        "localhost",
        ":7000",
        "*:7000",
        "nas:0",
        "nas:65536",
        "nas:-1",
        "nas:7000x",
        "nas: 7000",
        "nas:\u0667\u0660",
        "fe80::1:7000",
        "[nas]:7000",
        "[1.2.3.4]:7000",
        "[::1:7000",
        "[fe80::1%]:7000",
        "[fe80::1%a b]:7000",
        "300.1.1.1:7000",
        "1.2.3:7000",
        "-nas:7000",
        "a..b:7000",
        "http://nas:7000",
        "nas/x:7000",
        "a" * 64 + ":7000",
        "a." * 200 + "b:7000",
    ],
)
def test_malformed_address_is_refused_with_an_example_or_a_reason(text: str) -> None:
    with pytest.raises(AddressMalformed, match=r"host:port|port is a number|neither an IP"):
        parse_address(text)


def test_address_with_a_zone_and_spaces_around_is_accepted() -> None:
    assert parse_address(" [fe80::1%eth0]:7000\n") == ("fe80::1%eth0", 7000)


@pytest.mark.parametrize("text", [":7000", "*:7000"])
def test_listening_may_leave_the_host_open(text: str) -> None:
    assert parse_address(text, listening=True) == ("", 7000)


def test_listening_may_leave_the_port_open() -> None:
    assert parse_address("[::1]:0", listening=True) == ("::1", 0)
    with pytest.raises(AddressMalformed, match="from 0 to 65535"):
        parse_address("nas:70000", listening=True)


def test_wildcard_stands_for_all_addresses_that_others_can_reach() -> None:
    here = interfaces("127.0.0.1/8", "::1/128", "fe80::5/64", "2001:db8::5/64", "9.9.9.5/24", "10.0.0.5/8")
    expected = ["10.0.0.5:7000", "[2001:db8::5]:7000", "9.9.9.5:7000"]
    for wildcard in ("", "*", "0.0.0.0", "::"):
        assert local_addresses(7000, wildcard, here) == expected


def test_machine_without_network_has_its_loopback() -> None:
    assert local_addresses(7000, "", interfaces("127.0.0.1/8", "::1/128")) == ["127.0.0.1:7000", "[::1]:7000"]


def test_host_that_was_asked_for_is_the_only_address() -> None:
    here = interfaces("127.0.0.1/8", "10.0.0.5/8")
    assert local_addresses(7000, "127.0.0.1", here) == ["127.0.0.1:7000"]
    assert local_addresses(7000, "nas.example.org", here) == ["nas.example.org:7000"]
    assert [str(each.address) for each in announceable(here, "127.0.0.1")] == ["127.0.0.1/8"]
    assert announceable(here, "10.0.0.6") == []


def test_machine_with_very_many_addresses_names_some() -> None:
    here = interfaces(*(f"10.0.{index}.1/24" for index in range(2 * ADDRESSES_MAX)))
    assert len(local_addresses(7000, "", here)) == ADDRESSES_MAX


def test_addresses_of_this_machine_can_be_listed() -> None:
    found = local_interfaces()
    assert any(each.address.ip == ip_address("127.0.0.1") for each in found)
    assert found == sorted(found, key=lambda each: (each.index, each.address.version, each.address))


def test_nearest_address_comes_first() -> None:
    worst_first = [
        "127.0.0.1:1",
        "169.254.1.1:1",
        "100.64.0.9:1",
        "nas.example.org:1",
        "10.1.0.9:1",
        "[fd00::9]:1",
    ]
    near = [ip_network("fd00::/64"), ip_network("fe80::/64")]
    assert ranked(worst_first, near) == list(reversed(worst_first))


hosts = st.sampled_from(["nas", "127.0.0.1", "::1", "10.0.0.5", "9.9.9.9", "169.254.0.1", "100.64.0.1"])


@given(st.lists(st.builds(format_address, hosts, st.integers(1, 9)), max_size=50))
def test_ranking_loses_and_repeats_nothing(addresses: list[str]) -> None:
    best_first = ranked([*addresses, *addresses])
    assert len(best_first) == min(len(set(addresses)), ADDRESSES_MAX)
    assert set(best_first) <= set(addresses)
    assert ranked(best_first) == best_first
