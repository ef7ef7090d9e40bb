"""Which words must be translated in which way? Finds a glossary's terms in a text.

The terms found are then protected as any other span (`protect`), so the model carries them or is translated around.
Knows no model and no store.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import regex

from pipelines.errors import UnsupportedOptionError
from pipelines.text.spans import Span, cuts_any
from pipelines.text.validity import MAX_MARKS, TOO_MANY_MARKS, check_text
from pipelines.text.words import inside_word
from pipelines.types import Notice

# A shorter word with another ending is too often another word (`cat`, `cater`).
_MIN_INFLECTED_CHARS = 4
_MAX_ENDING_CHARS = 3
# What Unicode composes: a character with its marks, and the jamo of a syllable.
_COMPOSABLE = regex.compile(r"(?s:.)[\p{M}\u1160-\u11ff]*+")
# Between the words of a term: spaces, and the break of a line that goes on.
_SPACE = regex.compile(r"\p{Zs}*+(?:\r?\n\p{Zs}*+)?+")
_MAX_ENTRY_CHARS = 1000
# What a text may cost: words looked up, and characters of translations. A real one has a tenth of it.
_LOOKUPS_PER_CHAR = 50
_OUTPUT_PER_CHAR = 10
_ALWAYS_ALLOWED = 100_000
_MAX_SHOWN_CHARS = 60


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
        UnsupportedOptionError: A term or a translation is empty or too long.
        InvalidTextError: One is not valid Unicode.
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
        self._field = field or "glossary"
        for term, target in entries.items():
            self._check_entry(term, target)
        self.name = name
        self.source_lang = source_lang
        self._match_case = match_case
        self._match_inflections = match_inflections
        self._root = _Node()
        longest_first = sorted(entries.items(), key=lambda entry: -len(entry[0].strip()))
        for rank, (term, target) in enumerate(longest_first):
            self._root.add(_folded(unicodedata.normalize("NFC", term), match_case).split(), rank, target)
        self._first_chars = frozenset(word[0] for word in self._root.words)

    def find(self, text: str, found: Sequence[tuple[int, int]] = ()) -> list[Span]:
        """Return where the terms stand, the longest where several do, and their translations.

        Args:
            text: Composed or decomposed: `é` is one word's letter in both.
            found: What stands in the text for itself (`find_spans`). No term is a part of it.

        Raises:
            UnsupportedOptionError: It takes too long, or makes much more of the text, as only made-up terms do.
        """
        if not self._root.words:
            return []
        composed, places = _composed(text)
        folded = _folded(composed, self._match_case)
        effort = _Effort(len(text), self._field)
        spans: list[Span] = []
        end = 0
        for start, char in enumerate(folded):
            if start < end or char not in self._first_chars or inside_word(composed, start):
                continue
            longest: _Match | None = None
            for match in self._matches(composed, folded, start, effort):
                is_longer = longest is None or match.rank < longest.rank
                if is_longer and not cuts_any(places[start], places[match.end], found):
                    longest = match
            if longest is not None:
                end = longest.end
                effort.write(longest.target)
                spans.append(Span(places[start], places[end], longest.target))
        return spans

    def _check_entry(self, term: str, target: str) -> None:
        check_text(term, self._field, entry=term)
        check_text(target, self._field, entry=term)
        if not term.strip() or not target.strip():
            raise self._refused(term, target, "a glossary has neither empty terms nor empty translations")
        if max(len(term), len(target)) > _MAX_ENTRY_CHARS or TOO_MANY_MARKS.search(term):
            raise self._refused(
                term,
                target,
                f"terms and translations of up to {_MAX_ENTRY_CHARS} characters are accepted, "
                f"with up to {MAX_MARKS} combining marks on one",
            )

    def _refused(self, term: str, target: str, why: str) -> UnsupportedOptionError:
        return UnsupportedOptionError(f"{self._field}: {_shown(term)} -> {_shown(target)}: {why}", field=self._field)

    def _matches(self, text: str, folded: str, start: int, effort: _Effort) -> list[_Match]:
        """All terms at a place."""
        matches: list[_Match] = []
        reached = [(start, self._root)]
        while reached:
            position, node = reached.pop()
            effort.look_up(len(node.lengths))
            for length in node.lengths:
                end = position + length
                inner = node.words.get(folded[position:end])
                if inner is None or end > len(folded):
                    continue
                if self._match_inflections and length >= _MIN_INFLECTED_CHARS:
                    end = _skip_ending(text, end)
                if inside_word(text, end):
                    continue
                if inner.target is not None:
                    matches.append(_Match(end, inner.rank, inner.target))
                next_word = _skip_space(folded, end) if inner.words else end
                if next_word > end:
                    reached.append((next_word, inner))
        return matches


@dataclass(slots=True)
class _Effort:
    """What it took so far to find the terms of a text, and what is to be put in."""

    num_chars: int
    field: str
    num_lookups: int = 0
    num_output_chars: int = 0

    def look_up(self, num_words: int) -> None:
        """Count words that are compared at one place."""
        self.num_lookups += num_words
        if self.num_lookups > _ALWAYS_ALLOWED + _LOOKUPS_PER_CHAR * self.num_chars:
            raise UnsupportedOptionError(
                f"{self.field}: its terms have too many beginnings in common for a text of {self.num_chars} characters",
                field=self.field,
            )

    def write(self, target: str) -> None:
        """Count a translation that is put in."""
        self.num_output_chars += len(target)
        if self.num_output_chars > _ALWAYS_ALLOWED + _OUTPUT_PER_CHAR * self.num_chars:
            raise UnsupportedOptionError(
                f"{self.field}: its translations would make more than {_OUTPUT_PER_CHAR} times as much of a text of "
                f"{self.num_chars} characters",
                field=self.field,
            )


@dataclass(frozen=True, slots=True)
class _Match:
    end: int
    rank: int
    target: str


@dataclass(slots=True)
class _Node:
    """Terms that begin with the same words: what it costs to look for them does not grow with their number.

    Attributes:
        words: By the word that goes on.
        lengths: Of those words, each once.
        rank: Of the term that ends here; the longest term has the first.
        target: Its translation, or None where no term ends.
    """

    words: dict[str, _Node] = field(default_factory=dict)
    lengths: tuple[int, ...] = ()
    rank: int = 0
    target: str | None = None

    def add(self, words: Sequence[str], rank: int, target: str) -> None:
        """Add a term; of two that are the same the first one counts."""
        node = self
        for word in words:
            if len(word) not in node.lengths:
                node.lengths += (len(word),)
            node = node.words.setdefault(word, _Node())
        if node.target is None:
            node.rank, node.target = rank, target


def _composed(text: str) -> tuple[str, Sequence[int]]:
    """The text in NFC, and where in the text each of its characters, and its end, was."""
    if not TOO_MANY_MARKS.search(text) and unicodedata.is_normalized("NFC", text):
        return text, range(len(text) + 1)
    parts: list[str] = []
    places: list[int] = []
    for found in _COMPOSABLE.finditer(text):
        is_sane = not TOO_MANY_MARKS.search(found.group())
        parts.append(unicodedata.normalize("NFC", found.group()) if is_sane else found.group())
        # Where characters become fewer or more, none has a place of its own.
        is_same = len(parts[-1]) == len(found.group())
        places += range(*found.span()) if is_same else [found.start()] * len(parts[-1])
    return "".join(parts), [*places, len(text)]


def _folded(text: str, match_case: bool) -> str:
    """The text in the case that is compared, character by character, so that positions stay."""
    return text if match_case else text.replace("İ", "i").lower().replace("ς", "σ")


def _skip_space(text: str, position: int) -> int:
    space = _SPACE.match(text, position)
    return position if space is None else space.end()


def _skip_ending(text: str, position: int) -> int:
    end = position
    while end < len(text) and end - position <= _MAX_ENDING_CHARS and inside_word(text, end):
        end += 1
    return end if end - position <= _MAX_ENDING_CHARS else position


def check_terms(output: str, wanted: Sequence[str]) -> list[Notice]:
    """Name each wanted translation that is not in the output as often as it should be."""
    missing = [target for target, number in Counter(wanted).items() if output.count(target) < number]
    return [Notice("glossary_term_missing", f"{target!r} could not be placed in the output") for target in missing]


def _shown(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN_CHARS else f"{text[:_MAX_SHOWN_CHARS]}...")
