"""Which block from whom next. Pure: the caller does the asking and reports what came."""

from collections import deque
from collections.abc import Hashable, Iterable

from p2pdrive.limits import BUNDLE_BYTES, REQUEST_BLOCKS_MAX

Peer = Hashable


class Fetching:
    """The blocks that are wanted, in order, and who has been asked for which.

    A block is asked for at one peer at a time, so nothing is fetched twice; what a peer lacks, or had
    not delivered when it left, goes to the others.
    """

    def __init__(self, wanted: Iterable[tuple[bytes, int]]) -> None:
        """``wanted``: (block, length in bytes), each block once."""
        self._lengths = dict(wanted)
        self._waiting = deque(self._lengths)
        self._waiting_bytes = sum(self._lengths.values())
        self._asked: dict[Peer, dict[bytes, None]] = {}  # in the order of asking
        self._lacking: dict[Peer, set[bytes]] = {}

    @property
    def done(self) -> bool:
        """Whether every block has come."""
        return not self._lengths

    @property
    def remaining(self) -> list[bytes]:
        """The blocks that have not come."""
        return list(self._lengths)

    @property
    def under_way(self) -> bool:
        """Whether any peer has been asked for something that has not come."""
        return any(self._asked.values())

    def knows(self, peer: Peer) -> bool:
        """Whether ``peer`` can be asked."""
        return peer in self._asked

    def add_peer(self, peer: Peer) -> None:
        """``peer`` can be asked from now on."""
        self._asked.setdefault(peer, {})
        self._lacking.setdefault(peer, set())

    def remove_peer(self, peer: Peer) -> None:
        """``peer`` is gone; what it was asked for goes back to the front."""
        asked = self._asked.pop(peer, {})
        self._lacking.pop(peer, None)
        self._waiting.extendleft(reversed(asked))
        self._waiting_bytes += sum(self._lengths[block] for block in asked)

    def length(self, blocks: Iterable[bytes]) -> int:
        """Bytes of blocks that have not come, in all."""
        return sum(self._lengths.get(block, 0) for block in blocks)

    def next_request(self, peer: Peer, room: int) -> list[bytes]:
        """The blocks to ask ``peer`` for now; empty if there are none for it.

        They have ``room`` bytes, not counting the last one, or less: a request is a fair share of what is
        left, at least a bundle, so that several peers finish together.
        """
        asked, lacking = self._asked[peer], self._lacking[peer]
        budget = min(room, max(BUNDLE_BYTES, self._waiting_bytes // (2 * len(self._asked))))
        chosen: list[bytes] = []
        passed: list[bytes] = []
        while self._waiting and budget > 0 and len(chosen) < REQUEST_BLOCKS_MAX:
            block = self._waiting.popleft()
            if block in lacking:
                passed.append(block)
                continue
            chosen.append(block)
            budget -= self._lengths[block]
            self._waiting_bytes -= self._lengths[block]
        self._waiting.extendleft(reversed(passed))
        asked.update(dict.fromkeys(chosen))
        return chosen

    def arrived(self, block: bytes) -> None:
        """``block`` came and was right; its peer may have left meanwhile, and another been asked."""
        length = self._lengths.pop(block, None)
        if length is None:
            return
        for asked in self._asked.values():
            if block in asked:
                del asked[block]
                return
        self._waiting.remove(block)
        self._waiting_bytes -= length

    def lacks(self, peer: Peer, block: bytes) -> None:
        """``peer`` does not have ``block``, or sent something else in its place."""
        if peer not in self._asked:
            return  # it left, and what it was asked for went back already
        self._lacking[peer].add(block)
        if block in self._asked[peer]:
            del self._asked[peer][block]
            self._waiting.appendleft(block)
            self._waiting_bytes += self._lengths[block]
