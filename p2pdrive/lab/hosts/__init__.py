"""Real nodes on one machine, each in a network of its own, in the situations that are hard on a drive.

``run_hosts`` is all of `p2pdrive lab hosts`; ``run.py`` says how it is built.
"""

from p2pdrive.lab.hosts.link import Link, LinkMalformed, parse_link
from p2pdrive.lab.hosts.names import NODES_MAX, NODES_MIN, SCENARIOS, usual_nodes
from p2pdrive.lab.hosts.run import run_hosts

__all__ = [
    "NODES_MAX",
    "NODES_MIN",
    "SCENARIOS",
    "Link",
    "LinkMalformed",
    "parse_link",
    "run_hosts",
    "usual_nodes",
]
