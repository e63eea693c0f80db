"""Splitting the byte stream into sealed frames, without I/O.

A frame is ``[4 bytes big-endian length L][L sealed bytes]``. Each frame is handed over in memory of its own,
so its payload stays valid for whoever keeps it. A frame that did not arrive whole has the next bytes
received straight into its memory: a large frame is hardly ever copied. The memory of large frames is used
again once no view of it is left: fresh memory would cost more time than decryption.
"""

from collections.abc import Iterator

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import FRAME_BYTES_MAX, READ_BYTES

LENGTH_BYTES = 4
SEAL_BYTES = 16
#: Bytes of the smallest plaintext: its header's length, and a header of one byte.
PLAINTEXT_BYTES_MIN = 5
#: Large frames whose memory one stream keeps: two under way, and those that a consumer works on.
FRAMES_KEPT = 6


class Framing:
    """The receiving end of a stream.

    Give it bytes by ``receive_data``; or write them to ``space``, say ``filled``, read ``frames`` to the end.
    """

    def __init__(self) -> None:
        self._buffer = memoryview(bytearray(READ_BYTES))
        self._memory = _Memory()
        self._end = 0  # bytes of the buffer that are filled
        self._frame: memoryview | None = None  # the frame that has begun and is not whole yet
        self._frame_filled = 0

    def space(self) -> memoryview:
        """Where to put the next bytes received; at least one byte long."""
        if self._frame is not None:
            return self._frame[self._frame_filled :]
        return self._buffer[self._end :]

    def filled(self, count: int) -> None:
        """``count`` bytes were written to the start of ``space``."""
        if self._frame is not None:
            self._frame_filled += count
        else:
            self._end += count

    def receive_data(self, data: bytes) -> Iterator[memoryview]:
        """The frames that are whole with ``data``, as ``frames`` gives them."""
        view = memoryview(data)
        while view:
            space = self.space()
            count = min(len(space), len(view))
            space[:count] = view[:count]
            view = view[count:]
            self.filled(count)
            yield from self.frames()

    def frames(self) -> Iterator[memoryview]:
        """The sealed frames that are whole, without their length; each is the caller's to keep.

        Raises ProtocolViolation for a length that no frame may have, before any of it is kept.
        """
        if self._frame is not None:
            if self._frame_filled == len(self._frame):
                frame, self._frame = self._frame, None
                yield frame
            return
        start = 0
        while self._end - start >= LENGTH_BYTES:
            length = _checked_length(self._buffer[start : start + LENGTH_BYTES])
            start += LENGTH_BYTES
            frame = self._memory.take(length)
            held = min(length, self._end - start)
            frame[:held] = self._buffer[start : start + held]
            start += held
            if held < length:
                self._frame, self._frame_filled = frame, held
            else:
                yield frame
        left = bytes(self._buffer[start : self._end])
        self._buffer[: len(left)] = left
        self._end = len(left)


class _Memory:
    """Memory for frames; that of the latest large ones is kept for those to come."""

    def __init__(self) -> None:
        self._kept: list[bytearray] = []

    def take(self, length: int) -> memoryview:
        """``length`` bytes that nobody else sees, of any content."""
        if length < READ_BYTES:
            return memoryview(bytearray(length))
        buffer = next(filter(_is_free, self._kept), None)
        if buffer is None:
            buffer = bytearray(FRAME_BYTES_MAX)
            if len(self._kept) < FRAMES_KEPT:
                self._kept.append(buffer)
        return memoryview(buffer)[:length]


def _is_free(buffer: bytearray) -> bool:
    """Whether no view of ``buffer`` is left: Python refuses to resize it while there is one."""
    try:
        buffer.append(0)
    except BufferError:
        return False
    buffer.pop()
    return True


def _checked_length(head: memoryview) -> int:
    length = int.from_bytes(head, "big")
    if not PLAINTEXT_BYTES_MIN + SEAL_BYTES <= length <= FRAME_BYTES_MAX:
        raise ProtocolViolation(f"a frame of {length} bytes was announced; {FRAME_BYTES_MAX} is the most")
    return length
