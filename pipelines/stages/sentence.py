"""Translates one sentence with the inline tags in it.

The model reads the sentence without its tags, and the content of each element by itself; that content is then looked
for in the whole (`text/placing.py`), and the tags go around it; where it is not there, they go around the words that
attended to it. Where there are none, the sentence is translated piece by piece between its tags, which keeps every tag
with its words at the price of context, and a notice says so.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipelines.stages.guarded import Guarded, examine, translate_guarded
from pipelines.stages.protected import Order, join_outcomes, translate_protected
from pipelines.stages.steps import Steps, side_by_side
from pipelines.text.content import Element
from pipelines.text.join import space_pieces
from pipelines.text.passage import Tag
from pipelines.text.placing import find_elements, place_tags
from pipelines.text.segment import Piece
from pipelines.text.spans import Span, merge_spans, spans_within
from pipelines.types import DecodingOptions, Failure, Notice, Outcome, Translation

# Placing tags costs the square of their number; a sentence of prose has a few.
_MAX_PLACED_TAGS = 64


@dataclass(frozen=True, slots=True)
class Sentence:
    """What is translated at a time.

    Attributes:
        text: Plain text without tags.
        spans: What must not change in it.
        tags: Between its characters.
    """

    text: str
    spans: Sequence[Span] = ()
    tags: Sequence[Tag] = ()


@dataclass(frozen=True, slots=True)
class Done:
    """A sentence that was translated.

    Attributes:
        translation: Of the plain text.
        notices: What is suspicious about it.
        tags: (tag's place in the sentence's list, offset in the output), in the order of writing.
        others: Its other hypotheses with their tags, best first, where more than one was asked for.
    """

    translation: Translation
    notices: tuple[Notice, ...] = ()
    tags: Sequence[tuple[int, int]] = ()
    others: Sequence[Done] = ()


def translate_sentence(sentence: Sentence, order: Order) -> Steps[Done | Failure]:
    """Translate a sentence; see the module."""
    if not sentence.tags:
        guarded = yield from translate_guarded(sentence.text, sentence.spans, order)
        if isinstance(guarded, Failure):
            return guarded
        others = [Done(each, guarded.notices) for each in _hypotheses(guarded.translation)]
        return Done(guarded.translation, guarded.notices, others=others)
    return (yield from _translate_tagged(sentence, order))


def _translate_tagged(sentence: Sentence, order: Order) -> Steps[Done | Failure]:
    text = sentence.text
    spans = _cut_spans(sentence)
    if len(sentence.tags) > _MAX_PLACED_TAGS:
        return (yield from _translate_between(sentence, spans, order))
    contents = list(dict.fromkeys(_contents(text, find_elements(text, sentence.tags))))
    whole, renderings = yield from _both(
        translate_guarded(text, spans, _aligned(order)),
        [_translate_part(text, start, end, spans, order) for start, end in contents],
    )
    if isinstance(whole, Failure):
        return whole
    by_content = {
        text[start:end]: each.text
        for (start, end), each in zip(contents, renderings, strict=True)
        if isinstance(each, Translation)
    }
    places = place_tags(text, whole.translation.text, sentence.tags, by_content, whole.translation.links)
    if places is not None:
        placed = (
            (each, place_tags(text, each.text, sentence.tags, by_content)) for each in _hypotheses(whole.translation)
        )
        others = [Done(each, whole.notices, tags) for each, tags in placed if tags is not None]
        return Done(whole.translation, whole.notices, places, others)
    return (yield from _translate_between(sentence, spans, order))


def _hypotheses(translation: Translation) -> Iterator[Translation]:
    """The hypotheses as translations of their own; what is known of the best one alone is left out."""
    for each in translation.alternatives:
        yield replace(translation, text=each.text, score=each.score, alternatives=(), alignment=(), links=())


def _aligned(order: Order) -> Order:
    second_try = order.second_try
    return replace(
        order,
        decoding=replace(order.decoding, align=True),
        second_try=None if second_try is None else replace(second_try, align=True),
    )


def _both(
    whole: Steps[Guarded | Failure], parts: Sequence[Steps[Outcome]]
) -> Steps[tuple[Guarded | Failure, list[Outcome]]]:
    """Ask for the whole and its parts in the same rounds."""
    first, *rest = yield from side_by_side([_as_any(whole), *map(_as_any, parts)])
    assert isinstance(first, Guarded | Failure)
    return first, [each for each in rest if not isinstance(each, Guarded)]


def _as_any(steps: Steps[Guarded | Failure] | Steps[Outcome]) -> Steps[Guarded | Outcome]:
    return (yield from steps)


def _contents(text: str, elements: Sequence[Element]) -> Iterator[tuple[int, int]]:
    for element in elements:
        yield element.start, element.end
        yield from _contents(text, element.inner)


def _cut_spans(sentence: Sentence) -> list[Span]:
    """The spans without those that a tag stands inside of: cut at the tags where they stay as they are."""
    spans: list[Span] = []
    for span in sentence.spans:
        inside = _tags_inside(sentence, span)
        if not inside:
            spans.append(span)
        elif span.output == sentence.text[span.start : span.end]:
            bounds = [span.start, *dict.fromkeys(inside), span.end]
            spans += [Span(start, end, sentence.text[start:end]) for start, end in itertools.pairwise(bounds)]
    return merge_spans(spans)


def _tags_inside(sentence: Sentence, span: Span) -> list[int]:
    return [tag.offset for tag in sentence.tags if span.start < tag.offset < span.end]


def _translate_part(text: str, start: int, end: int, spans: Sequence[Span], order: Order) -> Steps[Outcome]:
    """Translate a part that may have white space at its ends, or no language at all."""
    single = replace(order.decoding, num_hypotheses=1)
    return (yield from _translate_stripped(text[start:end], spans_within(spans, start, end), order, single))


def _translate_stripped(part: str, spans: Sequence[Span], order: Order, decoding: DecodingOptions) -> Steps[Outcome]:
    content = part.strip()
    if not any(char.isalpha() for char in content):
        return Translation(part)
    lead = len(part) - len(part.lstrip())
    inner = spans_within(spans, lead, lead + len(content))
    outcome = yield from translate_protected(content, inner, order, decoding)
    if isinstance(outcome, Failure):
        return outcome
    return replace(outcome, text=part[:lead] + outcome.text + part[lead + len(content) :])


def _translate_between(sentence: Sentence, spans: Sequence[Span], order: Order) -> Steps[Done | Failure]:
    order.counts["translated_between_tags"] += 1
    bounds = [0, *dict.fromkeys(tag.offset for tag in sentence.tags), len(sentence.text)]
    parts = list(itertools.pairwise(bounds))
    outcomes = yield from side_by_side(
        [_translate_part(sentence.text, start, end, spans, order) for start, end in parts]
    )
    pieces = [Piece(sentence.text[start:end], translatable=True) for start, end in parts]
    joined = join_outcomes(pieces, outcomes, order)
    if isinstance(joined, Failure):
        return joined
    places = list(_places_between(sentence, parts, _spaced(pieces, outcomes, order)))
    notice = Notice("tags_split", "the tags could not be placed in the whole; it was translated between them")
    # What a tag stands inside of was cut, or is no span any more.
    uncut = [each for each in sentence.spans if not _tags_inside(sentence, each)]
    return Done(joined, (notice, *examine(sentence.text, uncut, joined, order).notices), places)


def _spaced(pieces: Sequence[Piece], outcomes: Sequence[Outcome], order: Order) -> list[tuple[str, str]]:
    texts = [outcome.text for outcome in outcomes if isinstance(outcome, Translation)]
    return space_pieces(pieces, texts, source_lang=order.source_lang, target_lang=order.target_lang)


def _places_between(
    sentence: Sentence, parts: Sequence[tuple[int, int]], spaced: Sequence[tuple[str, str]]
) -> Iterator[tuple[int, int]]:
    """Where each tag stands: written one after the other, each is where its part begins."""
    around, position = {0: (0, 0)}, 0
    for (start, end), (space, text) in zip(parts, spaced, strict=True):
        around[start] = (position, position + len(space))
        position += len(space) + len(text)
        around[end] = (position, position)
    last = 0
    for place, tag in enumerate(sentence.tags):
        before, behind = around[tag.offset]
        # What opens goes with the words behind the space, the rest with those before it.
        last = max(last, behind if tag.kind == "open" else before)
        yield place, last
