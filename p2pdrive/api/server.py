"""Serves a Control as HTTP on a Unix socket, by FastAPI on Hypercorn's trio worker.

Answers are JSON. An error is ``{"error": its name, "message": for a person, "exit_code": of the command}``
with status 400 (the caller's fault), 422 (no such request) or 500.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Annotated, cast

import trio
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from hypercorn.config import Config
from hypercorn.trio import serve as hypercorn_serve
from pydantic import BaseModel, Field
from starlette.types import Send

import p2pdrive
from p2pdrive.api.control import Control, Joined, Member, Shared, Version
from p2pdrive.errors import CallerError, P2PDriveError
from p2pdrive.limits import (
    API_GRACE_SECONDS,
    INVITE_SECONDS_MAX,
    INVITE_USES_MAX,
    PATH_BYTES_MAX,
    STREAM_QUIET_SECONDS,
    STREAM_SECONDS,
)
from p2pdrive.planning.reconcile import Choice

logger = logging.getLogger(__name__)

AbsolutePath = Annotated[str, Field(pattern="^/", max_length=PATH_BYTES_MAX)]


class ShareRequest(BaseModel):
    """POST /share."""

    path: AbsolutePath
    name: str | None = None
    role: str = "editor"
    uses: int = Field(default=1, ge=1, le=INVITE_USES_MAX)
    expires: int = Field(default=24 * 3600, ge=0, le=INVITE_SECONDS_MAX)
    yes: bool = False


class JoinRequest(BaseModel):
    """POST /join."""

    link: str
    path: AbsolutePath
    yes: bool = False


class ChooseRequest(BaseModel):
    """POST /choose."""

    path: AbsolutePath
    choice: Choice


class LeaveRequest(BaseModel):
    """POST /leave."""

    path: AbsolutePath
    forget: bool = False


async def serve(
    control: Control, socket: Path, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serves until cancelled; ``started`` once the socket answers.

    The socket is 0600; one that a killed node left is replaced, and at the end none is left.
    """
    config = Config()
    config.bind = [f"unix:{socket}"]
    config.umask = 0o177
    config.graceful_timeout = API_GRACE_SECONDS
    config.accesslog = None
    config.errorlog = logger.getChild("hypercorn")
    config.errorlog.setLevel(logging.WARNING)  # its "Running on http://..." helps nobody
    config.include_server_header = False
    try:
        async with trio.open_nursery() as nursery:
            await nursery.start(hypercorn_serve, application(control), config)
            task_status.started()
    finally:
        socket.unlink(missing_ok=True)  # noqa: ASYNC240 - one quick call, and at the end


def application(control: Control) -> FastAPI:
    """The ASGI application: one route for each method of ``control``."""
    app = FastAPI(title="p2pdrive", version=p2pdrive.__version__, docs_url=None, redoc_url=None)
    _answer_errors(app)

    @app.get("/status")
    async def status() -> Response:
        return Response((await control.status()).to_json(), media_type="application/json")

    @app.get("/status/stream")
    async def status_stream() -> StreamingResponse:
        return _EventStream(_status_events(control), media_type="text/event-stream")

    @app.post("/share")
    async def share(request: ShareRequest) -> Shared:
        asked = (request.role, request.uses, request.expires, request.yes)
        return await control.share(request.path, request.name, *asked)

    @app.post("/join")
    async def join(request: JoinRequest) -> Joined:
        return await control.join(request.link, request.path, request.yes)

    @app.post("/choose")
    async def choose(request: ChooseRequest) -> None:
        await control.choose(request.path, request.choice)

    @app.post("/leave")
    async def leave(request: LeaveRequest) -> None:
        await control.leave(request.path, request.forget)

    @app.get("/log")
    async def log(path: Annotated[AbsolutePath, Query()]) -> list[Version]:
        return await control.log(path)

    @app.get("/devices")
    async def devices(path: Annotated[AbsolutePath | None, Query()] = None) -> list[Member]:
        return await control.devices(path)

    @app.post("/stop")
    async def stop() -> None:
        await control.stop()

    return app


class _EventStream(StreamingResponse):
    """Closes what it streams when the client goes away."""

    async def stream_response(self, send: Send) -> None:
        async with aclosing(cast("AsyncGenerator[str, None]", self.body_iterator)):
            await super().stream_response(send)


async def _status_events(control: Control) -> AsyncGenerator[str, None]:
    """Server-sent events: the status now, and again whenever it has changed."""
    shown, quiet = "", 0.0
    while True:
        current = (await control.status()).to_json()
        quiet += STREAM_SECONDS
        if current != shown:
            yield f"data: {current}\n\n"
        elif quiet >= STREAM_QUIET_SECONDS:
            yield ":\n\n"
        else:
            await trio.sleep(STREAM_SECONDS)
            continue
        shown, quiet = current, 0.0
        await trio.sleep(STREAM_SECONDS)


def _answer_errors(app: FastAPI) -> None:
    async def expected(_: Request, error: P2PDriveError) -> JSONResponse:
        status = 400 if isinstance(error, CallerError) else 500
        return _error(status, type(error).__name__, str(error), error.exit_code)

    async def malformed(_: Request, error: RequestValidationError) -> JSONResponse:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][1:])
        return _error(422, "BadRequest", f"{where}: {first['msg']}", 2)

    async def unexpected(_: Request, error: Exception) -> JSONResponse:  # Hypercorn logs it
        return _error(500, "Bug", f"The node failed to answer ({error!r}); its log says more.", 1)

    app.exception_handler(P2PDriveError)(expected)
    app.exception_handler(RequestValidationError)(malformed)
    app.exception_handler(Exception)(unexpected)


def _error(status: int, name: str, message: str, exit_code: int) -> JSONResponse:
    return JSONResponse({"error": name, "message": message, "exit_code": exit_code}, status)
