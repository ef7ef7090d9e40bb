"""Where do a sentence's inline tags go in its translation? With their words, wherever those went.

The content of an element is looked for in the translation of the whole sentence, by what it is when it is translated
by itself, else by the words that attended to it. Knows no model: the caller has the translations and their links.
"""

from __future__ import annotations

import unicodedata
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import regex

from pipelines.text.folded import FoldedText
from pipelines.text.passage import Tag
from pipelines.text.words import inside_word
from pipelines.types import Link

# What a translation of a few words may have at its ends that they have not inside a sentence.
_LOOSE_END = r"[\s\p{P}]*"
_EDGES = regex.compile(rf"^{_LOOSE_END}|{_LOOSE_END}$")
_MARK = regex.compile(r"\p{P}")
_SPACE = regex.compile(r"\s+")
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


def find_elements(text: str, tags: Sequence[Tag]) -> list[Element]:
    """The outermost elements with content, by their place; those inside them are their own."""
    elements: list[Element] = []
    open_tags: list[int] = []
    for place, tag in enumerate(tags):
        if tag.kind == "open":
            open_tags.append(place)
        elif tag.kind == "close":
            partner = next((each for each in reversed(open_tags) if tags[each].name == tag.name), None)
            if partner is None:
                elements.append(Element(0, tag.offset, (place,)))
            else:
                elements.append(Element(tags[partner].offset, tag.offset, (partner, place)))
                open_tags.remove(partner)
    elements += [Element(tags[place].offset, len(text), (place,)) for place in open_tags]
    # Of several that only end at one place the last is around the others.
    elements.sort(key=lambda each: -each.tags[0] if tags[each.tags[0]].kind == "close" else each.tags[0])
    return _nested([each for each in elements if text[each.start : each.end].strip()])


def place_tags(
    source: str, output: str, tags: Sequence[Tag], renderings: Mapping[str, str], links: Sequence[Link] = ()
) -> list[tuple[int, int]] | None:
    """Place every tag in the translation.

    Args:
        source: The sentence without tags.
        output: Its translation.
        tags: Of the sentence.
        renderings: Translation of each element's content.
        links: What the words of the translation attend to, where the engine says so.

    Returns:
        (tag, offset in the output) in the order in which they are to be written, or None if an element's content
        cannot be found.
    """
    if output == source:
        return [(place, tag.offset) for place, tag in enumerate(tags)]
    found: dict[int, tuple[int, int]] = {}
    written: list[_Written] = []
    elements = find_elements(source, tags)
    evidence = _Evidence(source, output, FoldedText(output), renderings, links)
    if not _find_all(elements, (0, len(source)), (0, len(output)), evidence, found, written, depth=1):
        return None
    empty: list[tuple[str, _Written]] = []
    for place, tag in enumerate(tags):
        if place in found:
            continue
        if tag.kind == "close" and empty and empty[-1][0] == tag.name:
            alone = replace(empty.pop()[1], tag=place)  # an element without content stays together
        else:
            parents = _around(elements, tag.offset, place)
            parent = parents[-1] if parents else None
            inside = (0, len(output)) if parent is None else found[parent.tags[0]]
            around = (0, len(source)) if parent is None else (parent.start, parent.end)
            share = (tag.offset - around[0]) / max(1, around[1] - around[0])
            offset = _proportional(output, inside, share, behind_space=source[tag.offset - 1 : tag.offset].isspace())
            alone = _written_alone(place, offset, inside, len(parents))
        if tag.kind == "open":
            empty.append((tag.name, alone))
        written.append(alone)
    written.sort()
    return [(each.tag, each.offset) for each in written]


@dataclass(frozen=True, slots=True)
class _Evidence:
    """By what an element is found."""

    source: str
    output: str
    folded: FoldedText
    renderings: Mapping[str, str]
    links: Sequence[Link]


@dataclass(frozen=True, slots=True, order=True)
class _Written:
    """At one offset what ends there is written before what stands alone, and that before what begins.

    What stands alone at an end of an element is written inside it, with the element's own rank: of two such things
    the depth says which is first.
    """

    offset: int
    rank: int
    depth: int
    tag: int


def _nested(elements: list[Element]) -> list[Element]:
    elements.sort(key=lambda each: (each.start, -each.end))
    outermost: list[Element] = []
    around: list[Element] = []
    for element in elements:
        while around and around[-1].end < element.end:
            around.pop()
        (around[-1].inner if around else outermost).append(element)
        around.append(element)
    return outermost


def _find_all(
    elements: Sequence[Element],
    around: tuple[int, int],
    inside: tuple[int, int],
    evidence: _Evidence,
    found: dict[int, tuple[int, int]],
    written: list[_Written],
    depth: int,
) -> bool:
    taken: list[tuple[int, int]] = []
    for element in elements:
        place = _find(element, around, inside, evidence, taken)
        place = place or _find_linked(element, inside, evidence, taken)
        if place is None:
            return False
        insort(taken, place)
        opening, closing = _written_ends(element, place, depth, len(evidence.source))
        written += [*opening, *closing]
        found.update(dict.fromkeys(element.tags, place))
        extent = (element.start, element.end)
        if not _find_all(element.inner, extent, place, evidence, found, written, depth + 1):
            return False
    return True


def _written_ends(
    element: Element, place: tuple[int, int], depth: int, num_source_chars: int
) -> tuple[list[_Written], list[_Written]]:
    (start, end), level = place, 2 * depth
    if len(element.tags) == 2:
        return [_Written(start, 2, level, element.tags[0])], [_Written(end, 0, -level, element.tags[1])]
    if element.end == num_source_chars:
        return [_Written(start, 2, level, element.tags[0])], []
    return [], [_Written(end, 0, -level, element.tags[0])]


def _written_alone(tag: int, offset: int, inside: tuple[int, int], num_parents: int) -> _Written:
    level = 2 * num_parents + 1  # between the parent's and those of the elements inside it
    if num_parents and offset == inside[0]:
        return _Written(offset, 2, level, tag)
    if num_parents and offset == inside[1]:
        return _Written(offset, 0, -level, tag)
    return _Written(offset, 1, 0, tag)


def _find(
    element: Element,
    around: tuple[int, int],
    inside: tuple[int, int],
    evidence: _Evidence,
    taken: Sequence[tuple[int, int]],
) -> tuple[int, int] | None:
    """Where the content is; of several places the one nearest to where it was in the source."""
    source, output = evidence.source, evidence.output
    content = source[element.start : element.end]
    rendering = evidence.renderings.get(content, content).strip()
    wanted = _EDGES.sub("", rendering) or rendering
    if not wanted:
        return None
    lead, _, tail = rendering.partition(wanted)
    if not _ends_in_mark(content):
        tail = ""
        lead = lead if _begins_with_mark(content) else ""
    found = [each for each in evidence.folded.find(wanted) if inside[0] <= each[0] and each[1] <= inside[1]]
    joints = _joints(source, (element.start, element.end), around)
    places = [each for each in found if _joints(output, each, inside) == joints]
    if not places and any(joints) and not _is_word_elsewhere(content, source):
        places = [each for each in found if not any(_joints(output, each, inside))]
    expected = element.start / max(1, len(source)) * len(output)
    with_marks = (_with_marks(output, each, lead, tail, inside) for each in places)
    free = (each for each in with_marks if _is_free(each, taken))
    return min(free, key=lambda place: abs(place[0] - expected), default=None)


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


def _find_linked(
    element: Element, inside: tuple[int, int], evidence: _Evidence, taken: Sequence[tuple[int, int]]
) -> tuple[int, int] | None:
    """Where the words are that attended to the content: from the first to the last, if they stand together."""
    output, content = evidence.output, evidence.source[element.start : element.end]
    words = _words_of(output, *inside)
    own = [word for word in words if _share(word, element, evidence.links) >= _MIN_LINKED_SHARE]
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


def _around(elements: Sequence[Element], offset: int, tag: int) -> list[Element]:
    """The elements that a tag is inside of, the outermost first."""
    for element in elements:
        if element.start < offset < element.end or _is_between(element, tag):
            return [element, *_around(element.inner, offset, tag)]
    return []


def _is_between(element: Element, tag: int) -> bool:
    if len(element.tags) == 2:
        return element.tags[0] < tag < element.tags[1]
    # Its partner is in another sentence: it begins there, or ends there.
    return tag < element.tags[0] if element.start == 0 else element.tags[0] < tag


def _proportional(output: str, inside: tuple[int, int], share: float, *, behind_space: bool) -> int:
    """A boundary of words near a share of the way, on the side of its space where the tag was."""
    start, end = inside
    wanted = start + share * (end - start)
    spaces = [found.end() if behind_space else found.start() for found in _SPACE.finditer(output, start, end)]
    boundaries = [start, end, *spaces]
    return min(boundaries, key=lambda boundary: abs(boundary - wanted))
