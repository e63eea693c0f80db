"""Fetching: every block that someone has comes, from somewhere, and none is asked for twice at a time."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.limits import BUNDLE_BYTES, MIB, REQUEST_BLOCKS_MAX, REQUEST_BYTES_MAX
from p2pdrive.planning.fetching import Fetching

PEERS = ("anna", "berta", "clara")


def block(number: int) -> bytes:
    return number.to_bytes(32, "big")


def blocks(count: int, size: int = 1000) -> list[tuple[bytes, int]]:
    return [(block(number), size) for number in range(count)]


def fetching_of(count: int, size: int = 1000, peers: tuple[str, ...] = PEERS[:1]) -> Fetching:
    fetching = Fetching(blocks(count, size))
    for peer in peers:
        fetching.add_peer(peer)
    return fetching


_holdings = st.lists(st.sets(st.integers(0, 29)), min_size=3, max_size=3)
_sizes = st.lists(st.sampled_from([1, BUNDLE_BYTES // 3, 3 * MIB]), min_size=30, max_size=30)
_steps = st.lists(st.tuples(st.sampled_from(PEERS), st.integers(0, 5)), max_size=30)


@given(_holdings, _sizes, _steps)
def test_all_that_someone_has_comes_and_the_rest_is_known_to_be_missing(
    holdings: list[set[int]], sizes: list[int], steps: list[tuple[str, int]]
) -> None:
    fetching = Fetching((block(number), size) for number, size in enumerate(sizes))
    held = {
        peer: {block(number) for number in numbers} for peer, numbers in zip(PEERS, holdings, strict=True)
    }
    for peer in PEERS:
        fetching.add_peer(peer)
    asked: list[tuple[str, bytes]] = []
    arrived: Counter[bytes] = Counter()

    def ask(peer: str) -> bool:
        request = fetching.next_request(peer, REQUEST_BYTES_MAX)
        assert not {wanted for _, wanted in asked} & set(request)
        assert not arrived.keys() & set(request)
        asked.extend((peer, wanted) for wanted in request)
        return bool(request)

    def answer() -> None:
        peer, wanted = asked.pop(0)
        if wanted in held[peer]:
            fetching.arrived(wanted)
            arrived[wanted] += 1
        else:
            fetching.lacks(peer, wanted)

    for peer, answers in steps:
        ask(peer)
        for _ in range(min(answers, len(asked))):
            answer()
    while sum(ask(peer) for peer in PEERS) or asked:
        while asked:
            answer()
    everything = set().union(*held.values())
    assert arrived.keys() == everything
    assert set(arrived.values()) <= {1}
    assert set(fetching.remaining) == {block(number) for number in range(30)} - everything
    assert fetching.done == (not fetching.remaining)
    assert not fetching.under_way


def test_requests_keep_to_their_bounds() -> None:
    fetching = fetching_of(100_000, 300)
    assert len(fetching.next_request("anna", REQUEST_BYTES_MAX)) == REQUEST_BLOCKS_MAX
    large = fetching_of(100, MIB)
    while request := large.next_request("anna", 8 * MIB):
        assert len(request) <= 8
    assert large.length(block(number) for number in range(200)) == 100 * MIB


def test_little_is_left_for_the_second_peer_too() -> None:
    fetching = fetching_of(8, MIB, PEERS[:2])
    first = fetching.next_request("anna", REQUEST_BYTES_MAX)
    second = fetching.next_request("berta", REQUEST_BYTES_MAX)
    assert first and second
    assert not set(first) & set(second)


def test_small_blocks_are_asked_for_in_a_bundle() -> None:
    fetching = fetching_of(10, BUNDLE_BYTES // 10, PEERS)
    assert len(fetching.next_request("anna", REQUEST_BYTES_MAX)) == 10
    assert fetching.next_request("berta", REQUEST_BYTES_MAX) == []


def test_blocks_of_a_peer_that_left_are_asked_for_again_first_and_in_order() -> None:
    fetching = fetching_of(6, MIB, PEERS[:2])
    first = fetching.next_request("anna", REQUEST_BYTES_MAX)
    assert first == [block(number) for number in range(len(first))]
    fetching.remove_peer("anna")
    assert not fetching.knows("anna")
    assert fetching.next_request("berta", REQUEST_BYTES_MAX)[: len(first)] == first


def test_block_that_comes_after_its_peer_left_is_not_asked_for_again() -> None:
    fetching = fetching_of(2, peers=PEERS[:2])
    assert fetching.next_request("anna", REQUEST_BYTES_MAX) == [block(0), block(1)]
    fetching.remove_peer("anna")
    fetching.arrived(block(0))
    assert fetching.next_request("berta", REQUEST_BYTES_MAX) == [block(1)]
    fetching.arrived(block(1))
    assert fetching.done


def test_block_that_comes_late_while_another_is_asked_is_done() -> None:
    fetching = fetching_of(2, peers=PEERS[:2])
    fetching.next_request("anna", REQUEST_BYTES_MAX)
    fetching.remove_peer("anna")
    assert fetching.next_request("berta", REQUEST_BYTES_MAX) == [block(0), block(1)]
    fetching.arrived(block(0))
    assert fetching.next_request("berta", REQUEST_BYTES_MAX) == []
    fetching.arrived(block(0))
    fetching.remove_peer("berta")
    fetching.add_peer("clara")
    assert fetching.next_request("clara", REQUEST_BYTES_MAX) == [block(1)]


def test_lacking_after_leaving_changes_nothing() -> None:
    fetching = fetching_of(1, peers=PEERS[:2])
    fetching.next_request("anna", REQUEST_BYTES_MAX)
    fetching.remove_peer("anna")
    fetching.lacks("anna", block(0))
    assert fetching.next_request("berta", REQUEST_BYTES_MAX) == [block(0)]


def test_peer_is_not_asked_for_what_it_lacks() -> None:
    fetching = fetching_of(2)
    fetching.next_request("anna", REQUEST_BYTES_MAX)
    fetching.lacks("anna", block(0))
    assert fetching.next_request("anna", REQUEST_BYTES_MAX) == []
    assert fetching.under_way
    fetching.arrived(block(1))
    assert not fetching.under_way
    assert fetching.remaining == [block(0)]
    fetching.add_peer("berta")
    assert fetching.next_request("berta", REQUEST_BYTES_MAX) == [block(0)]


def test_peer_that_both_lacks_and_delivers_a_block_is_taken_at_its_delivery() -> None:
    fetching = fetching_of(1)
    fetching.next_request("anna", REQUEST_BYTES_MAX)
    fetching.arrived(block(0))
    fetching.lacks("anna", block(0))
    assert fetching.done
    assert fetching.next_request("anna", REQUEST_BYTES_MAX) == []


def test_nothing_wanted_is_done_at_once() -> None:
    assert Fetching([]).done
