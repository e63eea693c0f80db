"""Every error that p2pdrive raises on purpose, by whose fault it is.

::

    P2PDriveError
    ├── CallerError               what the person asked for cannot be; nothing was changed
    │   ├── InviteError           malformed, expired, used up, or for a drive that is here already
    │   ├── DriveError            the folder cannot be, or is not, a drive
    │   │   └── AskFirst          it can, and the person has to say that they mean it
    │   ├── AddressMalformed
    │   ├── PortInUse
    │   ├── HomeInUse             a second node on one home
    │   ├── NodeNotRunning
    │   └── NotInSync             `wait` reached its timeout
    ├── PeerError                 what a peer sent cannot be; the connection ends, the node goes on
    │   ├── ProtocolViolation
    │   ├── AuthenticationFailed
    │   ├── RecordRefused         a batch or record that may not be accepted
    │   └── LinkClosed            the connection ended
    └── WorldError                disk and network; retried later, reported as a problem meanwhile
        ├── RootMissing           the drive's folder, or its `.p2pdrive`, is not there
        ├── StateReplaced         another program changed the `.p2pdrive` of an open drive
        ├── IndexCorrupt, FormatTooNew
        ├── DiskFull, Unreadable, NotWritable
        ├── Changed               a file is not what it was when the plan was made
        │   ├── InUse             a program has it open for writing
        │   └── NotAtRest         it is still being written, or too soon after its last version
        ├── BlockMissing
        └── Unreachable

Bugs of our own are ``AssertionError``. A message says what happened and what to do next.
Exit codes of the command line: 0 done, 1 failed, 2 wrong usage, 3 not in sync in time, 4 no node running.
"""


class P2PDriveError(Exception):
    """Base of all; ``exit_code`` is what the command line ends with."""

    exit_code = 1


class CallerError(P2PDriveError):
    """The person's request cannot be carried out as it is."""


class InviteError(CallerError):
    """The invite cannot be used."""


class InviteMalformed(InviteError):
    """The text is no invite, or a mistyped one."""


class DriveError(CallerError):
    """The folder cannot be, or is not, a drive."""


class AskFirst(DriveError):
    """What was asked for does more than a person may think: to be asked for again with their yes."""


class AddressMalformed(CallerError):
    """Not ``host:port``."""

    exit_code = 2


class PortInUse(CallerError):
    """Another program listens there."""


class HomeInUse(CallerError):
    """Another node runs on this home."""


class NodeNotRunning(CallerError):
    """The command needs a running node, and none runs on this home."""

    exit_code = 4


class NotInSync(CallerError):
    """``wait`` reached its timeout."""

    exit_code = 3


class PeerError(P2PDriveError):
    """The peer's fault, or the connection's; the node goes on without it."""


class ProtocolViolation(PeerError):
    """The peer sent what the protocol does not allow."""


class AuthenticationFailed(PeerError):
    """The peer could not prove who it is, or a frame was tampered with."""


class RecordRefused(PeerError):
    """A batch or record that no node may accept."""


class LinkClosed(PeerError):
    """The connection to the peer has ended."""


class WorldError(P2PDriveError):
    """A disk or network that does not do what it should; retried later."""


class RootMissing(WorldError):
    """The drive's folder is not there: the drive is offline, nothing was deleted."""


class StateReplaced(WorldError):
    """Another program changed the drive's ``.p2pdrive`` while it was open: nothing may be written into it."""


class IndexCorrupt(WorldError):
    """The drive's index cannot be read."""


class FormatTooNew(WorldError):
    """Written by a newer p2pdrive."""


class DiskFull(WorldError):
    """No space left where the drive is."""


class Unreadable(WorldError):
    """A file or folder cannot be read."""


class NotWritable(WorldError):
    """A file or folder cannot be written."""


class Changed(WorldError):
    """What is on disk is not what the plan was made for; observe again and make a new plan."""


class InUse(Changed):
    """A program has the file open for writing, so that it may become another any moment; wait for its end."""


class NotAtRest(Changed):
    """Programs write to the file, so it is not read now: see ``planning/patience.py``."""


class LeftDisplaced(WorldError):
    """A file was to be moved, and could be brought neither to its new path nor back to its old one: it is
    ``displaced``, under that name."""

    def __init__(self, what: str, displaced: str) -> None:
        super().__init__(what)
        self.displaced = displaced


class BlockMissing(WorldError):
    """A block is nowhere in this store, or what is there is damaged."""


class Unreachable(WorldError):
    """No address of a peer answered."""
