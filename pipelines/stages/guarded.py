"""Translates one text, looks at the output, and tries once more where something about it is suspicious.

What looks wrong is in `text/quality.py`. The second try decodes with a wider beam and without repeated n-grams, of the
whole and, where the source has several clauses, clause by clause; of all tries the one with the fewest signs is kept,
then the one that the model holds for likeliest. What remains suspicious is said, never hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pipelines.stages.protected import Order, join_outcomes, translate_protected
from pipelines.stages.steps import Steps, side_by_side
from pipelines.text.quality import check_output
from pipelines.text.segment import places, split_text
from pipelines.text.spans import Span, spans_within
from pipelines.types import DecodingOptions, Failure, Notice, Outcome, Translation

# Signs that something of the source is missing or goes round: a text in smaller parts loses less.
_SIGNS_OF_LOSS = frozenset({"empty_output", "length_ratio", "repetition", "length"})
# Parts shorter than this are no clauses.
_MIN_CLAUSE_CHARS = 20
# Of a text that is cut in two or more; over a half, because its clauses are never of equal length.
_MAX_CLAUSE_SHARE = 0.6


@dataclass(frozen=True, slots=True)
class Guarded:
    """A translation and what is suspicious about it."""

    translation: Translation
    notices: tuple[Notice, ...]


def translate_guarded(text: str, spans: Sequence[Span], order: Order) -> Steps[Guarded | Failure]:
    """Translate a text; see the module."""
    outcome = yield from translate_protected(text, spans, order, order.decoding)
    if isinstance(outcome, Failure):
        return outcome
    first = examine(text, spans, outcome, order)
    for notice in first.notices:
        order.counts[f"guard_{notice.code}"] += 1
    if not first.notices or order.second_try is None:
        return first
    order.counts["decoded_again"] += 1
    outcomes = yield from side_by_side(_second_tries(text, spans, first, order, order.second_try))
    tries = [examine(text, spans, each, order) for each in outcomes if isinstance(each, Translation)]
    best = min([first, *tries], key=_rank)
    if best is not first:
        order.counts["second_try_kept"] += 1
    return best


def examine(text: str, spans: Sequence[Span], translation: Translation, order: Order) -> Guarded:
    """Look at the translation of a text in which each span became its output."""
    notices = check_output(
        _with_outputs(text, spans),
        translation.text,
        source_lang=order.source_lang,
        target_lang=order.target_lang,
        score=translation.score,
        protected=[span.output for span in spans],
    )
    if translation.finish == "length":
        notices.append(Notice("length", "the output reached its longest length and may be cut"))
    return Guarded(translation, tuple(notices))


def _with_outputs(text: str, spans: Sequence[Span]) -> str:
    for span in reversed(spans):
        text = text[: span.start] + span.output + text[span.end :]
    return text


def _second_tries(
    text: str, spans: Sequence[Span], first: Guarded, order: Order, decoding: DecodingOptions
) -> list[Steps[Outcome]]:
    tries = [translate_protected(text, spans, order, decoding)]
    if any(notice.code in _SIGNS_OF_LOSS for notice in first.notices) and len(text) >= 2 * _MIN_CLAUSE_CHARS:
        tries.append(_by_clause(text, spans, order, replace(decoding, num_hypotheses=1)))
    return tries


def _by_clause(text: str, spans: Sequence[Span], order: Order, decoding: DecodingOptions) -> Steps[Outcome]:
    limit = max(_MIN_CLAUSE_CHARS, int(_MAX_CLAUSE_SHARE * len(text)))
    pieces = split_text(text, order.source_lang, max_segment_chars=limit, whole=spans)
    parts = []
    for start, end, piece in places(pieces):
        if piece.translatable:
            parts.append(translate_protected(piece.text, spans_within(spans, start, end), order, decoding))
    outcomes = yield from side_by_side(parts)
    return join_outcomes(pieces, outcomes, order)


def _rank(guarded: Guarded) -> tuple[int, float]:
    score = guarded.translation.score
    return len(guarded.notices), -score if score is not None else 0.0
