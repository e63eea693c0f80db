import http.client
import json
import socket as sockets
import stat
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from p2pdrive.api.client import Client
from p2pdrive.api.server import serve
from p2pdrive.engine.status import DriveState, NodeStatus
from p2pdrive.errors import DriveError, InviteMalformed, NodeNotRunning, P2PDriveError
from p2pdrive.limits import INVITE_USES_MAX

Answer = TypeVar("Answer")


async def asked(method: Callable[..., Answer], *arguments: object) -> Answer:
    return await trio.to_thread.run_sync(method, *arguments)


async def raw_answer(socket: Path, request: bytes) -> tuple[int, bytes]:
    """Status and body of the answer to a request that no client of ours would make."""

    def exchange() -> tuple[int, bytes]:
        with sockets.socket(sockets.AF_UNIX) as connection:
            connection.settimeout(10)
            connection.connect(str(socket))
            connection.sendall(request)
            response = http.client.HTTPResponse(connection)
            response.begin()
            return response.status, response.read()

    return await trio.to_thread.run_sync(exchange)


async def test_status_comes_through_whole(socket, control) -> None:
    assert await asked(Client(socket).status) == control.answer


async def test_every_request_reaches_the_node_as_it_was_made(socket, control) -> None:
    client = Client(socket)
    shared = await asked(client.share, "/srv/Photos", "Ünser", "viewer", 3, 0)
    joined = await asked(client.join, shared.link, "/srv/other & more")
    await asked(client.leave, joined.path, True)
    versions = await asked(client.log, "/srv/Photos/a?b=c&d #é")
    everyone = await asked(client.devices, None)
    assert await asked(client.devices, "/srv/Photos") == everyone
    assert [version.readable for version in versions] == [True, False]
    assert [member.own for member in everyone] == [True, False]
    assert control.asked == [
        ("share", "/srv/Photos", "Ünser", "viewer", 3, 0, False),
        ("join", shared.link, "/srv/other & more", False),
        ("leave", "/srv/other & more", True),
        ("log", "/srv/Photos/a?b=c&d #é"),
        ("devices", None),
        ("devices", "/srv/Photos"),
    ]


async def test_stop_is_answered_before_the_end(socket, control) -> None:
    await asked(Client(socket).stop)
    assert control.stopped.is_set()


async def test_errors_arrive_as_what_they_were(socket) -> None:
    with pytest.raises(InviteMalformed, match=r"^That is no invite\.$") as caught:
        await asked(Client(socket).join, "nonsense", "/srv/x")
    assert caught.value.exit_code == 1
    with pytest.raises(DriveError, match="/srv/nowhere is not a folder"):
        await asked(Client(socket).share, "/srv/nowhere", None, "editor", 1, 60)


async def test_wrong_requests_are_refused_before_the_node_hears_of_them(socket, control) -> None:
    with pytest.raises(P2PDriveError, match="path") as caught:
        await asked(Client(socket).share, "relative", None, "editor", 1, 60)
    assert caught.value.exit_code == 2
    for uses in (0, INVITE_USES_MAX + 1):
        with pytest.raises(P2PDriveError, match="uses"):
            await asked(Client(socket).share, "/srv/x", None, "editor", uses, 60)
    assert control.asked == []


async def test_a_bug_in_one_answer_leaves_the_node_answering(socket, control) -> None:
    with pytest.raises(P2PDriveError, match="ZeroDivisionError"):
        await asked(Client(socket).log, "/srv/bug")
    assert await asked(Client(socket).status) == control.answer


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"garbage\r\n\r\n",
        b"POST /share HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\n{",
        b"GET /nothing HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"DELETE /status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    ],
)
async def test_garbage_is_answered_and_survived(socket, control, request_bytes: bytes) -> None:
    status, _ = await raw_answer(socket, request_bytes)
    assert 400 <= status < 500
    assert await asked(Client(socket).status) == control.answer


async def test_stream_tells_every_change(socket, control) -> None:
    async with await trio.open_unix_socket(str(socket)) as stream:
        await stream.send_all(b"GET /status/stream HTTP/1.1\r\nHost: x\r\n\r\n")

        async def next_status() -> NodeStatus:
            data = b""
            while b"\n\n" not in data.partition(b"data: ")[2]:
                data += await stream.receive_some(65536)
            return NodeStatus.from_json(data.partition(b"data: ")[2].partition(b"\n\n")[0])

        with trio.fail_after(10):
            assert await next_status() == control.answer
            syncing = replace(control.answer.drives[0], state=DriveState.SYNCING)
            control.answer = replace(control.answer, drives=(syncing,))
            assert await next_status() == control.answer


async def test_only_the_owner_can_open_the_socket(socket) -> None:
    assert stat.S_IMODE(socket.stat().st_mode) == 0o600


async def test_socket_of_a_killed_node_is_replaced_and_removed_at_the_end(
    control, home_path, nursery
) -> None:
    path = home_path / "control.sock"
    left = sockets.socket(sockets.AF_UNIX)
    left.bind(str(path))
    left.close()
    with pytest.raises(NodeNotRunning):
        await asked(Client(path).status)
    async with trio.open_nursery() as serving:
        await serving.start(partial(serve, control, path))
        assert await asked(Client(path).status) == control.answer
        serving.cancel_scope.cancel()
    assert not path.exists()


async def test_an_open_stream_does_not_hold_up_the_end(control, home_path) -> None:
    path = home_path / "control.sock"
    with trio.fail_after(5):
        async with trio.open_nursery() as serving:
            await serving.start(partial(serve, control, path))
            stream = await trio.open_unix_socket(str(path))
            await stream.send_all(b"GET /status/stream HTTP/1.1\r\nHost: x\r\n\r\n")
            assert (await stream.receive_some(65536)).startswith(b"HTTP/1.1 200")
            serving.cancel_scope.cancel()
    await stream.aclose()


def test_no_node_is_an_error_of_its_own(home_path) -> None:
    with pytest.raises(NodeNotRunning, match="p2pdrive run") as caught:
        Client(home_path / "control.sock").status()
    assert caught.value.exit_code == 4


@given(st.one_of(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps)))
def test_anything_else_than_a_status_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="not a node's status"):
        NodeStatus.from_json(text)


async def test_keys_that_a_newer_node_adds_are_left_out(control) -> None:
    data = json.loads(control.answer.to_json())
    data["new"] = data["node"]["new"] = data["drives"][0]["new"] = data["drives"][0]["peers"][0]["new"] = 1
    assert NodeStatus.from_json(json.dumps(data)) == control.answer
