"""Where is the content of an element in the translation of its sentence?

By what it is when it is translated by itself, else by the words that attended to it.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import regex

from pipelines.text.folded import FoldedText
from pipelines.text.words import inside_word
from pipelines.types import Link

# What a translation of a few words may have at its ends that they have not inside a sentence.
_LOOSE_END = r"[\s\p{P}]*"
_EDGES = regex.compile(rf"^{_LOOSE_END}|{_LOOSE_END}$")
_MARK = regex.compile(r"\p{P}")
_MIN_LINKED_SHARE = 0.5


@dataclass(slots=True)
class Element:
    """A pair of tags (or one whose partner is in another sentence) and what is inside it.

    Attributes:
        start: Of its content in the source.
        end: Behind its content.
        tags: Its places in the list of tags: opening and closing, or only one of them.
        inner: Elements inside it.
    """

    start: int
    end: int
    tags: tuple[int, ...]
    inner: list[Element] = field(default_factory=list)


class Evidence:
    """By what the elements of a sentence are found.

    Args:
        source: The sentence without tags.
        output: Its translation.
        renderings: Translation of each element's content.
        links: What the words of the translation attend to, where the engine says so.

    Attributes:
        source: As given.
    """

    def __init__(self, source: str, output: str, renderings: Mapping[str, str], links: Sequence[Link]) -> None:
        self.source = source
        self._output = output
        self._folded = FoldedText(output)
        self._renderings = renderings
        self._links = links

    def find(
        self,
        element: Element,
        around: tuple[int, int],
        inside: tuple[int, int],
        taken: Sequence[tuple[int, int]],
    ) -> tuple[int, int] | None:
        """Where the content of an element is in the translation; None where that cannot be told.

        Args:
            element: Of the sentence.
            around: Where the element around it is in the source.
            inside: Where that one is in the translation.
            taken: Places of its neighbours, in order.
        """
        return self._find_rendered(element, around, inside, taken) or self._find_linked(element, inside, taken)

    def _find_rendered(
        self,
        element: Element,
        around: tuple[int, int],
        inside: tuple[int, int],
        taken: Sequence[tuple[int, int]],
    ) -> tuple[int, int] | None:
        """Of several places the one nearest to where it was in the source."""
        source, output = self.source, self._output
        content = source[element.start : element.end]
        rendering = self._renderings.get(content, content).strip()
        wanted = _EDGES.sub("", rendering) or rendering
        if not wanted:
            return None
        lead, _, tail = rendering.partition(wanted)
        if not _ends_in_mark(content):
            tail = ""
            lead = lead if _begins_with_mark(content) else ""
        found = [each for each in self._folded.find(wanted) if inside[0] <= each[0] and each[1] <= inside[1]]
        joints = _joints(source, (element.start, element.end), around)
        places = [each for each in found if _joints(output, each, inside) == joints]
        if not places and any(joints) and not _is_word_elsewhere(content, source):
            places = [each for each in found if not any(_joints(output, each, inside))]
        expected = element.start / max(1, len(source)) * len(output)
        with_marks = (_with_marks(output, each, lead, tail, inside) for each in places)
        free = (each for each in with_marks if _is_free(each, taken))
        return min(free, key=lambda place: abs(place[0] - expected), default=None)

    def _find_linked(
        self, element: Element, inside: tuple[int, int], taken: Sequence[tuple[int, int]]
    ) -> tuple[int, int] | None:
        """Where the words are that attended to the content: from the first to the last, if they stand together."""
        output, content = self._output, self.source[element.start : element.end]
        words = _words_of(output, *inside)
        own = [word for word in words if _share(word, element, self._links) >= _MIN_LINKED_SHARE]
        if not own:
            return None
        start, end = own[0][0], own[-1][1]
        between = [word for word in words if start <= word[0] and word[1] <= end]
        if len(own) < len(between) or not _is_free((start, end), taken):
            return None
        # The marks around the words are the element's if they are in the source.
        if not _ends_in_mark(content):
            end = start + len(regex.sub(r"\p{P}+$", "", output[start:end]))
        if not _has_letter(content) and not _is_same_number(content, output[start:end]):
            return None
        return (start, end) if start < end else None


def _begins_with_mark(content: str) -> bool:
    return bool(_MARK.match(content.strip()[:1]))


def _ends_in_mark(content: str) -> bool:
    return bool(_MARK.match(content.strip()[-1:]))


def _joints(text: str, place: tuple[int, int], within: tuple[int, int]) -> tuple[str, str]:
    """What the word that a place is part of goes on with, before it and behind it: nothing, a digit or a letter."""
    (start, end), (first, last) = place, within
    before = _kind(text[start - 1]) if first < start and inside_word(text, start) else ""
    return before, _kind(text[end]) if end < last and inside_word(text, end) else ""


def _kind(char: str) -> str:
    return "digit" if char.isdecimal() else "letter"


def _is_word_elsewhere(content: str, source: str) -> bool:
    """Whether a whole word of the source is like this part of one: then such a word of the output is that word's."""
    whole = (0, len(source))
    return any(not any(_joints(source, each, whole)) for each in FoldedText(source).find(content.strip()))


def _with_marks(output: str, place: tuple[int, int], lead: str, tail: str, inside: tuple[int, int]) -> tuple[int, int]:
    """The place with the marks around it that the content's translation has as well."""
    start, end = place
    for char in reversed(lead):
        if start == inside[0] or output[start - 1] != char:
            break
        start -= 1
    for char in tail:
        if end == inside[1] or output[end] != char:
            break
        end += 1
    # Not with the space that would have been before a mark.
    while output[start].isspace():
        start += 1
    while output[end - 1].isspace():
        end -= 1
    return start, end


def _is_same_number(content: str, linked: str) -> bool:
    """Attention to a number or a footnote's mark that the model left out goes anywhere; separators may differ."""
    return not _has_letter(linked) and _digits(linked) == _digits(content)


def _has_letter(text: str) -> bool:
    return any(char.isalpha() for char in text)


def _digits(text: str) -> list[int]:
    return [unicodedata.decimal(char) for char in text if char.isdecimal()]


def _is_free(place: tuple[int, int], taken: Sequence[tuple[int, int]]) -> bool:
    """Whether a place overlaps none of those taken, which are in order and overlap none of each other."""
    before = bisect_left(taken, (place[1],))
    return before == 0 or taken[before - 1][1] <= place[0]


def _words_of(output: str, start: int, end: int) -> list[tuple[int, int]]:
    return [found.span() for found in regex.finditer(r"\S+", output, pos=start, endpos=end)]


def _share(word: tuple[int, int], element: Element, links: Sequence[Link]) -> float:
    """How much of a word attended to the content of an element."""
    own = [link for link in links if link.start < word[1] and word[0] < link.end]
    inside = [link for link in own if element.start < link.source_end and link.source_start < element.end]
    return len(inside) / len(own) if own else 0.0
