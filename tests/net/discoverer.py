"""A tiny node for test_discovery.py: announces drives by mDNS and writes what it finds as lines of JSON.

Arguments: port, then ids of drives in hex. A line on stdin names a new set of drives. SIGTERM ends it.
"""

import json
import os
import signal
import sys

import trio

from p2pdrive.net.mdns import MdnsDiscovery


def say(**event: object) -> None:
    """One line on stdout."""
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


async def main() -> None:
    """Run until SIGTERM."""
    port, drives = int(sys.argv[1]), [bytes.fromhex(each) for each in sys.argv[2:]]
    discovery = MdnsDiscovery(lambda: drives, port, os.urandom, poll_seconds=0.2)
    with trio.open_signal_receiver(signal.SIGTERM) as signals:
        async with discovery, trio.open_nursery() as nursery:
            say(event="started")
            nursery.start_soon(tell, discovery)
            nursery.start_soon(obey, discovery, drives)
            async for _ in signals:
                nursery.cancel_scope.cancel()
                break
        say(event="stopped", known=len(discovery.known()))


async def tell(discovery: MdnsDiscovery) -> None:
    """Write each Found."""
    async for found in discovery:
        drives = sorted(drive.hex() for drive in found.drives)
        say(event="found", instance=found.instance, addresses=found.addresses, drives=drives)


async def obey(discovery: MdnsDiscovery, drives: list[bytes]) -> None:
    """Take new sets of drives from stdin; ``?`` asks who is known."""
    async with trio.lowlevel.FdStream(os.dup(0)) as stdin:
        text = b""
        async for data in stdin:
            text += data
            while b"\n" in text:
                line, _, text = text.partition(b"\n")
                if line == b"?":
                    known = sorted(address for found in discovery.known() for address in found.addresses)
                    say(event="known", addresses=known, problem=discovery.problem)
                    continue
                drives[:] = [bytes.fromhex(each.decode()) for each in line.split()]
                discovery.update()


if __name__ == "__main__":
    trio.run(main)
