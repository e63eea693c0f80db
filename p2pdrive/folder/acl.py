"""POSIX access control lists as Linux stores them: what a file gets that is made in a directory with one.

The bytes are those of the attributes ``system.posix_acl_access`` and ``system.posix_acl_default``
(<linux/posix_acl_xattr.h>): version 2, then entries of tag, permissions and id, little-endian.
"""

import struct
from collections.abc import Callable, Iterator

#: The attribute that holds a file's list.
ACCESS = "system.posix_acl_access"
#: The attribute that holds the list that a directory gives to what is made in it.
DEFAULT = "system.posix_acl_default"

_HEADER = struct.Struct("<I")
_ENTRY = struct.Struct("<HHI")
_OWNER, _GROUP, _MASK, _OTHER = 0x01, 0x04, 0x10, 0x20


def for_new(default: bytes, *, executable: bool) -> bytes:
    """The list of a file that is made with all permissions for all, in a directory whose default is that.

    It is made by acl(5), "OBJECT CREATION AND DEFAULT ACLs", but that its owner may execute what is
    ``executable``. Raises ValueError for what is no list.
    """
    most = 7 if executable else 6
    masked = any(tag == _MASK for tag, _, _ in _entries(default))
    limited = {_OWNER, _OTHER, _MASK if masked else _GROUP}

    def permit(tag: int, permissions: int) -> int:
        permissions &= most if tag in limited else 7
        return permissions | 1 if executable and tag == _OWNER else permissions

    return _changed(default, permit)


def for_another_group(access: bytes) -> bytes:
    """The list of a file that could not keep its group: the new one may do what everybody may, no more."""
    everybody = next((permissions for tag, permissions, _ in _entries(access) if tag == _OTHER), 0)
    return _changed(access, lambda tag, permissions: permissions & (everybody if tag == _GROUP else 7))


def _changed(data: bytes, permit: Callable[[int, int], int]) -> bytes:
    entries = ((tag, permit(tag, permissions), named) for tag, permissions, named in _entries(data))
    return data[: _HEADER.size] + b"".join(_ENTRY.pack(*entry) for entry in entries)


def _entries(data: bytes) -> Iterator[tuple[int, int, int]]:
    if len(data) < _HEADER.size or (len(data) - _HEADER.size) % _ENTRY.size:
        raise ValueError("this is no access control list")
    return _ENTRY.iter_unpack(data[_HEADER.size :])
