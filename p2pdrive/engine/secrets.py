"""What must never leave a machine: the keys of devices, and what else is in a node's home.

Homes as such are hidden (``folder/homes.py``). Here are the files that are refused wherever they lie and
whatever they are called: a key that was copied, linked or moved out of its home.
"""

from p2pdrive.engine.replica import Replica
from p2pdrive.folder.files import ReadHandle, Stat
from p2pdrive.folder.homes import (
    KEY_BYTES,
    is_key,
    lists_drives,
    may_list_drives,
    names_key,
)
from p2pdrive.folder.scan import FoundHome
from p2pdrive.model.problem import Problem
from p2pdrive.model.record import Content, Kind
from p2pdrive.secure.identity import Identity

_NAMED = (
    "is called like the key of a p2pdrive node and as small as one, so it is never synced: move it out of "
    "the drive, or give it another name if it is something else."
)
_ARRIVING = (
    "was published by another machine, and is called like the key of a p2pdrive node. It is not shown here: "
    "a home with a key that others know would be anybody's. Delete it there."
)
_MEMBER = "is the key of a member of this drive, and is never synced. Move it out of the drive."
_DRIVES = (
    "is the list of a p2pdrive node's drives, which may hold invites, and is never synced. Move it out of "
    "the drive."
)
_HOME = (
    "is the home of a p2pdrive node, with the node's key, and is never synced. Move it out of the drive, or "
    "name it in .p2pdriveignore to hear no more of it."
)
_PUBLISHED = (
    "is the home of a p2pdrive node and is never synced, but the drive has files of it, from an earlier "
    "version or another machine. If device.key is one of them (`p2pdrive log` tells), every member can act "
    "as that node, and it needs a new key. Delete the files on the other machines."
)
_ROOT = (
    "this folder has become the home of a p2pdrive node, so nothing in it is synced. Stop that node, move "
    "its files to a folder of their own, and name that folder with --home."
)
_LEAKED = (
    "an earlier version synced this device's own key into this drive, so every member can act as this "
    "device. Make a new key and a new drive: `p2pdrive leave` the folder with --forget, stop p2pdrive, move "
    "device.key out of its home, start p2pdrive, share the folder again, and invite the others anew."
)
#: Bytes of a list of drives that tell it.
_BEGINNING_BYTES = 64


def refused_by_name(path: str, found: Stat) -> str | None:
    """Why what is at ``path`` is not to be published, whatever it holds."""
    return _NAMED if is_key(path, found) else None


def refused_by_bytes(replica: Replica, path: str, handle: ReadHandle, size: int) -> str | None:
    """Why an open file is not to be published, for what it holds. Raises Unreadable."""
    if size == KEY_BYTES and _is_key_of_member(replica, _beginning(handle, KEY_BYTES)):
        return _MEMBER
    if may_list_drives(path) and lists_drives(_beginning(handle, _BEGINNING_BYTES)):
        return _DRIVES
    return None


def refused_arrival(path: str, content: Content) -> str | None:
    """Why a record is not shown here."""
    return _ARRIVING if content.kind is Kind.FILE and names_key(path, content.size) else None


def about_home(replica: Replica, home: FoundHome) -> Problem | None:
    """What to say of a home in the folder; nothing of this node's own, unless others have files of it."""
    if not home.path:
        return Problem("", _ROOT)
    with replica.reading() as log:
        if log.registers.live_below(home.path):
            return Problem(home.path, _PUBLISHED)
    return None if home.key and home.key == replica.services.own_key else Problem(home.path, _HOME)


def leaked(replica: Replica) -> Problem | None:
    """Whether the drive holds this device's own key, and what to do then."""
    return Problem("", _LEAKED) if replica.store.lengths([replica.own_key_block]) else None


def _is_key_of_member(replica: Replica, data: bytes) -> bool:
    if len(data) != KEY_BYTES:
        return False
    if data == replica.services.identity.seed:
        return True
    with replica.reading() as log:
        return log.membership.member(Identity(data).device) is not None


def _beginning(handle: ReadHandle, length: int) -> bytes:
    view = memoryview(bytearray(length))
    return bytes(view[: handle.pread(view, 0)])
