"""A slow and lossy cable, for kernels without netem: passes Ethernet frames from one interface to another.

``python -m p2pdrive.lab.hosts.relay WIRE PLUG LINK``: WIRE leads to the host and PLUG to the others. What
comes from the host is delayed, and lost now and then; the rate holds both ways, each way with a queue of its
own. Runs until it is killed.
"""

import random
import select
import socket
import sys
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

from p2pdrive.lab.hosts.link import Link, parse_link

#: packet(7) and linux/if_packet.h; Python has no names for these.
_SOL_PACKET = 263
_PACKET_VNET_HDR = 15
_PACKET_IGNORE_OUTGOING = 23
_ETH_P_ALL = 3
#: A virtio_net_hdr says, before each frame, which checksum the kernel has left to be filled in.
_HEADER_BYTES = 10
_FRAME_BYTES_MAX = 65_536 + 64
_BUFFER_BYTES = 8 * 1024 * 1024
#: Frames taken before the clock is looked at again.
_FRAMES_AT_ONCE = 64


@dataclass
class Direction:
    """One way of the cable; seconds as of ``time.monotonic``. Frames leave in the order in which they came.

    A frame is lost where more than ``queue_seconds`` would pass until its turn.
    """

    link: Link
    queue_seconds: float
    chance: random.Random = field(default_factory=random.Random)
    waiting: deque[tuple[float, bytes]] = field(default_factory=deque)
    free_at: float = 0.0

    def take(self, frame: bytes, now: float) -> None:
        """A frame came in."""
        if self.chance.random() < self.link.loss:
            return
        start = max(now, self.free_at)
        if start - now > self.queue_seconds:
            return
        if self.link.rate is not None:
            self.free_at = start + (len(frame) - _HEADER_BYTES) * 8 / self.link.rate
        self.waiting.append((max(start, self.free_at) + self.link.delay, frame))

    def due(self, now: float) -> list[bytes]:
        """The frames that are to go out now."""
        found = []
        while self.waiting and self.waiting[0][0] <= now:
            found.append(self.waiting.popleft()[1])
        return found

    @property
    def next(self) -> float:
        """When the next frame is to go out; infinity if none waits."""
        return self.waiting[0][0] if self.waiting else float("inf")


def relay(wire: str, plug: str, link: Link) -> None:
    """Passes frames between the two interfaces; does not return."""
    host, others = _opened(wire), _opened(plug)
    queue_seconds = _queue_seconds(link)
    ways = [
        (host, others, Direction(link, queue_seconds)),
        (others, host, Direction(Link(rate=link.rate), queue_seconds)),
    ]
    while True:
        wait = min(way.next for _, _, way in ways) - time.monotonic()
        ready, _, _ = select.select([host, others], [], [], None if wait == float("inf") else max(wait, 0.0))
        now = time.monotonic()
        for source, target, way in ways:
            if source in ready:
                for frame in _frames(source):
                    way.take(frame, now)
            for frame in way.due(now):
                with suppress(OSError):  # no room for it, or too long: a frame is lost
                    target.send(frame)


def _queue_seconds(link: Link) -> float:
    from p2pdrive.lab.hosts.network import PACKET_BYTES, QUEUE_PACKETS_MIN, QUEUE_SECONDS

    at_least = 0.0 if link.rate is None else QUEUE_PACKETS_MIN * PACKET_BYTES * 8 / link.rate
    return max(QUEUE_SECONDS, at_least)


def _opened(interface: str) -> socket.socket:
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0)
    opened.setsockopt(_SOL_PACKET, _PACKET_VNET_HDR, 1)
    opened.setsockopt(_SOL_PACKET, _PACKET_IGNORE_OUTGOING, 1)
    for buffer in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        opened.setsockopt(socket.SOL_SOCKET, buffer, _BUFFER_BYTES)
    opened.bind((interface, _ETH_P_ALL))
    opened.setblocking(False)
    return opened


def _frames(source: socket.socket) -> list[bytes]:
    found: list[bytes] = []
    with suppress(OSError):  # nothing more to take, or the interface is down for a moment
        while len(found) < _FRAMES_AT_ONCE:
            found.append(source.recv(_FRAME_BYTES_MAX))
    return found


if __name__ == "__main__":
    relay(sys.argv[1], sys.argv[2], parse_link(sys.argv[3]))
