"""Where does a word go on? Knows characters alone, no language."""

from __future__ import annotations

import regex

from pipelines.text.graphemes import starts_grapheme

UNSPACED = r"\p{Han}\p{Hiragana}\p{Katakana}\u30fc\uff70\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}"
"""Scripts that put no space between words: there a word may begin and end anywhere. The inside of a set."""
WORD_CHAR = rf"[\p{{L}}\p{{M}}\p{{N}}_--[{UNSPACED}]]"
"""A character that a word goes on with; a pattern of `regex.V1`."""
_WORD_CHAR = regex.compile(WORD_CHAR, regex.V1)
_MARK = regex.compile(r"\p{M}")


def inside_word(text: str, position: int) -> bool:
    """Whether the character at a position goes on with the word, or the grapheme, before it."""
    if not 0 < position < len(text):
        return False
    if _WORD_CHAR.match(text, position - 1) and _WORD_CHAR.match(text, position):
        return True
    return bool(_MARK.match(text, position)) or not starts_grapheme(text, position)
