"""What a drive and the watch over its folder tell each other."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum


class Cause(Enum):
    """Why directories are looked through now and then, beside being watched or instead."""

    WATCHES = "fs.inotify.max_user_watches"
    INSTANCES = "fs.inotify.max_user_instances"
    FAILED = "failed"
    SHARED = "shared"


#: What is enough for most; the kernel takes some 1 KiB for each watch that is used.
_ENOUGH = {Cause.WATCHES: 524_288, Cause.INSTANCES: 1024}


@dataclass(frozen=True, slots=True)
class Polled:
    """``directories`` are looked through every ``seconds`` or so, for these causes."""

    directories: int = 0
    seconds: float = 0.0
    causes: frozenset[Cause] = frozenset()

    def words(self) -> str:
        """For a person: how much, how late changes there are noticed, what mends it; empty for nothing."""
        if not self.directories:
            return ""
        many = f"{self.directories:,} folder" + ("" if self.directories == 1 else "s")
        seconds = max(1, round(self.seconds))
        limits = [each for each in _ENOUGH if each in self.causes]
        if limits:
            settings = " ".join(f"{each.value}={_ENOUGH[each]}" for each in limits)
            return (
                f"{many} cannot be watched, as this account may watch no more: changes there are noticed "
                f"within {seconds} s. `sudo sysctl {settings}` mends that, with no restart"
            )
        if Cause.SHARED in self.causes:
            return f"{many} on a network disk: what other machines change is noticed within {seconds} s"
        return f"{many} cannot be watched: changes there are noticed within {seconds} s"


def _nothing(_path: str) -> bool:
    return False


@dataclass(slots=True)
class Outlook:
    """``ignored`` says of a directory whether it need not be watched; ``polled`` is what cannot be.

    ``rules_changed`` is called when ``ignored`` may say something else. Not from other threads.
    """

    ignored: Callable[[str], bool] = _nothing
    polled: Polled = Polled()
    stale: bool = False
    interrupt: Callable[[], None] = field(default=lambda: None)

    def rules_changed(self) -> None:
        """Watch what is not ignored any more, and let go of what is now."""
        self.stale = True
        self.interrupt()
