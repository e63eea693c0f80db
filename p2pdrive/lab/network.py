"""The network of a simulated world: streams with latency, jitter and bandwidth, and all that befalls them.

A stream is as TCP is: bytes arrive in order or not at all; what is sent into a partition waits there and
arrives when it heals; a machine that lost its power says nothing more, and its peers do not know.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from random import Random

import trio

from p2pdrive.errors import LinkClosed, Unreachable
from p2pdrive.limits import DIAL_TIMEOUT_SECONDS, KIB

#: Bytes under way in one direction; more wait for the reader, as in a kernel's buffers.
_WINDOW_BYTES = 256 * KIB
#: Bytes that travel together.
_SEGMENT_BYTES = 64 * KIB

Accept = Callable[["SimulatedStream"], None]


@dataclass
class Quality:
    """Of the way between two machines: seconds, and bytes a second."""

    latency: float = 0.001
    jitter: float = 0.001
    bandwidth: float = 50e6


class _Pipe:
    """One direction of a stream, from machine ``source`` to machine ``target``."""

    def __init__(self, network: "Network", source: str, target: str) -> None:
        self.source = source
        self.target = target
        self.ended = False  # by the sender: what was sent before still arrives
        self.deaf = False  # closed by the reader
        self.broken = False
        self.silent = False  # what is sent goes nowhere, and nothing comes back
        self.bytes_left: int | None = None  # until the cable breaks
        self.unread = 0
        self.moved = trio.Event()
        self._network = network
        self._segments: deque[tuple[float, bytes]] = deque()
        self._reading: trio.CancelScope | None = None
        self._free_at = 0.0  # when the line has carried what was sent before

    def wake(self) -> None:
        self.moved.set()
        self.moved = trio.Event()

    def push(self, data: bytes) -> None:
        """Send ``data``, of at most the room that there is; an empty one is the end."""
        network = self._network
        quality = network.quality(self.source, self.target)
        begin = max(self._free_at, trio.current_time())
        self._free_at = begin + len(data) / quality.bandwidth
        delay = quality.latency + network.random.random() * quality.jitter
        earliest = self._segments[-1][0] if self._segments else 0.0
        self._segments.append((max(earliest, self._free_at + delay), data))
        self.unread += len(data)
        network.bytes_sent += len(data)
        if self._reading is not None:  # wakes the reader when it arrives, and not before
            self._reading.deadline = self._arrives()

    def room(self) -> int:
        return min(_SEGMENT_BYTES, _WINDOW_BYTES - self.unread)

    @property
    def refused(self) -> bool:
        """Whether the sender knows that nobody reads it any more."""
        return self.deaf and not self.silent and not self._network.blocked(self.target, self.source)

    def arrived(self) -> bytes | None:
        """What comes next, if it is here."""
        blocked = self.silent or self._network.blocked(self.source, self.target)
        if not self._segments or blocked or self._segments[0][0] > trio.current_time():
            return None
        return self._segments[0][1]

    def take(self, count: int) -> None:
        """The reader has read so much of what arrived."""
        when, data = self._segments.popleft()
        if count < len(data):
            self._segments.appendleft((when, data[count:]))
        self.unread -= count
        self.wake()

    async def more(self) -> None:
        """Wait until something may have arrived."""
        moved = self.moved
        with trio.CancelScope(deadline=self._arrives()) as self._reading:
            await moved.wait()
        self._reading = None

    def _arrives(self) -> float:
        """When what comes next will be here."""
        if self.silent or not self._segments or self._network.blocked(self.source, self.target):
            return float("inf")
        return self._segments[0][0]


class SimulatedStream:
    """One end of a stream (see ``net/stream.py``)."""

    def __init__(self, incoming: _Pipe, outgoing: _Pipe, peer_address: str) -> None:
        self.incoming = incoming
        self.outgoing = outgoing
        self.peer_address = peer_address

    async def send_all(self, data: bytes | memoryview) -> None:
        """Raises LinkClosed."""
        pipe, view = self.outgoing, memoryview(data)
        await trio.lowlevel.checkpoint()
        while view:
            if pipe.broken or pipe.ended or pipe.refused:
                raise LinkClosed("the stream broke")
            room = pipe.room()
            if room <= 0:
                await pipe.moved.wait()
                continue
            pipe.push(bytes(view[:room]))
            view = view[room:]

    async def receive_into(self, view: memoryview) -> int:
        """Raises LinkClosed."""
        pipe = self.incoming
        await trio.lowlevel.checkpoint()
        while (data := pipe.arrived()) is None and not (pipe.broken or pipe.deaf):
            await pipe.more()
        if pipe.broken or pipe.deaf or data is None:
            raise LinkClosed("the stream broke")
        if not data:
            return 0
        count = min(len(view), len(data))
        if pipe.bytes_left is not None:
            count = min(count, pipe.bytes_left)
            pipe.bytes_left -= count
            if not count:
                self.cut()
                raise LinkClosed("the stream broke")
        view[:count] = data[:count]
        pipe.take(count)
        return count

    async def aclose(self) -> None:
        """What was sent still arrives, and the end after it."""
        if not (self.outgoing.ended or self.outgoing.broken):
            self.outgoing.push(b"")
            self.outgoing.ended = True
        self.incoming.deaf = True
        self.incoming.wake()

    def cut(self) -> None:
        """Break it for both ends: what is under way is lost."""
        for pipe in (self.incoming, self.outgoing):
            pipe.broken = True
            pipe.wake()

    def fall_silent(self) -> None:
        """The machine is without power: nothing more is said, and nobody is told."""
        for pipe in (self.incoming, self.outgoing):
            pipe.silent = True

    @property
    def over(self) -> bool:
        """Whether nothing more will pass."""
        return all(pipe.broken or pipe.ended or pipe.deaf for pipe in (self.incoming, self.outgoing))


@dataclass
class _Wire:
    """A stream that came to be: who dialled whom."""

    dialler: str
    listener: str
    near: SimulatedStream
    far: SimulatedStream

    def between(self, one: str, other: str) -> bool:
        return {one, other} == {self.dialler, self.listener}

    @property
    def over(self) -> bool:
        return self.near.over and self.far.over


class Network:
    """Who can reach whom, how fast, and the streams there are."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.usual = Quality()
        self.bytes_sent = 0
        self._listeners: dict[str, tuple[str, Accept]] = {}  # by address: machine, and what to do
        self._blocked: set[tuple[str, str]] = set()
        self._qualities: dict[frozenset[str], Quality] = {}
        self._wires: list[_Wire] = []
        self._changed = trio.Event()

    # --- for machines

    def listen(self, machine: str, address: str, accept: Accept) -> None:
        """``accept`` is called with each stream that somebody opens to ``address``."""
        self._listeners[address] = (machine, accept)

    def stop_listening(self, address: str, accept: Accept) -> None:
        """Connections are refused from now on, if it is still ``accept`` that takes them."""
        if self._listeners.get(address, ("", None))[1] == accept:
            del self._listeners[address]

    async def dial(self, machine: str, own: str, addresses: Sequence[str]) -> SimulatedStream:
        """A stream from ``machine`` at ``own`` to the first of ``addresses`` that answers.

        Raises Unreachable.
        """
        with trio.move_on_after(DIAL_TIMEOUT_SECONDS):
            while True:
                reachable = [a for a in addresses if a in self._listeners and a != own]
                for address in reachable:
                    listener, accept = self._listeners[address]
                    if self.blocked(machine, listener) or self.blocked(listener, machine):
                        continue
                    await trio.sleep(2 * self.quality(machine, listener).latency)
                    if address in self._listeners and self._listeners[address][1] == accept:
                        return self._connect(machine, own, listener, address, accept)
                if not reachable:
                    raise Unreachable("nobody answers")
                await self._changed.wait()
        raise Unreachable("no answer in time")

    def _connect(
        self, machine: str, own: str, listener: str, address: str, accept: Accept
    ) -> SimulatedStream:
        there, back = _Pipe(self, machine, listener), _Pipe(self, listener, machine)
        near, far = SimulatedStream(back, there, address), SimulatedStream(there, back, own)
        self._wires = [wire for wire in self._wires if not wire.over]
        self._wires.append(_Wire(machine, listener, near, far))
        accept(far)
        return near

    # --- for faults

    def cut(self, one: str, other: str, after_bytes: int | None = None) -> int:
        """Break the streams between two machines, now or once so many bytes more have passed; how many."""
        wires = [wire for wire in self._wires if wire.between(one, other) and not wire.over]
        for wire in wires:
            if after_bytes is None:
                wire.near.cut()
            else:
                pipe = wire.near.incoming if after_bytes % 2 else wire.near.outgoing
                pipe.bytes_left = after_bytes
        return len(wires)

    def drop(self, machine: str, silent: bool) -> None:
        """The machine's process is gone, or (``silent``) its power."""
        for wire in self._wires:
            if machine in (wire.dialler, wire.listener) and not wire.over:
                wire.near.fall_silent() if silent else wire.near.cut()

    def block(self, ways: Iterable[tuple[str, str]]) -> None:
        """Nothing passes from the first to the second of each until it is unblocked."""
        self._blocked.update(ways)

    def blocked(self, source: str, target: str) -> bool:
        """Whether nothing passes in this direction."""
        return (source, target) in self._blocked

    def set_quality(self, one: str, other: str, quality: Quality | None) -> None:
        """Of what is sent between two machines from now on; None: as usual."""
        if quality is None:
            self._qualities.pop(frozenset((one, other)), None)
        else:
            self._qualities[frozenset((one, other))] = quality

    def quality(self, one: str, other: str) -> Quality:
        """Of the way between two machines."""
        return self._qualities.get(frozenset((one, other)), self.usual)

    def heal(self) -> None:
        """All can reach all, and quickly; streams that fell silent stay so."""
        self._blocked.clear()
        self._qualities.clear()
        self._stir()

    def unblock(self, ways: Iterable[tuple[str, str]]) -> None:
        """Let pass again."""
        self._blocked.difference_update(ways)
        self._stir()

    def _stir(self) -> None:
        self._changed.set()
        self._changed = trio.Event()
        for wire in self._wires:
            wire.near.incoming.wake()
            wire.near.outgoing.wake()
