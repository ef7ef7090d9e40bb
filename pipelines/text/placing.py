"""Where do a sentence's inline tags go in its translation? With their words, wherever those went.

The content of an element is looked for in the translation of the whole sentence, by what it is when it is translated
by itself, else by the words that attended to it. Knows no model: the caller has the translations and their links.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import regex

from pipelines.text.passage import Tag
from pipelines.text.words import WORD_CHAR
from pipelines.types import Link

# What a translation of a few words may have at its ends that they have not inside a sentence.
_LOOSE_END = r"[\s\p{P}]*"
_EDGES = regex.compile(rf"^{_LOOSE_END}|{_LOOSE_END}$")
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
    if not _find_all(elements, source, output, (0, len(output)), _Evidence(renderings, links), found, written, depth=1):
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
    elements.sort(key=lambda each: (each.start, -each.end, each.tags[0]))
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
    source: str,
    output: str,
    inside: tuple[int, int],
    evidence: _Evidence,
    found: dict[int, tuple[int, int]],
    written: list[_Written],
    depth: int,
) -> bool:
    taken: list[tuple[int, int]] = []
    for element in elements:
        place = _find(element, source, output, inside, evidence.renderings, taken)
        place = place or _find_linked(element, source, output, inside, evidence.links, taken)
        if place is None:
            return False
        insort(taken, place)
        opening, closing = _written_ends(element, place, depth, len(source))
        written += [*opening, *closing]
        found.update(dict.fromkeys(element.tags, place))
        if not _find_all(element.inner, source, output, place, evidence, found, written, depth + 1):
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
    source: str,
    output: str,
    inside: tuple[int, int],
    renderings: Mapping[str, str],
    taken: Sequence[tuple[int, int]],
) -> tuple[int, int] | None:
    """Where the content is; of several places the one nearest to where it was in the source."""
    content = source[element.start : element.end]
    wanted = _EDGES.sub("", renderings.get(content, content)) or renderings.get(content, content).strip()
    if not wanted:
        return None
    literal = r"\s+".join(regex.escape(word) for word in _SPACE.split(wanted))
    before = f"(?<!{WORD_CHAR})" if regex.match(WORD_CHAR, wanted[0], regex.V1) else ""
    after = f"(?!{WORD_CHAR})" if regex.match(WORD_CHAR, wanted[-1], regex.V1) else ""
    pattern = regex.compile(before + literal + after, regex.V1 | regex.I)
    expected = element.start / max(1, len(source)) * len(output)
    found = (each.span() for each in pattern.finditer(output, *inside, overlapped=True))
    places = (place for place in found if _is_free(place, taken))
    return min(places, key=lambda place: abs(place[0] - expected), default=None)


def _find_linked(
    element: Element,
    source: str,
    output: str,
    inside: tuple[int, int],
    links: Sequence[Link],
    taken: Sequence[tuple[int, int]],
) -> tuple[int, int] | None:
    """Where the words are that attended to the content: from the first to the last, if they stand together."""
    words = _words_of(output, *inside)
    own = [word for word in words if _share(word, element, links) >= _MIN_LINKED_SHARE]
    if not own:
        return None
    start, end = own[0][0], own[-1][1]
    between = [word for word in words if start <= word[0] and word[1] <= end]
    if len(own) < len(between) or not _is_free((start, end), taken):
        return None
    # The marks around the words are the element's if they are in the source.
    if not regex.match(r"\p{P}", source[element.start : element.end].strip()[-1:]):
        end = start + len(regex.sub(r"\p{P}+$", "", output[start:end]))
    return (start, end) if start < end else None


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
