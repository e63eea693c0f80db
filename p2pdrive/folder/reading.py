"""Reading all of a range: one call may give less, on network disks and where a signal comes in between."""

from collections.abc import Callable


def read_all(pread: Callable[[memoryview, int], int], view: memoryview, offset: int) -> int:
    """Fill ``view`` from ``offset`` by as many calls of ``pread`` as it takes; the bytes read, fewer only at
    the end of the file. Raises what ``pread`` raises."""
    filled = 0
    while filled < len(view) and (count := pread(view[filled:], offset + filled)):
        filled += count
    return filled
