"""Plain text: all of it is language; a blank line ends a paragraph."""

from __future__ import annotations

import regex

from pipelines.text.markup.build import Part
from pipelines.text.passage import Passage

_BLANK_LINES = regex.compile(r"(?:\r\n?|[\n\u2028\u2029])\s*?(?:\r\n?|[\n\u2028\u2029])\s*")


def read_plain(text: str) -> list[Part]:
    """Cut a text into paragraphs and what is between them."""
    parts: list[Part] = []
    position = 0
    for blank in _BLANK_LINES.finditer(text):
        parts += [Passage(text[position : blank.start()]), blank.group()]
        position = blank.end()
    return [*parts, Passage(text[position:])]
