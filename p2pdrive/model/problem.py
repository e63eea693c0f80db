"""Problems: what a person should know about a path, as a value and not an exception."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Problem:
    """Something about ``path`` that keeps it from being synced.

    ``path`` is shown to people; a name that is not UTF-8 appears with its bytes escaped.
    ``what`` says what is wrong and what to do next.
    """

    path: str
    what: str
