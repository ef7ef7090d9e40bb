"""Where does a character, as a reader sees it, begin? Knows characters alone, no language."""

from __future__ import annotations

import regex

EXTENDS = r"[\p{GCB=Extend}\p{GCB=SpacingMark}\p{GCB=ZWJ}]"
"""A character that belongs to the one before it; a pattern."""
_EXTENDS = regex.compile(EXTENDS)
_PREPENDS = regex.compile(r"\p{GCB=Prepend}")
# A virama binds the consonant behind it, here even without one before it, as `\X` has it.
_BINDS_LETTER = regex.compile(r"\p{CCC=9}\p{L}")
_CONTROL = regex.compile(r"[\p{GCB=Control}\r\n]")


def starts_grapheme(text: str, position: int) -> bool:
    """Whether a cut before `position` is between two graphemes; two jamo, and two halves of a flag, count as two."""
    if position >= len(text) or position == 0 or text[position - 1 : position + 1].isascii():
        return True
    if _CONTROL.match(text[position - 1]):
        return True
    if _BINDS_LETTER.match(text, position - 1):
        return False
    return not (_EXTENDS.match(text[position]) or _PREPENDS.match(text[position - 1]))
