"""Which words must be translated in which way? Puts the wanted terms into a text before it is translated.

The terms are then protected as any other span (`protect`), so the model carries them or is translated around. Knows
no model and no store. A term is matched as it is listed: inflected forms are entries of their own.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import regex

from pipelines.errors import UnsupportedOptionError
from pipelines.types import Notice

# Characters that a word goes on with; scripts without spaces between words have none.
_WORD_CHAR = r"[\p{L}\p{M}\p{N}_--[\p{Han}\p{Hiragana}\p{Katakana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}\p{Tibetan}]]"


class Glossary:
    """Source terms and their translations, for one language pair."""

    def __init__(self, entries: Mapping[str, str], *, match_case: bool = False) -> None:
        """Prepare the search.

        Args:
            entries: Translation by source term.
            match_case: Whether `Ray` leaves `ray` alone.

        Raises:
            UnsupportedOptionError: A term or a translation is empty.
        """
        if not all(term.strip() and target.strip() for term, target in entries.items()):
            raise UnsupportedOptionError("a glossary has neither empty terms nor empty translations")
        self._match_case = match_case
        self._targets = {self._key(term): target for term, target in entries.items()}
        longest_first = sorted(entries, key=len, reverse=True)
        self._terms = regex.compile(
            "|".join(_whole_word(term) for term in longest_first), regex.V1 if match_case else regex.V1 | regex.I
        )
        # What decides the outputs is part of the cache's key.
        content = json.dumps([match_case, sorted(entries.items())]).encode()
        self.version = hashlib.sha256(content).hexdigest()[:16]

    def apply(self, text: str) -> tuple[str, list[tuple[int, int]]]:
        """Put translations in the places of the terms, the longest term first, whole words only.

        Returns:
            The text, and the (start, end) of each translation in it; protect these and translate the rest.
        """
        applied, position = "", 0
        spans: list[tuple[int, int]] = []
        for found in self._terms.finditer(text) if self._targets else ():
            # A letter that only resembles the term's (a dotted capital I) has no entry.
            target = self._targets.get(self._key(found.group()))
            if target is not None:
                applied += text[position : found.start()]
                spans.append((len(applied), len(applied) + len(target)))
                applied += target
                position = found.end()
        return applied + text[position:], spans

    def _key(self, term: str) -> str:
        return term if self._match_case else term.casefold()


def _whole_word(term: str) -> str:
    before = f"(?<!{_WORD_CHAR})" if regex.match(_WORD_CHAR, term[0], regex.V1) else ""
    after = f"(?!{_WORD_CHAR})" if regex.match(_WORD_CHAR, term[-1], regex.V1) else ""
    return f"{before}{regex.escape(term)}{after}"


def check_terms(output: str, targets: Sequence[str]) -> list[Notice]:
    """Name each wanted translation that is not in the output."""
    missing = [target for target in dict.fromkeys(targets) if target not in output]
    return [Notice("glossary_term_missing", f"{target!r} could not be placed in the output") for target in missing]
