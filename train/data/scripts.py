"""Is a text written in its language's script? Knows letters alone; a language in another one's words is not noticed."""

from __future__ import annotations

import regex

from pipelines.text.languages import resolve_language
from pipelines.text.scripts import SCRIPT_CLASSES

_MIN_LETTERS = 4
_MIN_SHARE = 0.5
_LETTER = regex.compile(r"\p{L}")


def script_letters(language: str | None) -> regex.Pattern[str]:
    """Return what finds the letters of a language; any letters if nobody knows which language it is."""
    if language is None:
        return _LETTER
    return regex.compile(SCRIPT_CLASSES[resolve_language(language).script])


def is_written_in(text: str, script: regex.Pattern[str]) -> bool:
    """Whether half of a text's letters are of a script; texts of a few letters may be names or units."""
    letters = _LETTER.findall(text)
    fitting = script.findall("".join(letters))
    return len(letters) < _MIN_LETTERS or len(fitting) >= _MIN_SHARE * len(letters)
