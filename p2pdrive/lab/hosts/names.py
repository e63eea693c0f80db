"""The scenarios by name; ``scenarios.py`` plays them."""

#: Name → one line of help.
SCENARIOS = {
    "join-storm": "All others join one host at the same moment, some with files of their own.",
    "sleep": "A laptop sleeps again and again, in the middle of whatever it does.",
    "split-brain": "The network falls in two; people edit the same files on both sides.",
    "kill": "A node is killed (-9) every few seconds, while people write on all hosts.",
    "slow-link": "One host hangs on a slow and lossy line.",
    "disk-full": "One host's disk has no room left, then has room again.",
    "swarm": "All others receive large files from one host at once.",
}
NODES_MIN = 2
#: Each is a process of some 80 MB, and a host in a network of at most 254.
NODES_MAX = 64

#: Those that cannot be played on the loopback ground.
ISOLATED_ONLY = {"disk-full"}

_USUAL_NODES = {"join-storm": 6, "split-brain": 4, "swarm": 9}


def usual_nodes(scenario: str) -> int:
    """The hosts that a scenario has if nobody says how many."""
    return _USUAL_NODES.get(scenario, 3)
