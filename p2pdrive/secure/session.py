"""A session: the two ciphers that a completed handshake leaves, and what it knows of the peer.

A frame on the wire is ``[4 bytes: length L, big-endian][L bytes: ciphertext and 16 bytes of seal]``.
The associated data are the 4 length bytes; the nonce is Noise's counter, one for each direction, so a
frame lost, repeated or out of order fails like an altered one. Frames are larger than the 65,535 bytes
of a Noise message (Noise section 3), up to ``limits.FRAME_BYTES_MAX``: both ciphers allow it, and
a block then travels in one. The keys serve for the whole connection: 2**32 frames (4 PiB) with one
AES-GCM key leave an attacker's advantage below 2**-32.
"""

from blake3 import blake3

from p2pdrive.limits import FRAME_BYTES_MAX
from p2pdrive.secure.noise import SEAL_BYTES, CipherState

#: Bytes before a frame's ciphertext.
LENGTH_BYTES = 4
#: Bytes of a drive's name on one wire.
TAG_BYTES = 8
TAG_CONTEXT = "p2pdrive drive tag"


class Session:
    """Seals and opens the frames of one connection, in place.

    Any thread may call it, but not two at once for the same direction: frames are numbered.
    """

    __slots__ = ("_receiving", "_sending", "_tag_key", "device", "handshake_hash")

    def __init__(
        self, device: bytes, handshake_hash: bytes, sending: CipherState, receiving: CipherState
    ) -> None:
        #: The device id that the peer has proven, 32 bytes.
        self.device = device
        #: Names this connection; the same on both sides.
        self.handshake_hash = handshake_hash
        self._tag_key = blake3(handshake_hash, derive_key_context=TAG_CONTEXT).digest()
        self._sending = sending
        self._receiving = receiving

    def tag(self, drive: bytes) -> bytes:
        """What names ``drive`` on this connection, 8 bytes: only who knows the drive's id can tell."""
        return blake3(drive, key=self._tag_key).digest(TAG_BYTES)

    def seal(self, frame: bytearray | memoryview) -> None:
        """Turn ``[4 spare bytes][plaintext][16 spare bytes]`` into the frame to send."""
        seal_frame(self._sending, frame)

    def open(self, sealed: memoryview) -> memoryview:
        """The plaintext of the next frame; ``sealed`` is what follows its length, and is overwritten.

        Raises AuthenticationFailed; the connection is of no use then.
        """
        return open_frame(self._receiving, sealed)


def seal_frame(cipher: CipherState, frame: bytearray | memoryview) -> None:
    """Write the length and seal the frame in place."""
    view = memoryview(frame)
    length = len(view) - LENGTH_BYTES
    assert SEAL_BYTES <= length <= FRAME_BYTES_MAX
    view[:LENGTH_BYTES] = length.to_bytes(LENGTH_BYTES, "big")
    cipher.encrypt_in_place(view[:LENGTH_BYTES], view[LENGTH_BYTES:])


def open_frame(cipher: CipherState, sealed: memoryview) -> memoryview:
    """Decrypt what follows the length in place. Raises AuthenticationFailed."""
    return cipher.decrypt_in_place(len(sealed).to_bytes(LENGTH_BYTES, "big"), sealed)
