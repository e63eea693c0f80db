"""The handshake of two devices, without input or output.

On the wire, from the first byte::

    initiator  preamble: "p2pdrive", version, mode, cipher (1 byte each), in mode 1 an invite's id (16)
    initiator  Noise message 1          each Noise message is preceded by its length in 2 bytes
    responder  Noise message 2
    initiator  Noise message 3, proof   a proof is the first frame of a session (see ``session.py``):
    responder  proof                    device id (32), signature (64)

The pattern is XX, or in mode 1 XXpsk3 with the invite's psk. The preamble is the prologue, so that
nobody can change what was chosen. The static keys are made for one handshake only: they carry the
pattern, while the device is proven by its Ed25519 signature over the role and the handshake hash.
"""

from collections.abc import Callable, Generator
from typing import Final

from p2pdrive.errors import AuthenticationFailed, PeerError, ProtocolViolation
from p2pdrive.secure.identity import DEVICE_BYTES, SIGNATURE_BYTES, Identity, Random, verify
from p2pdrive.secure.invite import ID_BYTES, Invite
from p2pdrive.secure.noise import KEY_BYTES, SEAL_BYTES, Cipher, HandshakeState, Hash, Suite
from p2pdrive.secure.session import LENGTH_BYTES, Session, open_frame, seal_frame

MAGIC = b"p2pdrive"
VERSION = 1
MODE_OPEN, MODE_INVITED = 0, 1
#: In the order of their codes in the preamble.
CIPHER_CODES: Final[tuple[Cipher, ...]] = ("AESGCM", "ChaChaPoly")
HASH: Final[Hash] = "BLAKE2s"
PREAMBLE_BYTES = len(MAGIC) + 3

NOISE_LENGTH_BYTES = 2
#: Bytes of the three Noise messages, whose payloads are empty; with a psk, the first is sealed too.
MESSAGE_BYTES: Final = {"XX": (32, 96, 64), "XXpsk3": (48, 96, 64)}

PROOF_LABEL = b"p2pdrive device proof"
PROOF_BYTES = DEVICE_BYTES + SIGNATURE_BYTES
INITIATOR, RESPONDER = b"\0", b"\1"

#: Yields how many bytes it needs next, is sent them, and returns its result.
Steps = Generator[int, bytes, Session]
Reading = Generator[int, bytes, bytes]


class Handshake:
    """One side of the handshake, made by ``initiate`` or ``respond``.

    Feed what arrives to ``receive_data`` and send what ``data_to_send`` gives, until ``session`` is set;
    the responder still has data to send then. After an error the connection is of no use. At most
    some hundred bytes are kept beyond what one call of ``receive_data`` brings.
    """

    def __init__(self, identity: Identity, random: Random) -> None:
        #: The result, once the peer has proven its device.
        self.session: Session | None = None
        #: The responder's: the invite whose secret the peer knew, once ``session`` is set.
        self.invite_id: bytes | None = None
        self._identity = identity
        self._random = random
        self._received = bytearray()
        self._outgoing = bytearray()
        self._wanted = 0
        self._steps: Steps | None = None

    @classmethod
    def initiate(
        cls,
        identity: Identity,
        random: Random,
        invite: Invite | None = None,
        cipher: Cipher = "AESGCM",
        expect: bytes | None = None,
    ) -> "Handshake":
        """The side that dialled. ``expect`` is the device id that we mean to reach; None is whoever."""
        handshake = cls(identity, random)
        handshake._start(handshake._initiator_steps(invite, cipher, expect))
        return handshake

    @classmethod
    def respond(
        cls, identity: Identity, random: Random, psk_for: Callable[[bytes], bytes | None]
    ) -> "Handshake":
        """The side that was dialled. ``psk_for`` gives the psk of an invite's id, None if unknown."""
        handshake = cls(identity, random)
        handshake._start(handshake._responder_steps(psk_for))
        return handshake

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take what arrived, in pieces of any size, until ``session`` is set.

        Raises ProtocolViolation for what is no p2pdrive handshake, and AuthenticationFailed for a
        peer that cannot prove its device or invite, or is not the one that we expect.
        """
        assert self._steps is not None, "the handshake has ended"
        self._received += data
        try:
            while len(self._received) >= self._wanted:
                piece = bytes(self._received[: self._wanted])
                del self._received[: self._wanted]
                self._wanted = self._steps.send(piece)
        except StopIteration as end:
            self.session = end.value
            self._steps = None
        except PeerError:
            self._steps = None
            raise

    def data_to_send(self) -> bytes:
        """What is to be sent now; each byte is given once."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    @property
    def trailing_data(self) -> bytes:
        """What arrived behind the handshake: the first bytes of the session's frames."""
        return bytes(self._received) if self.session is not None else b""

    def _start(self, steps: Steps) -> None:
        self._steps = steps
        self._wanted = next(steps)

    def _initiator_steps(self, invite: Invite | None, cipher: Cipher, expect: bytes | None) -> Steps:
        mode = MODE_OPEN if invite is None else MODE_INVITED
        preamble = MAGIC + bytes([VERSION, mode, CIPHER_CODES.index(cipher)])
        if invite is not None:
            preamble += invite.id
        noise, sizes = self._noise(preamble, psk=None if invite is None else invite.psk, initiator=True)
        self._outgoing += preamble
        self._send_message(noise)
        noise.read_message((yield from _read(NOISE_LENGTH_BYTES, sizes[1])))
        self._send_message(noise)
        return (yield from self._exchange_proofs(noise, INITIATOR, RESPONDER, expect))

    def _responder_steps(self, psk_for: Callable[[bytes], bytes | None]) -> Steps:
        preamble = yield PREAMBLE_BYTES
        mode = _check_preamble(preamble)
        invite_id = psk = None
        if mode == MODE_INVITED:
            invite_id = yield ID_BYTES
            preamble += invite_id
            psk = psk_for(invite_id)
            if psk is None:
                raise AuthenticationFailed(
                    f"the peer came with invite {invite_id.hex()}, which is not known here; "
                    "ask for a new invite if it should join"
                )
        noise, sizes = self._noise(preamble, psk=psk, initiator=False)
        noise.read_message((yield from _read(NOISE_LENGTH_BYTES, sizes[0])))
        self._send_message(noise)
        noise.read_message((yield from _read(NOISE_LENGTH_BYTES, sizes[2])))
        session = yield from self._exchange_proofs(noise, RESPONDER, INITIATOR, expect=None)
        self.invite_id = invite_id
        return session

    def _noise(
        self, preamble: bytes, psk: bytes | None, initiator: bool
    ) -> tuple[HandshakeState, tuple[int, int, int]]:
        """The Noise state that a preamble asks for, and the sizes of its messages."""
        suite = Suite("XX" if psk is None else "XXpsk3", CIPHER_CODES[preamble[PREAMBLE_BYTES - 1]], HASH)
        state = HandshakeState(
            suite,
            initiator=initiator,
            prologue=preamble,
            static=self._random(KEY_BYTES),
            ephemeral=self._random(KEY_BYTES),
            psk=psk,
        )
        return state, MESSAGE_BYTES[suite.pattern]

    def _send_message(self, noise: HandshakeState) -> None:
        message = noise.write_message()
        self._outgoing += len(message).to_bytes(NOISE_LENGTH_BYTES, "big") + message

    def _exchange_proofs(
        self, noise: HandshakeState, our_role: bytes, their_role: bytes, expect: bytes | None
    ) -> Steps:
        binding = noise.handshake_hash
        sending, receiving = noise.split()
        signature = self._identity.sign(PROOF_LABEL + our_role + binding)
        frame = bytearray(bytes(LENGTH_BYTES) + self._identity.device + signature + bytes(SEAL_BYTES))
        seal_frame(sending, frame)
        self._outgoing += frame

        sealed = yield from _read(LENGTH_BYTES, PROOF_BYTES + SEAL_BYTES)
        proof = bytes(open_frame(receiving, memoryview(bytearray(sealed))))
        device, signature = proof[:DEVICE_BYTES], proof[DEVICE_BYTES:]
        if not verify(device, signature, PROOF_LABEL + their_role + binding):
            raise AuthenticationFailed("the peer does not own the device key that it names")
        self._check_device(device, expect)
        return Session(device, binding, sending, receiving)

    def _check_device(self, device: bytes, expect: bytes | None) -> None:
        if device == self._identity.device:
            raise AuthenticationFailed(
                "the other end is this device itself: the address is our own, or this home was copied; "
                "give the copy a device key of its own"
            )
        if expect is not None and device != expect:
            raise AuthenticationFailed(
                f"device {device.hex()[:16]} answered where {expect.hex()[:16]} was expected; "
                "the address now belongs to another device"
            )


def _read(length_bytes: int, expected: int) -> Reading:
    """A part of the handshake behind its length, which can only be the expected one."""
    if int.from_bytes((yield length_bytes), "big") != expected:
        raise ProtocolViolation(
            "the other end does not speak p2pdrive's handshake; "
            "check the address, and that both sides are up to date"
        )
    return (yield expected)


def _check_preamble(preamble: bytes) -> int:
    """The mode that the preamble asks for. Raises ProtocolViolation."""
    version, mode, cipher = preamble[len(MAGIC) :]
    if not preamble.startswith(MAGIC):
        raise ProtocolViolation("the other end is not p2pdrive")
    if version != VERSION:
        raise ProtocolViolation(
            f"the peer speaks version {version} of the protocol and this node version {VERSION}; "
            "update the older one"
        )
    if mode not in (MODE_OPEN, MODE_INVITED) or cipher >= len(CIPHER_CODES):
        raise ProtocolViolation("the peer asks for a mode or cipher that this version does not know")
    return mode
