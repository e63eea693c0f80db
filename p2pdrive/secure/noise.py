"""The Noise Protocol Framework, revision 34: the patterns XX and XXpsk3 over Curve25519.

The names are those of the specification (https://noiseprotocol.org/noise.html), whose sections are
given below. One difference: the in-place calls of ``CipherState`` take messages of any size, because
the transport frames of p2pdrive are larger than Noise's 65,535 bytes (see ``session.py``).
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final, Literal

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from nacl.bindings import crypto_scalarmult, crypto_scalarmult_base
from nacl.exceptions import CryptoError

from p2pdrive.errors import AuthenticationFailed, ProtocolViolation

Pattern = Literal["XX", "XXpsk3"]
Cipher = Literal["AESGCM", "ChaChaPoly"]
Hash = Literal["BLAKE2s", "BLAKE2b", "SHA256", "SHA512"]

KEY_BYTES = 32
SEAL_BYTES = 16
#: The last counter value is reserved by the specification (section 5.1).
COUNTER_END = 2**64 - 1

#: Section 7.5 (XX) and section 9.4 (psk3): the steps ("tokens") of each message, the initiator's first.
PATTERNS: Final[dict[str, tuple[tuple[str, ...], ...]]] = {
    "XX": (("e",), ("e", "ee", "s", "es"), ("s", "se")),
    "XXpsk3": (("e",), ("e", "ee", "s", "es"), ("s", "se", "psk")),
}
#: Section 12: the cipher, and the byte order of the counter in its nonce.
CIPHERS: Final[dict[str, tuple[type[AESGCM] | type[ChaCha20Poly1305], Literal["big", "little"]]]] = {
    "AESGCM": (AESGCM, "big"),
    "ChaChaPoly": (ChaCha20Poly1305, "little"),
}
HASHES: Final[dict[str, str]] = {
    "BLAKE2s": "blake2s",
    "BLAKE2b": "blake2b",
    "SHA256": "sha256",
    "SHA512": "sha512",
}


@dataclass(frozen=True, slots=True)
class Suite:
    """What a handshake is made of."""

    pattern: Pattern
    cipher: Cipher
    hash: Hash

    def __post_init__(self) -> None:
        assert self.pattern in PATTERNS, self.name
        assert self.cipher in CIPHERS, self.name
        assert self.hash in HASHES, self.name

    @classmethod
    def parse(cls, name: str) -> "Suite":
        """From a name such as ``Noise_XXpsk3_25519_AESGCM_BLAKE2s``."""
        noise, pattern, curve, cipher, hash_name = name.split("_")
        assert (noise, curve) == ("Noise", "25519"), name
        return cls(pattern, cipher, hash_name)  # type: ignore[arg-type]  # checked by __post_init__

    @property
    def name(self) -> str:
        """The protocol name of section 8."""
        return f"Noise_{self.pattern}_25519_{self.cipher}_{self.hash}"


class HandshakeState:
    """One side of a handshake (section 5.3). The two sides write and read in turn, then ``split``.

    ``static`` and ``ephemeral`` are private keys of 32 random bytes, never used for anything else;
    ``psk`` (32 bytes) is given for the patterns that have one.
    """

    def __init__(
        self,
        suite: Suite,
        *,
        initiator: bool,
        prologue: bytes,
        static: bytes,
        ephemeral: bytes,
        psk: bytes | None = None,
    ) -> None:
        self._messages = list(PATTERNS[suite.pattern])
        assert any("psk" in steps for steps in self._messages) == (psk is not None)
        self._initiator = initiator
        self._our_turn = initiator
        self._static = static
        self._ephemeral = ephemeral
        self._psk = psk
        self._remote_static = b""
        self._remote_ephemeral = b""
        self._symmetric = SymmetricState(suite)
        self._symmetric.mix_hash(prologue)

    @property
    def handshake_hash(self) -> bytes:
        """Names this one handshake once it is complete (section 11.2: channel binding)."""
        return self._symmetric.hash

    def write_message(self, payload: bytes = b"") -> bytes:
        """Our next handshake message."""
        message = bytearray()
        for step in self._next_steps(ours=True):
            if step == "e":
                public = crypto_scalarmult_base(self._ephemeral)
                message += public
                self._mix_ephemeral(public)
            elif step == "s":
                message += self._symmetric.encrypt_and_hash(crypto_scalarmult_base(self._static))
            else:
                self._mix_secret(step)
        return bytes(message) + self._symmetric.encrypt_and_hash(payload)

    def read_message(self, message: bytes) -> bytes:
        """The payload of the peer's next message.

        Raises AuthenticationFailed for a message altered on the way, from another handshake, without
        the right psk or with a weak key; ProtocolViolation for one that is too short.
        """
        for step in self._next_steps(ours=False):
            if step == "e":
                self._remote_ephemeral, message = _cut(message, KEY_BYTES)
                self._mix_ephemeral(self._remote_ephemeral)
            elif step == "s":
                sealed, message = _cut(message, KEY_BYTES + SEAL_BYTES)  # in XX, always after a DH
                self._remote_static = self._symmetric.decrypt_and_hash(sealed)
            else:
                self._mix_secret(step)
        return self._symmetric.decrypt_and_hash(message)

    def split(self) -> "tuple[CipherState, CipherState]":
        """The ciphers for what we send and what we receive, once all messages have passed."""
        assert not self._messages
        forth, back = self._symmetric.split()
        return (forth, back) if self._initiator else (back, forth)

    def _next_steps(self, ours: bool) -> tuple[str, ...]:
        assert ours == self._our_turn
        self._our_turn = not self._our_turn
        return self._messages.pop(0)

    def _mix_ephemeral(self, public: bytes) -> None:
        self._symmetric.mix_hash(public)
        if self._psk is not None:  # section 9.2: the psk alone must never key two handshakes alike
            self._symmetric.mix_key(public)

    def _mix_secret(self, step: str) -> None:
        """Mix the psk, or what the initiator's key (first letter) and the responder's have in common."""
        if step == "psk":
            assert self._psk is not None
            self._symmetric.mix_key_and_hash(self._psk)
            return
        ours, theirs = (step[0], step[1]) if self._initiator else (step[1], step[0])
        private = self._ephemeral if ours == "e" else self._static
        public = self._remote_ephemeral if theirs == "e" else self._remote_static
        self._symmetric.mix_key(_shared_secret(private, public))


class SymmetricState:
    """The chaining key and the running hash of a handshake, with the operations of section 5.2."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self._digest = HASHES[suite.hash]
        name = suite.name.encode()
        hash_bytes = hashlib.new(self._digest).digest_size
        self.hash = name.ljust(hash_bytes, b"\0") if len(name) <= hash_bytes else self._hashed(name)
        self._chaining_key = self.hash
        self._cipher: CipherState | None = None

    def mix_key(self, material: bytes) -> None:
        """Take ``material`` into the key of what follows."""
        self._chaining_key, key = self._derived(material, 2)
        self._cipher = CipherState(self._suite.cipher, key)

    def mix_hash(self, data: bytes) -> None:
        """Bind what follows to ``data``."""
        self.hash = self._hashed(self.hash + data)

    def mix_key_and_hash(self, material: bytes) -> None:
        """Take ``material`` (a psk) into the key and the hash."""
        self._chaining_key, hashed, key = self._derived(material, 3)
        self.mix_hash(hashed)
        self._cipher = CipherState(self._suite.cipher, key)

    def encrypt_and_hash(self, plaintext: bytes) -> bytes:
        """Seal ``plaintext``, once there is a key, and bind what follows to it."""
        sealed = self._cipher.encrypt(self.hash, plaintext) if self._cipher else plaintext
        self.mix_hash(sealed)
        return sealed

    def decrypt_and_hash(self, sealed: bytes) -> bytes:
        """Undo ``encrypt_and_hash``. Raises AuthenticationFailed."""
        plaintext = self._cipher.decrypt(self.hash, sealed) if self._cipher else sealed
        self.mix_hash(sealed)
        return plaintext

    def split(self) -> "tuple[CipherState, CipherState]":
        """The initiator's cipher and the responder's."""
        forth, back = self._derived(b"", 2)
        return CipherState(self._suite.cipher, forth), CipherState(self._suite.cipher, back)

    def _hashed(self, data: bytes) -> bytes:
        return hashlib.new(self._digest, data).digest()

    def _derived(self, material: bytes, count: int) -> list[bytes]:
        """HKDF of section 4.3: ``count`` outputs of the hash's length."""
        secret = hmac.digest(self._chaining_key, material, self._digest)
        outputs = [b""]
        for number in range(1, count + 1):
            outputs.append(hmac.digest(secret, outputs[-1] + bytes([number]), self._digest))
        return outputs[1:]


class CipherState:
    """A key and the counter of its messages (section 5.1). For one direction; not for two threads at once."""

    __slots__ = ("_aead", "_byteorder", "_counter")

    def __init__(self, cipher: Cipher, key: bytes) -> None:
        aead, self._byteorder = CIPHERS[cipher]
        self._aead = aead(key[:KEY_BYTES])  # a longer hash output is cut, as section 5.2 says
        self._counter = 0

    def encrypt_in_place(self, associated: bytes | memoryview, buffer: memoryview) -> None:
        """Encrypt all of ``buffer`` but its last 16 bytes, which receive the seal."""
        nonce = self._nonce()
        self._aead.encrypt_into(nonce, buffer[:-SEAL_BYTES], associated, buffer)
        self._counter += 1

    def decrypt_in_place(self, associated: bytes | memoryview, buffer: memoryview) -> memoryview:
        """Decrypt ``buffer`` and return the part of it that is plaintext: all but its last 16 bytes.

        Raises AuthenticationFailed; the buffer's content is of no use then.
        """
        nonce = self._nonce()
        plaintext = buffer[:-SEAL_BYTES]
        try:
            self._aead.decrypt_into(nonce, buffer, associated, plaintext)
        except InvalidTag:
            raise AuthenticationFailed(
                "what the peer sent was altered on the way, or sealed with another key; connect again"
            ) from None
        self._counter += 1
        return plaintext

    def encrypt(self, associated: bytes, plaintext: bytes) -> bytes:
        """The ciphertext of a short message with its seal."""
        buffer = bytearray(plaintext) + bytes(SEAL_BYTES)
        self.encrypt_in_place(associated, memoryview(buffer))
        return bytes(buffer)

    def decrypt(self, associated: bytes, sealed: bytes) -> bytes:
        """The plaintext of a short message. Raises AuthenticationFailed."""
        return bytes(self.decrypt_in_place(associated, memoryview(bytearray(sealed))))

    def _nonce(self) -> bytes:
        if self._counter >= COUNTER_END:
            raise AuthenticationFailed("this connection has carried all the frames it may; connect again")
        return bytes(4) + self._counter.to_bytes(8, self._byteorder)


def _shared_secret(private: bytes, public: bytes) -> bytes:
    """X25519 (RFC 7748). libsodium refuses the keys of small order, whose result would be all zero."""
    try:
        return crypto_scalarmult(private, public)
    except CryptoError:
        raise AuthenticationFailed("the peer sent a weak key; it must not be trusted") from None


def _cut(message: bytes, length: int) -> tuple[bytes, bytes]:
    if len(message) < length:
        raise ProtocolViolation("a handshake message is too short")
    return message[:length], message[length:]
