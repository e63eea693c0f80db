import pytest
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.errors import ProtocolViolation
from p2pdrive.limits import REQUESTS_OUTSTANDING_MAX
from p2pdrive.wire.connection import REQUESTS, TABLE, Answer, Connection, Event, Priority, State, table
from p2pdrive.wire.messages import (
    TYPES,
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

TAG, ACTOR, HASH = b"T" * 8, b"A" * 16, b"H" * 32
HELLO = Hello(1, "anna-laptop", "p2pdrive 0.1.0", 22067, ())


def pump(*ends: Connection) -> list[list[Event]]:
    """Carry all that waits between two live ends; what each has heard."""
    heard: list[list[Event]] = [[], []]
    moved = True
    while moved:
        moved = False
        for number, sender in enumerate(ends):
            while data := sender.data_to_send():
                ends[1 - number].receive_data(memoryview(bytearray(data)))
                moved = True
            heard[1 - number] += ends[1 - number].events()
    return heard


def opened() -> tuple[Connection, Connection]:
    ends = Connection(), Connection()
    for end in ends:
        end.send(HELLO)
    assert pump(*ends) == [[HELLO], [HELLO]]
    return ends


def say(end: Connection, message: Message) -> None:
    """Hand ``end`` a message as a peer that knows no rules would."""
    end.receive_data(memoryview(bytearray(encode(message) + payload_of(message))))


def waiting(end: Connection) -> list[Message]:
    found = []
    while data := end.data_to_send():
        found.append(decode(memoryview(data)))
    return found


def test_every_message_has_a_row() -> None:
    assert {rule.message for rule in TABLE} == set(TYPES.values())


def test_the_document_has_every_row() -> None:
    rows = table().splitlines()
    assert len(rows) == len(TABLE) + 2
    assert "| GetBlocks | open | open | small | Blocks | request |" in rows


@pytest.mark.parametrize(
    "message", [Drives((TAG,)), Ping(1), Pong(1), Pull(TAG, 1, ()), Batches(1, False, ())], ids=str
)
def test_nothing_is_said_before_hello(message: Message) -> None:
    with pytest.raises(ProtocolViolation, match="greeting"):
        say(Connection(), message)


def test_a_second_hello_is_refused() -> None:
    end, _ = opened()
    with pytest.raises(ProtocolViolation, match="Hello"):
        say(end, HELLO)


def test_nothing_is_said_after_close() -> None:
    end, _ = opened()
    say(end, Close("going"))
    with pytest.raises(ProtocolViolation, match="closed"):
        say(end, Drives(()))


@given(st.binary(max_size=100))
def test_arbitrary_bytes_are_taken_or_a_violation_that_the_peer_is_told(data: bytes) -> None:
    end, _ = opened()
    why = None
    try:
        end.receive_data(memoryview(bytearray(data)))
    except ProtocolViolation as violation:
        why = str(violation)
    assert end.closed == (why is not None)
    if why is not None:
        assert waiting(end) == [Close(why)]


def test_after_a_violation_nothing_more_is_heard_or_said() -> None:
    end, _ = opened()
    end.send(Announce(TAG, (), True, True))
    with pytest.raises(ProtocolViolation):
        say(end, Pong(3))
    say(end, Drives(()))
    assert list(end.events()) == []
    assert [type(message) for message in waiting(end)] == [Close]
    with pytest.raises(AssertionError):
        end.send(Drives(()))


EXCHANGES: list[tuple[Message, Message]] = [
    (Join(TAG, "anna", bytes(64), bytes(32)), Joined(TAG, b"genesis")),
    (Join(TAG, "anna", bytes(64), bytes(32)), Refused(TAG, "used up")),
    (Pull(TAG, 9, ((ACTOR, 3),)), Batches(9, False, (3,), b"abc")),
    (GetManifests(TAG, 9, (HASH, HASH)), Manifests(9, (-1, 2), b"ab")),
    (GetManifestPart(TAG, 9, HASH, 4), ManifestPart(9, 8, b"abcd")),
    (GetBlocks(TAG, 9, (HASH, HASH)), Blocks(9, ((1, 2),), (0,), True, b"ab")),
]


@pytest.mark.parametrize(("request_", "answer"), EXCHANGES, ids=str)
def test_a_request_is_answered_once(request_: Message, answer: Message) -> None:
    asker, answerer = opened()
    asker.send(request_)
    assert pump(asker, answerer) == [[], [request_]]
    answerer.send(answer)
    ((event,), _) = pump(asker, answerer)
    assert isinstance(event, Answer)
    assert (event.message, event.last) == (answer, True)
    assert asker.requests_outstanding == 0
    with pytest.raises(ProtocolViolation, match="nothing that was asked"):
        say(asker, answer)


@pytest.mark.parametrize("answer", [answer for _, answer in EXCHANGES], ids=str)
def test_an_answer_to_another_kind_of_request_is_refused(answer: Message) -> None:
    for request, right in EXCHANGES:
        if type(right) is type(answer) or (
            isinstance(request, Join) and isinstance(answer, Joined | Refused)
        ):
            continue
        asker, _ = opened()
        asker.send(request)
        with pytest.raises(ProtocolViolation, match="nothing that was asked"):
            say(asker, answer)


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        ([Blocks(1, ((2, 1),), (), True, b"a")], "not asked for"),
        ([Blocks(1, ((0, 1), (0, 1)), (), False, b"aa")], "twice"),
        ([Blocks(1, ((0, 1),), (), False, b"a"), Blocks(1, (), (0,), False)], "twice"),
        ([Blocks(1, ((0, 1),), (), True, b"a")], "left out"),
        ([Blocks(1, (), (), False)], "says nothing"),
        (
            [Blocks(1, ((0, 5),), (), False, b"12345"), Blocks(1, ((1, 6),), (), True, b"123456")],
            "more bytes",
        ),
    ],
)
def test_blocks_that_were_not_asked_for_are_refused(answers: list[Blocks], why: str) -> None:
    asker, _ = opened()
    asker.send(GetBlocks(TAG, 1, (HASH, HASH)), allowance=10)
    *good, bad = answers
    for answer in good:
        say(asker, answer)
    with pytest.raises(ProtocolViolation, match=why):
        say(asker, bad)


@pytest.mark.parametrize(
    ("request_", "answer"),
    [
        (GetManifests(TAG, 1, (HASH, HASH)), Manifests(1, (-1,))),
        (GetManifestPart(TAG, 1, HASH, 4), ManifestPart(1, 7, b"abcd")),
    ],
)
def test_an_answer_of_another_extent_is_refused(request_: Message, answer: Message) -> None:
    asker, _ = opened()
    asker.send(request_)
    with pytest.raises(ProtocolViolation, match="Manifest"):
        say(asker, answer)


def test_blocks_may_come_in_several_answers() -> None:
    asker, answerer = opened()
    asker.send(GetBlocks(TAG, 1, (HASH, HASH, HASH)))
    pump(asker, answerer)
    answers = [Blocks(1, ((2, 1),), (0,), False, b"c"), Blocks(1, ((1, 1),), (), True, b"b")]
    for answer in answers:
        answerer.send(answer)
    events, _ = pump(asker, answerer)
    assert events == [Answer(("request", 1), answers[0], False), Answer(("request", 1), answers[1], True)]


def test_too_many_requests_are_refused() -> None:
    end, _ = opened()
    for number in range(REQUESTS_OUTSTANDING_MAX):
        say(end, Pull(TAG, number, ()))
    with pytest.raises(ProtocolViolation, match="too many"):
        say(end, Pull(TAG, REQUESTS_OUTSTANDING_MAX, ()))


def test_a_number_asked_twice_is_refused() -> None:
    end, _ = opened()
    say(end, Pull(TAG, 1, ()))
    with pytest.raises(ProtocolViolation, match="twice"):
        say(end, GetManifests(TAG, 1, ()))


def test_a_number_may_be_used_again_once_answered() -> None:
    asker, answerer = opened()
    for _ in range(2):
        asker.send(Pull(TAG, 1, ()))
        pump(asker, answerer)
        answerer.send(Batches(1, False, ()))
        pump(asker, answerer)
    assert asker.requests_outstanding == 0


def test_answering_what_was_not_asked_is_our_own_mistake() -> None:
    end, _ = opened()
    with pytest.raises(AssertionError, match="our own mistake"):
        end.send(Batches(1, False, ()))


def test_ping_is_answered_with_its_token() -> None:
    end, other = opened()
    end.send(Ping(77))
    assert pump(end, other) == [[], []]
    assert end.requests_outstanding == 0


def test_what_waits_leaves_by_priority_and_then_in_order() -> None:
    end, _ = opened()
    said: list[Message] = [
        GetBlocks(TAG, 1, (HASH,)),
        Announce(TAG, (), False, False),
        Pull(TAG, 2, ()),
        Drives((TAG,)),
        Ping(1),
    ]
    for message in said:
        end.send(message)
    assert waiting(end) == [said[3], said[4], said[1], said[2], said[0]]
    assert end.queued_bytes == 0


def test_close_leaves_after_control_messages_and_drops_the_rest() -> None:
    end, _ = opened()
    end.send(Announce(TAG, (), True, True))
    end.send(Drives((TAG,)))
    end.close("stopping\x1b[2J" + "!" * 2000)
    end.close("again")
    drives, close = waiting(end)
    assert drives == Drives((TAG,))
    assert isinstance(close, Close)
    assert close.reason.startswith("stopping [2J!!")


def test_a_close_may_come_instead_of_hello() -> None:
    end = Connection()
    say(end, Close("no more room"))
    assert end.peer_reason == "no more room"


def test_answers_have_the_priority_of_their_row() -> None:
    end, _ = opened()
    say(end, Pull(TAG, 1, ()))
    say(end, GetBlocks(TAG, 2, ()))
    assert (end.priority_of_answers(1), end.priority_of_answers(2)) == (Priority.LOG, Priority.SMALL)


def test_requests_are_the_rows_with_answers() -> None:
    assert {Join, Ping, Pull, GetManifests, GetManifestPart, GetBlocks} == REQUESTS
    assert all(rule.before is State.OPEN for rule in TABLE if rule.answers)
