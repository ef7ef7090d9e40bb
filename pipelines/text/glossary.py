"""Which words must be translated in which way? Finds a glossary's terms in a text.

The terms found are then protected as any other span (`protect`), so the model carries them or is translated around.
Knows no model and no store.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.errors import UnsupportedOptionError
from pipelines.text.spans import Span
from pipelines.text.words import inside_word
from pipelines.types import Notice

# A shorter word with another ending is too often another word (`cat`, `cater`).
_MIN_INFLECTED_CHARS = 4
_MAX_ENDING_CHARS = 3
_KEY_CHARS = 8


class Glossary:
    """Source terms and their translations, for one language pair.

    Args:
        entries: Translation by source term.
        match_case: Whether `Ray` leaves `ray` alone.
        match_inflections: Whether words of a term, of four letters or more, may have another ending of up to three
            letters: `heart attacks`, `corazones`.
        name: Of the stored version that it is (`medical@3`), or None.
        source_lang: FLORES-200 code of the texts that its terms are for, or None for any.
        field: The request's field that it came from, for the error.

    Raises:
        UnsupportedOptionError: A term or a translation is empty.
    """

    def __init__(
        self,
        entries: Mapping[str, str],
        *,
        match_case: bool = False,
        match_inflections: bool = False,
        name: str | None = None,
        source_lang: str | None = None,
        field: str | None = None,
    ) -> None:
        for term, target in entries.items():
            if not term.strip() or not target.strip():
                raise UnsupportedOptionError(
                    f"{field or 'glossary'}: {term!r} -> {target!r}: a glossary has neither empty terms nor empty "
                    "translations",
                    field=field,
                )
        self.name = name
        self.source_lang = source_lang
        self._match_case = match_case
        self._match_inflections = match_inflections
        # By their first characters, so that the way through a large glossary is short; the longest first.
        self._terms: dict[str, list[tuple[list[str], str]]] = {}
        for term, target in sorted(entries.items(), key=lambda entry: -len(entry[0].strip())):
            words = [_folded(word, match_case) for word in term.split()]
            self._terms.setdefault(" ".join(words)[:_KEY_CHARS], []).append((words, target))
        self._key_lengths = sorted({len(key) for key in self._terms}, reverse=True)

    def find(self, text: str) -> list[Span]:
        """Return where the terms stand, the longest where several do, and their translations."""
        spans: list[Span] = []
        folded = _folded(text, self._match_case) if self._terms else ""
        position = 0
        while position < len(folded):
            span = self._find_at(text, folded, position)
            if span is not None:
                spans.append(span)
            position = span.end if span is not None else position + 1
        return spans

    def _find_at(self, text: str, folded: str, position: int) -> Span | None:
        if inside_word(text, position):
            return None
        start = " ".join(folded[position : position + 2 * _KEY_CHARS].split())
        for length in self._key_lengths:
            for words, target in self._terms.get(start[:length], ()) if len(start) >= length else ():
                end = self._match(text, folded, position, words)
                if end is not None:
                    return Span(position, end, target)
        return None

    def _match(self, text: str, folded: str, position: int, words: Sequence[str]) -> int | None:
        for number, word in enumerate(words):
            if number:
                space_end = _skip_space(folded, position)
                if space_end == position:
                    return None
                position = space_end
            if not folded.startswith(word, position):
                return None
            position += len(word)
            if self._match_inflections and len(word) >= _MIN_INFLECTED_CHARS:
                position = _skip_ending(text, position)
            if inside_word(text, position):
                return None
        return position


def _folded(text: str, match_case: bool) -> str:
    """The text in the case that is compared, character by character, so that positions stay."""
    return text if match_case else "".join(char if len(char.lower()) > 1 else char.lower() for char in text)


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _skip_ending(text: str, position: int) -> int:
    end = position
    while end < len(text) and end - position <= _MAX_ENDING_CHARS and inside_word(text, end):
        end += 1
    return end if end - position <= _MAX_ENDING_CHARS else position


def check_terms(output: str, wanted: Sequence[str]) -> list[Notice]:
    """Name each wanted translation that is not in the output as often as it should be."""
    missing = [target for target in dict.fromkeys(wanted) if output.count(target) < wanted.count(target)]
    return [Notice("glossary_term_missing", f"{target!r} could not be placed in the output") for target in missing]
