"""Where does a word go on? Knows characters alone, no language."""

from __future__ import annotations

import regex

# Scripts that put no space between words: there a word may begin and end anywhere.
_UNSPACED = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]"
WORD_CHAR = rf"[\p{{L}}\p{{M}}\p{{N}}_--{_UNSPACED}]"
"""A character that a word goes on with; a pattern of `regex.V1`."""
_WORD_CHAR = regex.compile(WORD_CHAR, regex.V1)


def inside_word(text: str, position: int) -> bool:
    """Whether the character at a position goes on with the word before it."""
    if not 0 < position < len(text):
        return False
    return bool(_WORD_CHAR.match(text, position - 1) and _WORD_CHAR.match(text, position))
