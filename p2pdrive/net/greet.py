"""Running a handshake over a byte stream."""

import trio

from p2pdrive.errors import LinkClosed
from p2pdrive.limits import HANDSHAKE_SECONDS
from p2pdrive.net.stream import ByteStream
from p2pdrive.secure.handshake import Handshake
from p2pdrive.secure.session import Session

_READ_BYTES = 1024  # more than any message of the handshake


async def greet(stream: ByteStream, handshake: Handshake) -> Session:
    """Run ``handshake`` to its end. Closing the stream when it fails is the caller's task.

    The Link is to be given ``handshake.trailing_data``, which arrived behind the handshake.
    Raises AuthenticationFailed, ProtocolViolation, or LinkClosed when the peer goes or takes too long.
    """
    with trio.move_on_after(HANDSHAKE_SECONDS):
        return await _greet(stream, handshake)
    raise LinkClosed(f"the peer did not finish the handshake within {HANDSHAKE_SECONDS} seconds")


async def _greet(stream: ByteStream, handshake: Handshake) -> Session:
    buffer = memoryview(bytearray(_READ_BYTES))
    while True:
        data = handshake.data_to_send()
        if data:
            await stream.send_all(data)
        if handshake.session is not None:
            return handshake.session
        count = await stream.receive_into(buffer)
        if count == 0:
            raise LinkClosed(
                "the peer ended the connection during the handshake; it may not know this invite (any more)"
            )
        handshake.receive_data(buffer[:count])
