"""Careless spellings of a sentence, as people type them: the model learns to read them, and to write none."""

from __future__ import annotations

import unicodedata

_MARKS = " .?!।¿¡"


def careless_spellings(text: str, language: str) -> list[str]:
    """Return the text without capital, without end mark, without both, and without accents (or with a foreign dot)."""
    bare = text.strip(_MARKS)
    if language == "hin_Deva":
        return [bare, text.replace("।", ".")]
    decomposed = unicodedata.normalize("NFD", text)
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return [bare, text.lower(), bare.lower(), plain, plain.strip(_MARKS).lower()]
