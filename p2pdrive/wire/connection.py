"""Who may say what, and when: this file owns every transition of a connection, as ``TABLE``.

Each end of a connection has a state of its own: GREETING until its Hello, OPEN until its Close, then
CLOSED. A message is allowed if the table has a row for it from its sender's state. A request opens an
exchange that only the answers in its row may continue, until the last of them ends it.
``table()`` gives all of this for the protocol's document.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from typing import Any, TypeAlias

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import (
    BLOCK_BYTES_MAX,
    REASON_BYTES_MAX,
    REQUEST_BLOCKS_MAX,
    REQUEST_BYTES_MAX,
    REQUESTS_OUTSTANDING_MAX,
)
from p2pdrive.wire.fields import fitted
from p2pdrive.wire.messages import (
    Addresses,
    Announce,
    Batches,
    Blocks,
    Close,
    Drives,
    GetBlocks,
    GetManifestPart,
    GetManifests,
    Hello,
    Join,
    Joined,
    ManifestPart,
    Manifests,
    Message,
    Ping,
    Pong,
    Pull,
    Refused,
    decode,
    encode,
    payload_of,
)


class State(Enum):
    """Of one end of a connection."""

    GREETING = "greeting"
    OPEN = "open"
    CLOSED = "closed"


class Priority(IntEnum):
    """What is sent first when several things wait: lower goes before higher."""

    CONTROL = 0
    LOG = 1
    SMALL = 2
    BULK = 3


@dataclass(frozen=True, slots=True)
class Rule:
    """In state ``before`` an end may say ``message``, and is in state ``after`` then.

    A request is answered by ``answers``, which carry the same value in the field ``key``.
    """

    message: type[Any]
    before: State
    after: State
    priority: Priority
    answers: tuple[type[Any], ...] = ()
    key: str = ""


# fmt: off
TABLE = (
    Rule(Hello,           State.GREETING, State.OPEN,   Priority.CONTROL),
    Rule(Close,           State.GREETING, State.CLOSED, Priority.CONTROL),
    Rule(Close,           State.OPEN,     State.CLOSED, Priority.CONTROL),
    Rule(Drives,          State.OPEN,     State.OPEN,   Priority.CONTROL),
    Rule(Addresses,       State.OPEN,     State.OPEN,   Priority.CONTROL),
    Rule(Join,            State.OPEN,     State.OPEN,   Priority.CONTROL, (Joined, Refused), "tag"),
    Rule(Joined,          State.OPEN,     State.OPEN,   Priority.CONTROL),
    Rule(Refused,         State.OPEN,     State.OPEN,   Priority.CONTROL),
    Rule(Ping,            State.OPEN,     State.OPEN,   Priority.CONTROL, (Pong,), "token"),
    Rule(Pong,            State.OPEN,     State.OPEN,   Priority.CONTROL),
    Rule(Announce,        State.OPEN,     State.OPEN,   Priority.LOG),
    Rule(Pull,            State.OPEN,     State.OPEN,   Priority.LOG,     (Batches,), "request"),
    Rule(Batches,         State.OPEN,     State.OPEN,   Priority.LOG),
    Rule(GetManifests,    State.OPEN,     State.OPEN,   Priority.SMALL,   (Manifests,), "request"),
    Rule(Manifests,       State.OPEN,     State.OPEN,   Priority.SMALL),
    Rule(GetManifestPart, State.OPEN,     State.OPEN,   Priority.SMALL,   (ManifestPart,), "request"),
    Rule(ManifestPart,    State.OPEN,     State.OPEN,   Priority.SMALL),
    Rule(GetBlocks,       State.OPEN,     State.OPEN,   Priority.SMALL,   (Blocks,), "request"),
    Rule(Blocks,          State.OPEN,     State.OPEN,   Priority.SMALL),
)
# fmt: on

_RULES = {(rule.message, rule.before): rule for rule in TABLE}
_PRIORITIES = {rule.message: rule.priority for rule in TABLE}
#: The request that each answer belongs to.
_ASKED_BY = {answer: rule for rule in TABLE for answer in rule.answers}

#: The messages that open an exchange.
REQUESTS = frozenset(rule.message for rule in TABLE if rule.answers)

#: What ties answers to their request: the name of the field and its value.
Key: TypeAlias = tuple[str, int | bytes]
#: No peer may be told from us how many bytes it asked for, as a request has only hashes.
_NO_ALLOWANCE = REQUEST_BLOCKS_MAX * BLOCK_BYTES_MAX


@dataclass(slots=True)
class Exchange:
    """A request under way: which of its blocks are not answered, and how many bytes may yet come."""

    request: Message
    unanswered: set[int]
    allowance: int

    def take(self, answer: Message) -> bool:
        """Account for an answer; whether it is the last. Raises ProtocolViolation."""
        self.allowance -= len(payload_of(answer))
        if self.allowance < 0:
            raise ProtocolViolation("an answer has more bytes than were asked for")
        match self.request, answer:
            case GetBlocks(), Blocks():
                return self._take_blocks(answer)
            case GetManifests(roots=roots), Manifests(sizes=sizes) if len(roots) != len(sizes):
                raise ProtocolViolation("Manifests does not answer each root that was asked for")
            case GetManifestPart(offset=offset), ManifestPart(total=total, payload=payload):
                if payload and offset + len(payload) > total:
                    raise ProtocolViolation("ManifestPart goes beyond the manifest's end")
        return True

    def _take_blocks(self, answer: Blocks) -> bool:
        for index in (*(index for index, _ in answer.pieces), *answer.missing):
            if index not in self.unanswered:
                raise ProtocolViolation("Blocks has a block that was not asked for, or one twice")
            self.unanswered.remove(index)
        if answer.done and self.unanswered:
            raise ProtocolViolation("Blocks is done with blocks left out")
        if not (answer.done or answer.pieces or answer.missing):
            raise ProtocolViolation("Blocks says nothing")
        return answer.done


@dataclass(slots=True)
class _End:
    """One end of the connection, as a speaker: its state, and what it has asked for."""

    state: State = State.GREETING
    asked: dict[Key, Exchange] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An event: an answer to the request of ``key``; ``last`` when no more will come for it."""

    key: Key
    message: Message
    last: bool


Event: TypeAlias = Message | Answer


class Connection:
    """Both ends' state, on plaintext frames. What is received is checked, what is sent is asserted."""

    def __init__(self) -> None:
        self._ours = _End()
        self._theirs = _End()
        self._events: deque[Event] = deque()
        self._queues: tuple[deque[bytes], ...] = tuple(deque() for _ in Priority)
        #: Bytes that wait in ``data_to_send``.
        self.queued_bytes = 0
        #: The reason of the peer's Close, once it has said it.
        self.peer_reason: str | None = None

    @property
    def closed(self) -> bool:
        """Whether we have said the last that we will say."""
        return self._ours.state is State.CLOSED

    @property
    def requests_outstanding(self) -> int:
        """How many of our requests await their last answer."""
        return len(self._ours.asked)

    def receive_data(self, plaintext: memoryview) -> None:
        """Take one frame; what it means is in ``events``. Nothing is heard any more after our Close.

        Raises ProtocolViolation, having queued a Close with the reason; the connection is over then.
        """
        if self.closed:
            return
        try:
            message = decode(plaintext)
            answer = _speak(self._theirs, self._ours, message, _NO_ALLOWANCE)
        except ProtocolViolation as violation:
            self.close(str(violation))
            raise
        match message:
            case Ping(token):
                self.send(Pong(token))
            case Close(reason):
                self.peer_reason = reason
            case Pong():
                pass
            case _:
                self._events.append(answer or message)

    def events(self) -> Iterator[Event]:
        """What was received since the last call; Ping, Pong and Close are dealt with here."""
        while self._events:
            yield self._events.popleft()

    def send(self, message: Message, allowance: int = REQUEST_BYTES_MAX) -> None:
        """Queue a message, with its payload.

        ``allowance`` is the bytes of payload that the answers to a request may have in all.
        """
        self.sent(message, allowance)
        data = encode(message) + payload_of(message)
        self._queues[_PRIORITIES[type(message)]].append(data)
        self.queued_bytes += len(data)

    def sent(self, message: Message, allowance: int = REQUEST_BYTES_MAX) -> bool:
        """Account for a message that the caller itself puts into a frame; whether it ends its exchange."""
        try:
            answer = _speak(self._ours, self._theirs, message, allowance)
        except ProtocolViolation as violation:
            raise AssertionError(f"our own mistake: {violation}") from violation
        return answer is not None and answer.last

    def close(self, reason: str) -> None:
        """Queue Close; what waits beyond control messages is dropped. Nothing happens when closed."""
        if self.closed:
            return
        for queue in self._queues[Priority.LOG :]:
            queue.clear()
        self.queued_bytes = sum(map(len, self._queues[Priority.CONTROL]))
        self.send(Close(fitted(reason, REASON_BYTES_MAX)))

    def data_to_send(self) -> bytes:
        """The plaintext of the next frame, by priority and then in order; empty when nothing waits."""
        for queue in self._queues:
            if queue:
                data = queue.popleft()
                self.queued_bytes -= len(data)
                return data
        return b""

    def priority_of_answers(self, request: int) -> Priority:
        """Of the answers to the peer's ``request``, which must be under way."""
        answers = _RULES[type(self._theirs.asked["request", request].request), State.OPEN].answers
        return _PRIORITIES[answers[0]]


def _speak(speaker: _End, listener: _End, message: Message, allowance: int) -> Answer | None:
    """Apply the table to a message. Raises ProtocolViolation; the connection is of no use then."""
    kind = type(message)
    rule = _RULES.get((kind, speaker.state))
    if rule is None:
        raise ProtocolViolation(f"{kind.__name__} may not be said while {speaker.state.value}")
    answer = None
    if kind in _ASKED_BY:
        key = _key(message, _ASKED_BY[kind])
        exchange = listener.asked.get(key)
        if exchange is None or kind not in _RULES[type(exchange.request), State.OPEN].answers:
            raise ProtocolViolation(f"{kind.__name__} answers nothing that was asked")
        answer = Answer(key, message, exchange.take(message))
        if answer.last:
            del listener.asked[key]
    elif rule.answers:
        key = _key(message, rule)
        if key in speaker.asked or len(speaker.asked) >= REQUESTS_OUTSTANDING_MAX:
            raise ProtocolViolation(f"{kind.__name__} is asked twice, or there are too many requests")
        count = len(message.blocks) if isinstance(message, GetBlocks) else 0
        speaker.asked[key] = Exchange(message, set(range(count)), allowance)
    speaker.state = rule.after
    return answer


def _key(message: Message, rule: Rule) -> Key:
    return rule.key, getattr(message, rule.key)


def key_of(request: Message) -> Key:
    """What the answers to ``request`` will carry."""
    return _key(request, _RULES[type(request), State.OPEN])


def table() -> str:
    """The state table as Markdown, for the protocol's document."""
    lines = [
        "| message | from | to | priority | answered by | matched by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for rule in TABLE:
        answers = " or ".join(answer.__name__ for answer in rule.answers)
        cells = (rule.message.__name__, rule.before.value, rule.after.value, rule.priority.name.lower())
        lines.append(f"| {' | '.join(cells)} | {answers} | {rule.key} |")
    return "\n".join(lines) + "\n"
