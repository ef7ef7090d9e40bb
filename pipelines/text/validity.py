"""Is a text valid Unicode? The one thing that is refused; everything else is carried through."""

from __future__ import annotations

import re

from pipelines.errors import InvalidTextError

_SURROGATE = re.compile("[\ud800-\udfff]")


def check_text(text: str, field: str) -> None:
    """Refuse a text that cannot be encoded as UTF-8.

    Raises:
        InvalidTextError: The text holds a lone surrogate; the message says where.
    """
    found = _SURROGATE.search(text)
    if found is not None:
        surrogate = f"U+{ord(found.group()):04X} at character {found.start()}"
        raise InvalidTextError(f"{field} is no valid Unicode: it has a lone surrogate {surrogate}", field=field)
