"""Invites: what a person hands to another so that a device may join a drive.

A link is ``p2pdrive://join/`` and base64url (no padding) of: a version byte, msgpack of [drive, drive
name, secret, addresses, expires, role], and the first 4 bytes of the BLAKE3 of all that. Versions to come
keep the first byte and the checksum. All else follows from the secret; the members know an invite by its
public key, and so can check a joiner's proof without the secret.
"""

import base64
from dataclasses import dataclass, field

import msgpack
from blake3 import blake3

from p2pdrive.errors import InviteMalformed
from p2pdrive.limits import ADDRESS_BYTES_MAX, ADDRESSES_MAX, INVITE_TEXT_MAX, LABEL_BYTES_MAX
from p2pdrive.model.record import Role
from p2pdrive.secure.identity import DEVICE_BYTES, Identity, verify

PREFIX = "p2pdrive://join/"
VERSION = 1
CHECKSUM_BYTES = 4
DRIVE_BYTES = 32
SECRET_BYTES = 16
ID_BYTES = 16
ROLES = tuple(role.name.lower() for role in Role)

PSK_CONTEXT = "p2pdrive invite psk"
KEY_CONTEXT = "p2pdrive invite key"
PROOF_LABEL = b"p2pdrive join"

#: What programs put around a link when a person copies it.
WRAPPERS = " \t\r\n'\"`<>"


@dataclass(frozen=True, slots=True)
class Invite:
    """What a person hands over. Whoever holds the secret may join, so ``repr`` hides it."""

    drive: bytes
    """The drive's id, 32 bytes."""
    drive_name: str
    secret: bytes = field(repr=False)
    """16 random bytes."""
    addresses: tuple[str, ...]
    """Where a member may be reached, each ``host:port``."""
    expires: int
    """Seconds since 1970; 0 is never."""
    role: str
    """What the joiner becomes: viewer, editor or admin."""

    def link(self) -> str:
        """The text to hand over; ``parse`` gives the invite back."""
        fields = [self.drive, self.drive_name, self.secret, self.addresses, self.expires, self.role]
        body = bytes([VERSION]) + bytes(msgpack.packb(fields))
        return PREFIX + _encoded(body + _checksum(body))

    @classmethod
    def parse(cls, text: str) -> "Invite":
        """From a link as ``link`` gives it, space and quotes around it ignored. Raises InviteMalformed."""
        link = text.strip(WRAPPERS)
        body = _body(link)
        try:
            drive, drive_name, secret, addresses, expires, role = msgpack.unpackb(body[1:], use_list=False)
            invite = cls(drive, drive_name, secret, addresses, expires, role)
            sound = _sound(invite) and invite.link() == link
        except (ValueError, TypeError, msgpack.UnpackException):
            sound = False
        if not sound:
            raise InviteMalformed("This invite link holds something that cannot be. Ask for a new invite.")
        return invite

    @property
    def psk(self) -> bytes:
        """The pre-shared key of the handshake, 32 bytes."""
        return blake3(self.secret, derive_key_context=PSK_CONTEXT).digest()

    @property
    def key(self) -> Identity:
        """The key pair that signs the joiner's proof."""
        return Identity(blake3(self.secret, derive_key_context=KEY_CONTEXT).digest())

    @property
    def public(self) -> bytes:
        """The public key, 32 bytes: names the invite in the log."""
        return self.key.device

    @property
    def id(self) -> bytes:
        """Names the invite in a handshake, 16 bytes."""
        return invite_id(self.public)

    def prove(self, device: bytes, name: str) -> bytes:
        """The signature that lets ``device`` join under ``name``, 64 bytes."""
        return self.key.sign(_proof_message(self.drive, device, name))


def invite_id(public: bytes) -> bytes:
    """The id, 16 bytes, of the invite with that public key."""
    return blake3(public).digest(ID_BYTES)


def verify_proof(public: bytes, drive: bytes, device: bytes, name: str, proof: bytes) -> bool:
    """Whether ``proof`` shows that the holder of the invite lets ``device`` join ``drive`` as ``name``."""
    if len(drive) != DRIVE_BYTES or len(device) != DEVICE_BYTES:
        return False
    try:
        message = _proof_message(drive, device, name)
    except UnicodeEncodeError:
        return False
    return verify(public, proof, message)


def _proof_message(drive: bytes, device: bytes, name: str) -> bytes:
    return PROOF_LABEL + drive + device + name.encode()


def _checksum(body: bytes) -> bytes:
    return blake3(body).digest(CHECKSUM_BYTES)


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(encoded: str) -> bytes:
    """What ``_encoded`` made ``encoded`` of; nothing where it did not."""
    try:
        data = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return b""
    return data if _encoded(data) == encoded else b""


def _body(link: str) -> bytes:
    """The version byte and msgpack of a link that is whole and of our version. Raises InviteMalformed."""
    if not link.startswith(PREFIX):
        raise InviteMalformed(
            f"This is not a p2pdrive invite: an invite begins with {PREFIX} . "
            "Copy the whole line that `p2pdrive share` printed."
        )
    if len(link) > INVITE_TEXT_MAX:
        raise InviteMalformed("This is too long for an invite link. Copy the link alone.")
    data = _decoded(link[len(PREFIX) :])
    body, checksum = data[:-CHECKSUM_BYTES], data[-CHECKSUM_BYTES:]
    if not body or checksum != _checksum(body):
        raise InviteMalformed(
            "This invite link is cut short or mistyped. Copy the whole link again, or ask for a new invite."
        )
    if body[0] > VERSION:
        raise InviteMalformed("This invite was made by a newer p2pdrive. Update p2pdrive here and try again.")
    return body


def _sound(invite: Invite) -> bool:
    return (
        type(invite.drive) is bytes
        and len(invite.drive) == DRIVE_BYTES
        and type(invite.drive_name) is str
        and len(invite.drive_name.encode()) <= LABEL_BYTES_MAX
        and type(invite.secret) is bytes
        and len(invite.secret) == SECRET_BYTES
        and type(invite.addresses) is tuple
        and len(invite.addresses) <= ADDRESSES_MAX
        and all(_address_sound(address) for address in invite.addresses)
        and type(invite.expires) is int
        and 0 <= invite.expires < 1 << 63
        and invite.role in ROLES
    )


def _address_sound(address: object) -> bool:
    """Of a form that is safe to print; whether it can be dialled is for the net floor to say."""
    return (
        type(address) is str
        and 0 < len(address) <= ADDRESS_BYTES_MAX
        and address.isascii()
        and address.isprintable()
        and " " not in address
    )
