"""Is a text valid Unicode? The one thing that is refused; everything else is carried through, some of it with care."""

from __future__ import annotations

import re

import regex

from pipelines.errors import InvalidTextError

SURROGATE = re.compile("[\ud800-\udfff]")
MAX_MARKS = 30
"""No language has more on one character (the stream-safe format of UAX 15)."""
TOO_MANY_MARKS = regex.compile(rf"\p{{M}}{{{MAX_MARKS + 1}}}")
"""What is not to be normalised: to sort marks takes their number squared."""


def check_text(text: str, field: str, entry: str | None = None) -> None:
    """Refuse a text that cannot be encoded as UTF-8.

    Args:
        text: Any.
        field: The request's field that it came from.
        entry: Which entry of the field it is in, where the field has several.

    Raises:
        InvalidTextError: The text holds a lone surrogate; the message says where.
    """
    found = SURROGATE.search(text)
    if found is not None:
        surrogate = f"U+{ord(found.group()):04X} at character {found.start()}"
        place = field if entry is None else f"{field}: the entry {entry!r}"
        raise InvalidTextError(f"{place} is not valid Unicode: it has a lone surrogate {surrogate}", field=field)
