"""What the command and its stage say to each other: an order, and events, one line of JSON each."""

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be played; ``isolated``: the stage is in namespaces of its own."""

    base: str
    nodes: int
    link: str
    scenario: str
    seconds: float
    isolated: bool

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The value that ``to_json`` gave."""
        return cls(**json.loads(text))


@dataclass(frozen=True, slots=True)
class HostLook:
    """One host at one moment. ``memory`` is the most that a node of it ever had, in bytes.

    ``received``: name of another host → bytes that came from it, over all of its connections.
    """

    name: str
    address: str
    process: str
    drive: str
    files: int
    conflicts: int
    problems: int
    connected: int
    memory: int
    received: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Event:
    """Something that the stage tells: words, or how all hosts are, or how it ended."""

    seconds: float
    say: str | None = None
    bad: bool = False
    hosts: tuple[HostLook, ...] | None = None
    code: int | None = None

    def to_json(self) -> str:
        """On one line."""
        return json.dumps(dataclasses.asdict(self))


def understood(data: dict[str, Any]) -> Event:
    """The event that ``to_json`` gave."""
    hosts = data.pop("hosts")
    return Event(**data, hosts=None if hosts is None else tuple(HostLook(**host) for host in hosts))
