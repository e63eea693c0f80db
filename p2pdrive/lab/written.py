"""What was written: every content and link that there ever was, and where each came to and was taken away."""

from p2pdrive.folder.ignore import Ignore
from p2pdrive.lab.evidence import ignore_of, root_of
from p2pdrive.lab.stories import Place, Removal, Story
from p2pdrive.model.paths import IGNORE_FILE


class Written:
    """Contents are known by their bytes; a link by its target."""

    def __init__(self) -> None:
        self.stories: dict[bytes, Story] = {}
        self.places: dict[tuple[str, bytes], Place] = {}
        self.targets: set[str] = set()  # of all links that persons made
        self.secrets: set[bytes] = set()  # keys of nodes in their homes
        self._rules = [Ignore()]  # the built-in ones, and all that were ever written

    def story(self, data: bytes, where: str) -> Story:
        """That of ``data``, which begins at ``where`` if it is new."""
        return self.stories.setdefault(data, Story(data, where))

    def place(self, path: str, data: bytes) -> Place:
        """What happened to ``data`` at ``path``."""
        return self.places.setdefault((path, data), Place())

    def came_to(self, path: str, data: bytes) -> bool:
        """Whether it ever came there."""
        return bool(self.places.get((path, data), Place()).arrivals)

    def arrive(self, path: str, data: bytes, number: int) -> None:
        """It came there, as event ``number``."""
        self.place(path, data).arrivals.append(number)
        if path == IGNORE_FILE:
            self._rules.append(ignore_of({path: ("file", data)}))

    def remove(self, path: str, data: bytes, machine: str, number: int) -> None:
        """A person took it away there."""
        self.place(path, data).removals.append(Removal(machine, number))

    def forgive(self, data: bytes, number: int, why: str) -> None:
        """It may be gone from event ``number`` on."""
        story = self.stories.get(data)
        if story is not None:
            story.forgiven, story.why = number, why

    # --- for checkers

    def is_known(self, data: bytes) -> bool:
        """Whether a person wrote this, or a fault made it of what a person wrote."""
        return data in self.stories

    def roots(self) -> set[bytes]:
        """What records call the contents that are known."""
        return {root_of(data) for data in self.stories}

    def was_ignored(self, path: str) -> bool:
        """Whether any ignore rules that there ever were hid ``path``: what is done there may go unnoticed."""
        return any(rules.ignored(path, False) or rules.ignored(path, True) for rules in self._rules)
