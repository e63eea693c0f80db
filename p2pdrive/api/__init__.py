"""The HTTP control API of a running node, over a Unix socket that only its owner can open."""
