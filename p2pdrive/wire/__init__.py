"""The protocol without I/O: fields and messages, framing, and the connection's state table.

``messages`` says what the words of the protocol are, ``framing`` splits a byte stream into sealed
frames, ``connection`` owns who may say what and when. Bytes are moved by ``p2pdrive.net.link``.
"""
