"""Where do a sentence's inline tags go in its translation? With their words, wherever those went.

Each element goes where its content is (`pipelines.text.content`), what is alone to its share of the way. Knows no
model: the caller has the translations and their links.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import regex

from pipelines.text.content import Element, Evidence
from pipelines.text.passage import Tag
from pipelines.types import Link

_SPACE = regex.compile(r"\s+")


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
    evidence = Evidence(source, output, renderings, links)
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
    evidence: Evidence,
    found: dict[int, tuple[int, int]],
    written: list[_Written],
    depth: int,
) -> bool:
    taken: list[tuple[int, int]] = []
    for element in elements:
        place = evidence.find(element, around, inside, taken)
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
