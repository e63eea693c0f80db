"""A device's identity: an Ed25519 key pair whose public key is the device id (RFC 8032)."""

from collections.abc import Callable

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

DEVICE_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES = 64

#: Gives so many random bytes, fit for keys.
Random = Callable[[int], bytes]


class Identity:
    """An Ed25519 key pair, made from its seed of 32 bytes (the caller checks a seed read from disk)."""

    __slots__ = ("_key", "device")

    def __init__(self, seed: bytes) -> None:
        assert len(seed) == SEED_BYTES
        self._key = SigningKey(seed)
        #: The device id: the public key, 32 bytes.
        self.device: bytes = bytes(self._key.verify_key)

    @classmethod
    def generate(cls, random: Random) -> "Identity":
        """A new identity from 32 random bytes."""
        return cls(random(SEED_BYTES))

    @property
    def seed(self) -> bytes:
        """The secret that the identity is made from, 32 bytes."""
        return bytes(self._key)

    def sign(self, message: bytes) -> bytes:
        """The signature of ``message``, 64 bytes."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"Identity(device={self.device.hex()[:16]}...)"


def verify(device: bytes, signature: bytes, message: bytes) -> bool:
    """Whether ``device`` signed ``message``. Keys and signatures of a wrong length are just not valid."""
    if len(device) != DEVICE_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        VerifyKey(device).verify(message, signature)
    except BadSignatureError:
        return False
    return True
