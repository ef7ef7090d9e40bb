"""JSON pointers (RFC 6901) that choose values of a document; `*` stands for any key or index."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pipelines.errors import UnsupportedOptionError

_POINTER = re.compile(r"(?:/(?:[^~/]|~[01])*)*")


class Pointers:
    """Pointers of values, each with all that is inside it.

    Args:
        pointers: See the module.
        field: The request's field that they came from, for the error.

    Raises:
        UnsupportedOptionError: One of them is not a pointer.
    """

    def __init__(self, pointers: Sequence[str], field: str) -> None:
        check_pointers(pointers, field)
        self._steps = {
            pointer: tuple(step.replace("~1", "/").replace("~0", "~") for step in pointer.split("/")[1:])
            for pointer in pointers
        }
        self._unmatched = dict.fromkeys(pointers)

    def cover(self, path: Sequence[str]) -> bool:
        """Whether one of them names the value at a path, or something around it."""
        covering = [pointer for pointer, steps in self._steps.items() if _leads_to(steps, path)]
        for pointer in covering:
            self._unmatched.pop(pointer, None)
        return bool(covering)

    def unmatched(self) -> list[str]:
        """Those that covered no path so far."""
        return list(self._unmatched)


def check_pointers(pointers: Sequence[str], field: str) -> None:
    """Refuse what is no pointer.

    Raises:
        UnsupportedOptionError: The message names the field and the value.
    """
    for pointer in pointers:
        if not _POINTER.fullmatch(pointer):
            raise UnsupportedOptionError(
                f"{field}: {pointer!r} is not a JSON pointer; one begins with '/', such as /items/0/text, and writes a "
                "key's '/' as ~1, its '~' as ~0",
                field=field,
            )


def _leads_to(steps: Sequence[str], path: Sequence[str]) -> bool:
    return len(steps) <= len(path) and all(step in ("*", own) for step, own in zip(steps, path, strict=False))
