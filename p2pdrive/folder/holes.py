"""Holes in files: lseek(2) with SEEK_DATA and SEEK_HOLE. Where the disk does not tell, all of a file is data.

Errors are plain OSError.
"""

import errno
import os

#: Bytes copied at a time.
_COPY_BYTES = 1024 * 1024


def next_data(fd: int, offset: int) -> int:
    """Where data begins at or behind ``offset``; the size where there is none."""
    return _seek(fd, offset, "SEEK_DATA", offset)


def next_hole(fd: int, offset: int) -> int:
    """Where the next hole begins at or behind ``offset``; the size where there is none."""
    return _seek(fd, offset, "SEEK_HOLE", max(offset, os.fstat(fd).st_size))


def copy(reading: int, writing: int) -> None:
    """Copy all of an open file into an empty one; holes stay holes."""
    size = os.fstat(reading).st_size
    os.ftruncate(writing, size)
    at = next_data(reading, 0)
    while at < size:
        until = next_hole(reading, at)
        while at < until and (data := os.pread(reading, min(_COPY_BYTES, until - at), at)):
            view = memoryview(data)
            while view:
                written = os.pwrite(writing, view, at)
                view, at = view[written:], at + written
        if at < until:
            return  # it is shorter now
        at = next_data(reading, at)


def _seek(fd: int, offset: int, name: str, unknown: int) -> int:
    """Without moving the position that others read at."""
    how = getattr(os, name, None)
    if how is None:
        return unknown
    position = os.lseek(fd, 0, os.SEEK_CUR)
    try:
        return os.lseek(fd, offset, how)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but a hole, up to the end
            return max(offset, os.fstat(fd).st_size)
        if error.errno in (errno.EINVAL, errno.EOPNOTSUPP):
            return unknown
        raise
    finally:
        os.lseek(fd, position, os.SEEK_SET)
