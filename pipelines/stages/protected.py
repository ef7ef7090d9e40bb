"""Translates one text in which some spans must not change: hidden from the model, or translated around.

First the spans are masked by words that a model copies; if the output has not each mask exactly once, what is between
the spans is translated by itself, so that every span is there whatever the model does. Characters that the vocabulary
cannot spell are carried through in the same way. A text with more tokens than the model reads is halved.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pipelines.errors import SegmentTooLongError
from pipelines.stages.steps import Steps, side_by_side
from pipelines.text.join import join_pieces
from pipelines.text.protect import Masked, mask, split_around
from pipelines.text.segment import Piece, split_text
from pipelines.text.spans import Span, unchanged_spans
from pipelines.types import DecodingOptions, Failure, Hypothesis, Outcome, Segment, Translation


@dataclass(frozen=True, slots=True)
class Order:
    """What holds for all sentences of a passage.

    Attributes:
        source_lang: FLORES-200 code.
        target_lang: FLORES-200 code.
        adapter: See `Segment`; likewise what follows.
        decoding: How the first try is decoded.
        second_try: How a suspicious output is decoded again; None keeps it as it is.
        priority: See `Segment`.
        deadline_s: See `Segment`.
        counts: What happened, by name; added to.
    """

    source_lang: str
    target_lang: str
    adapter: str | None = None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    second_try: DecodingOptions | None = None
    priority: int = 0
    deadline_s: float | None = None
    counts: Counter[str] = field(default_factory=Counter)

    def segment(self, text: str, decoding: DecodingOptions) -> Segment:
        """The segment that asks for a text."""
        return Segment(
            text=text,
            source_lang=self.source_lang,
            target_lang=self.target_lang,
            adapter=self.adapter,
            decoding=decoding,
            priority=self.priority,
            deadline_s=self.deadline_s,
        )


def translate_protected(text: str, spans: Sequence[Span], order: Order, decoding: DecodingOptions) -> Steps[Outcome]:
    """Translate a text; each span's output stands in the result."""
    if not spans:
        outcome = yield from _ask(text, order, decoding)
        unspellable = outcome.unknown_spans if isinstance(outcome, Translation) else ()
        if not unspellable:
            return outcome
        order.counts["unspellable_carried"] += len(unspellable)
        spans = unchanged_spans(text, unspellable)
    masked = mask(text, spans)
    if masked is not None:
        order.counts["masked"] += 1
        outcome = yield from _ask(masked.text, order, decoding)
        if isinstance(outcome, Failure):
            return outcome
        restored = None if outcome.unknown_spans else _restore(masked, outcome, order)
        if restored is not None:
            return restored
        order.counts["translated_around"] += 1
    return (yield from _translate_around(text, spans, order, decoding))


def _ask(text: str, order: Order, decoding: DecodingOptions) -> Steps[Outcome]:
    (outcome,) = yield [order.segment(text, decoding)]
    if isinstance(outcome, Failure) and isinstance(outcome.error, SegmentTooLongError):
        return (yield from _ask_halves(text, outcome, order, decoding))
    return outcome


def _ask_halves(text: str, failure: Failure, order: Order, decoding: DecodingOptions) -> Steps[Outcome]:
    """Split a text that has few characters and yet more tokens than the model reads."""
    pieces = split_text(text, order.source_lang, max_segment_chars=max(1, (len(text) + 1) // 2))
    parts = [piece.text for piece in pieces if piece.translatable]
    if any(len(part) >= len(text) for part in parts):
        return failure
    outcomes = yield from side_by_side([_ask(part, order, decoding) for part in parts])
    return join_outcomes(pieces, outcomes, order)


def _restore(masked: Masked, outcome: Translation, order: Order) -> Translation | None:
    text = _restored(masked, outcome.text, order)
    if text is None:
        return None
    restored = ((_restored(masked, each.text, order), each.score) for each in outcome.alternatives)
    alternatives = tuple(Hypothesis(text, score) for text, score in restored if text is not None)
    # The links are those of the masked text.
    return replace(outcome, text=text, alternatives=alternatives, alignment=(), links=())


def _restored(masked: Masked, output: str, order: Order) -> str | None:
    text = masked.restore(output)
    if text is None:
        return None
    return join_pieces(masked.pieces, [text], source_lang=order.source_lang, target_lang=order.target_lang)


def _translate_around(text: str, spans: Sequence[Span], order: Order, decoding: DecodingOptions) -> Steps[Outcome]:
    pieces = split_around(text, spans)
    parts = [piece.text for piece in pieces if piece.translatable]
    if any(len(part) >= len(text) for part in parts):
        return (yield from _ask(text, order, decoding))  # spans without a character: nothing to go around
    # One hypothesis each: those of the parts do not add up to hypotheses of the whole.
    single = replace(decoding, num_hypotheses=1)
    outcomes = yield from side_by_side([translate_protected(part, (), order, single) for part in parts])
    return join_outcomes(pieces, outcomes, order)


def join_outcomes(pieces: Sequence[Piece], outcomes: Sequence[Outcome], order: Order) -> Outcome:
    """One outcome for a text that was translated in pieces: the first failure, or all of them joined."""
    done: list[Translation] = []
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            return outcome
        done.append(outcome)
    texts = [each.text for each in done]
    return Translation(
        text=join_pieces(pieces, texts, source_lang=order.source_lang, target_lang=order.target_lang),
        score=mean_score(done),
        num_source_tokens=sum(each.num_source_tokens for each in done),
        num_target_tokens=sum(each.num_target_tokens for each in done),
        finish="length" if any(each.finish == "length" for each in done) else "stop",
        cached=bool(done) and all(each.cached for each in done),
    )


def mean_score(translations: Sequence[Translation]) -> float | None:
    """Mean log-probability of a token over several translations, or None where one of them has none.

    Those that no model was asked for, which are made of terms alone, do not count.
    """
    asked = [each for each in translations if each.score is not None or each.num_source_tokens > 0]
    scores = [each.score for each in asked if each.score is not None]
    if not scores or len(scores) < len(asked):
        return None
    weights = [max(1, each.num_target_tokens) for each in asked]
    return sum(score * weight for score, weight in zip(scores, weights, strict=True)) / sum(weights)
