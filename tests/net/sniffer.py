"""Writes every frame that this host's eth0 sees as a line of hex, until it is ended."""

import socket
import sys

ALL_PROTOCOLS = 3  # ETH_P_ALL

with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ALL_PROTOCOLS)) as packets:
    packets.bind(("eth0", ALL_PROTOCOLS))
    sys.stdout.write("ready\n")
    while True:
        sys.stdout.flush()
        sys.stdout.write(packets.recv(65535).hex() + "\n")
