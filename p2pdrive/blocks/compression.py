"""What is worth compressing in a pack, and how."""

from enum import IntEnum
from threading import local

import zstandard

#: A block is kept compressed if that saves at least this part of it: 12.5 %, below which reading it back
#: costs more than the space is worth.
SAVED_PART = 8
#: Bytes from a larger block's middle that tell whether the rest is worth trying.
PROBE_BYTES = 8 * 1024
#: Bytes up to which a block is tried as a whole: a probe would cost as much.
PROBED_BYTES_MIN = 16 * 1024
#: zstd's fastest ordinary level: photos and films do not compress, and texts are small.
LEVEL = 1


class Form(IntEnum):
    """How a block's bytes are stored."""

    RAW = 0
    ZSTD = 1


class Compressor:
    """Reuses one zstd context; for one thread at a time."""

    def __init__(self) -> None:
        self._zstd = zstandard.ZstdCompressor(level=LEVEL)

    def compress(self, data: bytes) -> tuple[Form, bytes]:
        """The form to store a block in, and its bytes in that form."""
        if len(data) > PROBED_BYTES_MIN:
            middle = (len(data) - PROBE_BYTES) // 2
            probe = data[middle : middle + PROBE_BYTES]
            if not _saves(len(probe), len(self._zstd.compress(probe))):
                return Form.RAW, data
        compressed = self._zstd.compress(data)
        if _saves(len(data), len(compressed)):
            return Form.ZSTD, compressed
        return Form.RAW, data


class _Expanders(local):
    """One zstd context a thread: making one takes longer than expanding a small block."""

    def __init__(self) -> None:
        self.zstd = zstandard.ZstdDecompressor()


_expanders = _Expanders()


def expand(form: int, stored: bytes, length: int) -> bytes | None:
    """A block's ``length`` bytes from their stored form; None if they are damaged."""
    if form == Form.RAW:
        return stored if len(stored) == length else None
    try:
        if form == Form.ZSTD and zstandard.frame_content_size(stored) == length:
            return _expanders.zstd.decompress(stored)
    except zstandard.ZstdError:
        pass
    return None


def _saves(length: int, compressed: int) -> bool:
    return (length - compressed) * SAVED_PART >= length
