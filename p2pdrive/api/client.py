"""Talks to the node that runs on a home; synchronous and light, for commands that should be quick."""

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from p2pdrive import errors
from p2pdrive.api.control import Joined, Member, Shared, Version
from p2pdrive.engine.status import NodeStatus
from p2pdrive.errors import NodeNotRunning, P2PDriveError
from p2pdrive.limits import API_TIMEOUT_SECONDS


class Client:
    """The methods of Control, asked over the node's control socket.

    Every method raises NodeNotRunning where none runs, and the error that the node gave.
    """

    def __init__(self, path: Path, timeout: float = API_TIMEOUT_SECONDS) -> None:
        self._path = path
        self._timeout = timeout

    def status(self) -> NodeStatus:
        """The node and its drives as they are now."""
        answer = self._ask("GET", "/status")
        with _understood():
            return NodeStatus.from_json(answer)

    def share(
        self, path: str, name: str | None, role: str, uses: int, expires: int, yes: bool = False
    ) -> Shared:
        """Makes the folder a drive if it is none, and an invite to it."""
        body = {"path": path, "name": name, "role": role, "uses": uses, "expires": expires, "yes": yes}
        answer = self._ask("POST", "/share", body)
        with _understood():
            return Shared(**json.loads(answer))

    def join(self, link: str, path: str, yes: bool = False) -> Joined:
        """Registers the folder as the invite's drive."""
        answer = self._ask("POST", "/join", {"link": link, "path": path, "yes": yes})
        with _understood():
            return Joined(**json.loads(answer))

    def choose(self, path: str, choice: str) -> None:
        """What becomes of files that were deleted elsewhere since the folder was copied or left."""
        self._ask("POST", "/choose", {"path": path, "choice": choice})

    def leave(self, path: str, forget: bool) -> None:
        """Stops syncing the drive at ``path``."""
        self._ask("POST", "/leave", {"path": path, "forget": forget})

    def log(self, path: str) -> list[Version]:
        """The versions of one path, newest first."""
        answer = self._ask("GET", "/log?" + urlencode({"path": path}))
        with _understood():
            return [Version(**version) for version in json.loads(answer)]

    def devices(self, path: str | None) -> list[Member]:
        """The members of the drive at ``path``, or of all drives."""
        answer = self._ask("GET", "/devices" + ("?" + urlencode({"path": path}) if path else ""))
        with _understood():
            return [Member(**member) for member in json.loads(answer)]

    def stop(self) -> None:
        """Asks the node to end."""
        self._ask("POST", "/stop")

    def _ask(self, method: str, target: str, body: dict[str, Any] | None = None) -> bytes:
        connection = _UnixConnection(self._path, self._timeout)
        try:
            content = None if body is None else json.dumps(body)
            connection.request(method, target, content, {"Content-Type": "application/json"})
            response = connection.getresponse()
            answer = response.read()
        except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError) as error:
            raise NodeNotRunning(
                "No p2pdrive node runs here. Start it with `p2pdrive run`, or name its home with --home."
            ) from error
        except TimeoutError as error:
            raise P2PDriveError(f"The node did not answer within {self._timeout:g} s.") from error
        except (OSError, HTTPException) as error:
            raise P2PDriveError(f"The connection to the node at {self._path} failed: {error!r}.") from error
        finally:
            connection.close()
        if response.status != 200:
            raise _error(answer)
        return answer


class _UnixConnection(HTTPConnection):
    def __init__(self, path: Path, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


@contextmanager
def _understood() -> Iterator[None]:
    """Around reading an answer: a node of another version may give one that we do not know."""
    try:
        yield
    except (ValueError, KeyError, TypeError) as error:
        raise P2PDriveError("The node is of another version than this command. Restart the node.") from error


def _error(answer: bytes) -> P2PDriveError:
    """The error that the node answered with, as the class of that name."""
    with _understood():
        told = json.loads(answer)
        name, message, exit_code = str(told["error"]), str(told["message"]), int(told["exit_code"])
    kind = getattr(errors, name, None)
    if not (isinstance(kind, type) and issubclass(kind, P2PDriveError)):
        kind = P2PDriveError
    error = kind(message)
    error.exit_code = exit_code
    return error
