"""A node's home: its key, its settings, the drives it serves, the lock and the control socket.

::

    device.key     32 bytes, the seed of the device's Ed25519 key      0600
    config.json    {"format": 1, "name": ..., "listen": ...}           a person may write it
    drives.json    {"format": 1, "drives": [registration, ...]}
    lock           held (flock) by the process that uses the home; made first
    control.sock   the control API of the running node                 0600

Files are replaced whole: written beside, made durable, renamed. Whoever writes holds the lock. By these names
a home is known where it lies in a drive (``folder/homes.py``).
"""

import dataclasses
import fcntl
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from p2pdrive.errors import FormatTooNew, HomeInUse, NotWritable, Unreadable
from p2pdrive.folder.homes import DRIVES, KEY, KEY_BYTES, LOCK
from p2pdrive.limits import LABEL_BYTES_MAX, SOCKET_PATH_BYTES_MAX
from p2pdrive.planning.reconcile import Choice

FORMAT = 1


@dataclass(frozen=True, slots=True)
class Config:
    """``name`` is what other devices show for this one; ``listen`` is ``host:port``, None for the default."""

    name: str
    listen: str | None = None


@dataclass(frozen=True, slots=True)
class Registration:
    """A folder that this node keeps in sync.

    ``path`` is absolute; ``drive`` the drive's id in hex; ``invite`` the link of a join that is not yet
    finished. ``marks`` holds, for each actor (hex) of the drive, the last known seq and that batch's hash
    (hex), those of this device first of all: a folder that knows less was restored from a backup. ``choice``
    is what a person chose for a folder that was not open then.
    """

    path: str
    drive: str
    paused: bool = False
    invite: str | None = field(default=None, repr=False)
    marks: Mapping[str, tuple[int, str]] = field(default_factory=dict)
    choice: str = Choice.ASK.value


class Home:
    """The folder at ``path``; nothing is made before ``prepare``."""

    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    def prepare(self) -> None:
        """Makes the folder, for this user alone, and the lock, which tells that it is a home: a key that is
        written to it is never alone. Raises NotWritable."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise NotWritable(f"The home {self.path} cannot be made: {error.strerror}.") from error

    def seed(self, random: Callable[[int], bytes]) -> bytes:
        """The seed of the device's key, 32 bytes; drawn from ``random`` the first time.

        Raises Unreadable, NotWritable.
        """
        key = self.path / KEY
        seed = _read(key)
        if seed is None:
            seed = random(KEY_BYTES)
            self._write(KEY, seed)
        if len(seed) != KEY_BYTES:
            raise Unreadable(f"{key} is not {KEY_BYTES} bytes long. Restore it from a backup.")
        return seed

    def key_inode(self) -> int:
        """That of the device's key; 0 where it cannot be told."""
        try:
            return (self.path / KEY).stat().st_ino
        except OSError:
            return 0

    def config(self) -> Config:
        """The person's settings, or the defaults. Raises Unreadable, FormatTooNew."""
        data = self._load("config.json", {"format": FORMAT})
        with _damage(self.path / "config.json"):
            name, listen = data.get("name"), data.get("listen")
            _require(
                name is None or (isinstance(name, str) and name == label(name)), "'name' is no short text"
            )
            _require(listen is None or isinstance(listen, str), "'listen' is no text")
            return Config(name or default_name(), listen)

    def save_config(self, config: Config) -> None:
        """Durable on return. Raises NotWritable."""
        self._save("config.json", dataclasses.asdict(config))

    def registrations(self) -> tuple[Registration, ...]:
        """The drives of this node. Raises Unreadable, FormatTooNew."""
        data = self._load(DRIVES, {"format": FORMAT, "drives": []})
        with _damage(self.path / DRIVES):
            return tuple(_registration(entry) for entry in data["drives"])

    def save_registrations(self, registrations: tuple[Registration, ...]) -> None:
        """Durable on return. Raises NotWritable."""
        self._save(DRIVES, {"drives": [dataclasses.asdict(entry) for entry in registrations]})

    def peers(self) -> dict[str, Any]:
        """What was learnt of other devices (``addressbook``). Raises FormatTooNew."""
        devices = self._load("peers.json", {}).get("devices")
        return devices if isinstance(devices, dict) else {}

    def save_peers(self, devices: dict[str, Any]) -> None:
        """Durable on return. Raises NotWritable."""
        self._save("peers.json", {"devices": devices})

    def port(self) -> int:
        """The port that the node last listened on; 0 for any."""
        port = self._load("port.json", {"port": 0}).get("port")
        return port if isinstance(port, int) and 0 <= port < 65536 else 0

    def save_port(self, port: int) -> None:
        """Durable on return. Raises NotWritable."""
        if port != self.port():
            self._save("port.json", {"port": port})

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held until the block or the process ends. Raises HomeInUse, NotWritable."""
        self.prepare()
        try:
            descriptor = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise NotWritable(f"{self.path / LOCK} cannot be opened: {error.strerror}.") from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise HomeInUse(
                    f"Another p2pdrive node runs on {self.path}. "
                    "Stop it first, or give this one a home of its own with --home."
                ) from error
            yield
        finally:
            os.close(descriptor)

    def socket(self, make: bool = False) -> Path:
        """Where the control socket is; with ``make`` its folder is there afterwards.

        The path of a Unix socket has some 100 bytes. A home with a longer one has its socket below /tmp,
        whatever the environment says (a service and a shell should agree), in a folder of this user alone.
        Raises NotWritable where that folder is another's.
        """
        inside = self.path / "control.sock"
        if len(os.fsencode(inside)) <= SOCKET_PATH_BYTES_MAX:
            if make:
                self.prepare()
            return inside
        digest = hashlib.sha256(os.fsencode(self.path)).hexdigest()[:16]
        folder = Path("/tmp") / f"p2pdrive-{os.getuid()}-{digest}"  # noqa: S108 - checked below
        try:
            if make:
                folder.mkdir(mode=0o700, exist_ok=True)
            found = folder.lstat()
        except FileNotFoundError:
            return folder / "control.sock"
        except OSError as error:
            raise NotWritable(f"{folder} cannot be made: {error.strerror}.") from error
        private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
        if not private or found.st_uid != os.getuid():
            raise NotWritable(f"{folder} is not a folder of this user alone. Remove it, or use another home.")
        return folder / "control.sock"

    def _load(self, name: str, default: dict[str, Any]) -> dict[str, Any]:
        path = self.path / name
        raw = _read(path)
        if raw is None:
            return default
        with _damage(path):
            data = json.loads(raw)
            _require(isinstance(data, dict), "it holds no JSON object")
            written = data.get("format", FORMAT)
            _require(isinstance(written, int), "'format' is no number")
        if written > FORMAT:
            raise FormatTooNew(f"{path} was written by a newer p2pdrive. Update this one.")
        return dict(data)

    def _save(self, name: str, data: dict[str, Any]) -> None:
        self._write(name, json.dumps({"format": FORMAT} | data, indent=2).encode() + b"\n")

    def _write(self, name: str, content: bytes) -> None:
        """Replaces the file as a whole: after a crash it is the old or the new one."""
        self.prepare()
        new = self.path / f"{name}.new"
        try:
            new.unlink(missing_ok=True)
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            new.replace(self.path / name)
            _sync_directory(self.path)
        except OSError as error:
            raise NotWritable(f"{self.path / name} cannot be written: {error.strerror}.") from error


def default_path() -> Path:
    """The home of a person who names none."""
    import platformdirs

    return platformdirs.user_data_path("p2pdrive", appauthor=False)


def default_name() -> str:
    """The first part of this host's name, fit to be shown and to be part of a file's name."""
    return label(os.uname().nodename.split(".")[0]) or "device"


def label(text: str) -> str:
    """``text`` as a display name: printable, no '/', and at most LABEL_BYTES_MAX bytes of UTF-8."""
    printable = "".join(letter for letter in text if letter.isprintable() and letter != "/").strip()
    return printable.encode()[:LABEL_BYTES_MAX].decode(errors="ignore").strip()


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path} cannot be read: {error.strerror}.") from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _registration(entry: Any) -> Registration:
    path, drive, paused, invite = (entry[key] for key in ("path", "drive", "paused", "invite"))
    _require(isinstance(path, str) and os.path.isabs(path), "a 'path' is not absolute")
    _require(_is_hex(drive, 32), "a 'drive' is not 64 hex digits")
    _require(isinstance(paused, bool), "a 'paused' is neither true nor false")
    _require(invite is None or isinstance(invite, str), "an 'invite' is no text")
    marks = {actor: (seq, batch) for actor, (seq, batch) in entry["marks"].items()}
    for actor, (seq, batch) in marks.items():
        sound = _is_hex(actor, 16) and isinstance(seq, int) and seq >= 0 and _is_hex(batch, 32)
        _require(sound, "a mark is not {actor: [seq, hash]}")
    choice = entry.get("choice", Choice.ASK.value)
    _require(choice in [each.value for each in Choice], "a 'choice' is none")
    return Registration(path, drive, paused, invite, marks, choice)


def _is_label(value: Any) -> bool:
    return isinstance(value, str) and value == label(value)


def _is_hex(value: Any, length: int) -> bool:
    """Whether ``value`` is ``length`` bytes in lower-case hex."""
    return isinstance(value, str) and len(value) == 2 * length and set(value) <= set("0123456789abcdef")


def _require(sound: bool, why: str) -> None:
    if not sound:
        raise ValueError(why)


@contextmanager
def _damage(path: Path) -> Iterator[None]:
    """Turns whatever reading a damaged file raises into one error that names the file."""
    try:
        yield
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else str(error)
        raise Unreadable(
            f"{path} is damaged ({why}). Correct it, restore it from a backup, or move it away to start anew."
        ) from error
