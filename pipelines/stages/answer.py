"""Makes a request's result of what came of its sentences: text, score, alternatives, notices, counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from pipelines.errors import TranslationError
from pipelines.stages.alternatives import best_combinations
from pipelines.stages.assembly import assemble_parts
from pipelines.stages.plan import Plan
from pipelines.stages.protected import mean_score
from pipelines.stages.sentence import Done
from pipelines.text.glossary import check_terms
from pipelines.types import Failure, Hypothesis, Notice, TranslationResult


def make_result(plan: Plan, outcomes: Sequence[Done | Failure]) -> TranslationResult | TranslationError:
    """Put the sentences together, or return the first failure.

    Args:
        plan: Of the request.
        outcomes: One for each sentence of all passages, in order.
    """
    done: list[Done] = []
    for outcome in outcomes:
        if isinstance(outcome, Failure):
            return outcome.error
        done.append(outcome)
    text = _assemble(plan, done)
    translations = [each.translation for each in done]
    return TranslationResult(
        text=text,
        source_lang=plan.source_lang,
        target_lang=plan.target_lang,
        adapter=plan.adapter,
        cached=bool(done) and all(each.cached for each in translations),
        num_segments=len(done),
        notices=(*plan.notices, *_notices(done), *_missing_terms(plan, done)),
        score=mean_score(translations),
        alternatives=tuple(_alternatives(plan, done)) if plan.num_alternatives > 1 else (),
        detected=plan.detected,
        glossary=plan.glossary,
        counts=dict(plan.counts),
    )


def _assemble(plan: Plan, done: Sequence[Done]) -> str:
    # A document names its language again once something of it was translated.
    changed = any(each.translation.text != sentence.text for each, (sentence, _) in zip(done, plan.work(), strict=True))
    return assemble_parts(plan.parts, iter(done), plan.target_lang if changed else None)


def _notices(done: Sequence[Done]) -> Iterator[Notice]:
    for place, each in enumerate(done):
        for notice in each.notices:
            yield replace(notice, message=f"segment {place}: {notice.message}", segment=place)


def _missing_terms(plan: Plan, done: Sequence[Done]) -> Iterator[Notice]:
    outputs = [each.translation.text for each in done]
    position = 0
    for passage in plan.passages:
        end = position + len(passage.sentences)
        # Pieces without a letter are kept, and a term may be one.
        kept = [piece.text for piece in passage.pieces if not piece.translatable]
        yield from check_terms("\n".join(outputs[position:end] + kept), passage.terms)
        position += sum(1 for _ in passage.work())


def _alternatives(plan: Plan, done: Sequence[Done]) -> Iterator[Hypothesis]:
    texts: set[str] = set()
    for chosen in best_combinations(done, plan.num_alternatives):
        text = _assemble(plan, chosen)
        if text not in texts:
            texts.add(text)
            yield Hypothesis(text, mean_score([each.translation for each in chosen]) or 0.0)
