"""p2pdrive: a drive without a server.

Imports point one way only: a package may import from the packages named before it, never from one
named after it (siblings on one line do not import each other). ``tests/test_layering.py`` keeps it so.
"""

__version__ = "0.1.0"

#: The house, floor by floor, from the ground up. The pure floors import no trio, os, time or random.
FLOORS: tuple[tuple[str, ...], ...] = (
    ("errors", "limits"),
    ("model",),
    ("planning", "wire", "secure"),
    ("index",),
    ("blocks",),
    ("history", "folder"),
    ("net",),
    ("engine",),
    ("api",),
    ("node",),
    ("lab",),
    ("cli",),
)
PURE_FLOORS = ("errors", "limits", "model", "planning", "wire", "secure")
