"""What the parser (pulldown-cmark, by `pyromark`) finds in a Markdown document, at positions of characters.

Knows where the parser and GitHub differ: metadata, and formulas.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pyromark

_OPTIONS = (
    pyromark.Options.ENABLE_TABLES
    | pyromark.Options.ENABLE_STRIKETHROUGH
    | pyromark.Options.ENABLE_TASKLISTS
    | pyromark.Options.ENABLE_FOOTNOTES
    | pyromark.Options.ENABLE_MATH
    | pyromark.Options.ENABLE_HEADING_ATTRIBUTES
    | pyromark.Options.ENABLE_GFM  # alerts (`> [!NOTE]`)
)
_METADATA_OPTIONS = (
    pyromark.Options.ENABLE_YAML_STYLE_METADATA_BLOCKS | pyromark.Options.ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS
)
# Between two of these a dollar sign neither begins nor ends a formula (`US$5`).
_MONEY = re.compile(r"(?<=[A-Za-z0-9])\$(?=[A-Za-z0-9])")
_NO_MARKUP = re.compile(r"[^\r\n\\`*_\[\]<>&]*")


class MarkdownEvents:
    """The events of a document.

    Attributes:
        metadata_end: The character behind the metadata at the beginning of the document, 0 if it has none.
    """

    def __init__(self, text: str) -> None:
        # UTF-8 only; a lone surrogate has the length of its stand-in.
        self._source = _MONEY.sub(",", text.encode("utf-8", "replace").decode())
        self._text = text
        self._to_char = _char_positions(text)
        self._metadata_bytes = _metadata_bytes(self._source)
        self.metadata_end = self._to_char[self._metadata_bytes]

    def __iter__(self) -> Iterator[tuple[str, Any, int, int]]:
        """Behind the metadata: of each event the kind, the value, and where it starts and ends.

        The value of a text is None if the document has it as it is.
        """
        source = self._source[self.metadata_end :]
        for event, place in pyromark.Markdown(options=_OPTIONS).events_with_range(source):
            start = self._to_char[self._metadata_bytes + place["start"]]
            end = self._to_char[self._metadata_bytes + place["end"]]
            kind, value = next(iter(event.items())) if isinstance(event, dict) else (event, None)
            if kind == "InlineMath" and self._is_money(start, end):
                yield "Text", None, start, end
            else:
                is_bare = kind == "Text" and value == self._source[start:end]
                yield str(kind), None if is_bare else value, start, end

    def _is_money(self, start: int, end: int) -> bool:
        """Whether what the parser takes for a formula is text with two dollar signs (`$5-$10`)."""
        around = self._text[max(0, start - 1) : start] + self._text[end : end + 1]
        touches = any(char.isascii() and char.isalnum() for char in around)
        return touches and _NO_MARKUP.fullmatch(self._text, start, end) is not None


def _metadata_bytes(source: str) -> int:
    # Anywhere but at the beginning its lines are rules around language.
    if not source.startswith(("---", "+++")):
        return 0
    event, place = next(iter(pyromark.Markdown(options=_METADATA_OPTIONS).events_with_range(source)))
    is_metadata = isinstance(event, dict) and "MetadataBlock" in str(event.get("Start"))
    return int(place["end"]) if is_metadata else 0


def _char_positions(text: str) -> dict[int, int]:
    """The character of each byte at which one begins."""
    positions = {}
    byte = 0
    for place, char in enumerate(text):
        positions[byte] = place
        code = ord(char)
        # A lone surrogate is replaced by one question mark.
        byte += 1 if code < 0x80 or 0xD800 <= code < 0xE000 else 2 if code < 0x800 else 3 if code < 0x10000 else 4
    positions[byte] = len(text)
    return positions
