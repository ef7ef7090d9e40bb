"""What stands in a text that the model must not touch, and what stands in its place in the translation.

Knows positions alone; what is found is in `protect` and `glossary`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice, takewhile


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `[start, end)` of a text, and what stands for them in the translation.

    Attributes:
        start: First character.
        end: Behind the last one.
        output: The span itself where it stays as it is; a term's translation where a glossary says so.
    """

    start: int
    end: int
    output: str


def unchanged_spans(text: str, found: Iterable[tuple[int, int]]) -> list[Span]:
    """Spans that stay as they are."""
    return [Span(start, end, text[start:end]) for start, end in found]


def merge_spans(*lists: Iterable[Span]) -> list[Span]:
    """Put lists together, in order and without overlap: where two spans overlap, the one that is named first wins."""
    merged: list[Span] = []
    for span in chain.from_iterable(lists):
        place = bisect_left(merged, span.start, key=lambda each: each.start)
        after_left = place == 0 or merged[place - 1].end <= span.start
        before_right = place == len(merged) or span.end <= merged[place].start
        if after_left and before_right and span.start < span.end:
            merged.insert(place, span)
    return merged


def cuts_any(start: int, end: int, found: Sequence[tuple[int, int]]) -> bool:
    """Whether `[start, end)` takes a part of one of the places, which are in order, and leaves the rest of it."""
    first = bisect_right(found, start, key=lambda place: place[1])
    last = bisect_left(found, end, key=lambda place: place[0]) - 1
    return first <= last and (found[first][0] < start or found[last][1] > end)


def spans_within(spans: Sequence[Span], start: int, end: int) -> list[Span]:
    """The spans that lie in a part of the text, by their place in that part; they are in order and do not overlap."""
    first = bisect_left(spans, start, key=lambda span: span.start)
    inside = takewhile(lambda span: span.end <= end, islice(spans, first, None))
    return [Span(span.start - start, span.end - start, span.output) for span in inside]
