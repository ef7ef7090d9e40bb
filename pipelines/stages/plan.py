"""Understands a request before anything is translated: languages, adapter, passages, sentences, what must not change.

Knows no model and no station; what is wrong with a request is said here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from pipelines.adapters import AdapterCatalog
from pipelines.errors import TextTooLongError
from pipelines.stages.assembly import PlannedPassage, SentencePlace
from pipelines.stages.protected import Order
from pipelines.stages.sentence import Sentence
from pipelines.text.detect import LanguageDetector
from pipelines.text.languages import resolve_language
from pipelines.text.markup.plain import read_plain
from pipelines.text.passage import Passage
from pipelines.text.protect import find_spans
from pipelines.text.segment import Piece, split_text
from pipelines.text.spans import Span, merge_spans, spans_within, unchanged_spans
from pipelines.text.validity import check_text
from pipelines.types import Notice, TranslationRequest

AUTO = "auto"
"""The source language of a request that leaves it to the detector."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A request that was understood.

    Attributes:
        source_lang: FLORES-200 code; of the largest part, where paragraphs differ.
        target_lang: FLORES-200 code.
        adapter: Version, or None.
        parts: The document in order: what is kept as it is, and passages.
        num_alternatives: How many translations of the whole are asked for.
        detected: See `TranslationResult`.
        notices: What is known before anything is translated.
        counts: See `TranslationResult`; filled while the sentences are translated.
    """

    source_lang: str
    target_lang: str
    adapter: str | None
    parts: list[str | PlannedPassage]
    num_alternatives: int
    detected: float | None
    notices: tuple[Notice, ...]
    counts: Counter[str]

    @property
    def passages(self) -> list[PlannedPassage]:
        """The parts that are translated."""
        return [part for part in self.parts if isinstance(part, PlannedPassage)]

    def fragments(self) -> Iterator[str | SentencePlace]:
        """The document in order: what is kept as it is, and where sentences stand."""
        for part in self.parts:
            if isinstance(part, str):
                yield part
            else:
                yield from part.fragments()


class Planner:
    """Makes plans.

    Args:
        max_text_chars: Longer texts are refused.
        max_segment_chars: Longest piece that the model is given at a time.
        adapters: Resolves adapters.
        detector: For requests that leave the source language open.
    """

    def __init__(
        self, *, max_text_chars: int, max_segment_chars: int, adapters: AdapterCatalog, detector: LanguageDetector
    ) -> None:
        self._max_text_chars = max_text_chars
        self._max_segment_chars = max_segment_chars
        self._adapters = adapters
        self._detector = detector

    def plan(self, request: TranslationRequest) -> Plan:
        """Understand a request.

        Raises:
            InvalidRequestError: It cannot be served; the message names the field.
        """
        prefix = request.field_prefix
        named = None
        if request.source_lang.strip().lower() != AUTO:
            named = resolve_language(request.source_lang, field=f"{prefix}source_lang").code
        target = resolve_language(request.target_lang, field=f"{prefix}target_lang").code
        check_text(request.text, f"{prefix}text")
        if len(request.text) > self._max_text_chars:
            raise TextTooLongError(
                f"{prefix}text has {len(request.text)} characters; at most {self._max_text_chars} are accepted "
                "in one text, split it into several",
                field=f"{prefix}text",
            )
        document = read_plain(request.text)
        source, languages, detected = self._languages(document, named, f"{prefix}source_lang")
        plan = Plan(
            source_lang=source,
            target_lang=target,
            adapter=self._adapter(request, source, target),
            parts=[],
            num_alternatives=request.decoding.num_hypotheses,
            detected=detected,
            notices=_same_language(languages, target),
            counts=Counter(),
        )
        for part, language in zip(document, languages, strict=True):
            if isinstance(part, str) or language == target:
                plan.parts.append(part if isinstance(part, str) else part.raw)
            else:
                plan.parts.append(self._plan_passage(part, language or source, plan, request))
        return plan

    def _languages(
        self, document: list[str | Passage], named: str | None, field: str
    ) -> tuple[str, list[str | None], float | None]:
        """The document's language, each part's (None for what is no language), and how sure a detection was."""
        if named is not None:
            return named, [None if isinstance(part, str) else part.language or named for part in document], None
        passages = [part for part in document if isinstance(part, Passage)]
        sure = {id(part): self._detector.detect_if_sure(part.text) for part in passages if part.language is None}
        num_chars: Counter[str] = Counter()
        confidence: dict[str, float] = {}
        for part in passages:
            found = sure.get(id(part))
            if found is not None:
                num_chars[found.language] += len(part.text)
                confidence[found.language] = max(confidence.get(found.language, 0.0), found.confidence)
        if num_chars:
            source = num_chars.most_common(1)[0][0]
        else:
            whole = self._detector.detect("\n".join(part.text for part in passages), field=field)
            source, confidence[whole.language] = whole.language, whole.confidence
        languages: list[str | None] = []
        for each in document:
            found = sure.get(id(each))
            declared = each.language if isinstance(each, Passage) else None
            languages.append(
                None if isinstance(each, str) else declared or (found.language if found is not None else source)
            )
        return source, languages, confidence[source]

    def _adapter(self, request: TranslationRequest, source: str, target: str) -> str | None:
        if request.adapter is None:
            return None
        return self._adapters.resolve(request.adapter, source, target, field=f"{request.field_prefix}adapter")

    def _plan_passage(self, passage: Passage, language: str, plan: Plan, request: TranslationRequest) -> PlannedPassage:
        same_pair = language == plan.source_lang
        order = Order(
            source_lang=language,
            target_lang=plan.target_lang,
            adapter=plan.adapter if same_pair else self._adapter(request, language, plan.target_lang),
            decoding=request.decoding,
            second_try=request.second_try,
            priority=request.priority,
            deadline_unix_s=request.deadline_unix_s,
            counts=plan.counts,
        )
        terms = request.glossary.find(passage.text) if request.glossary is not None else []
        spans = merge_spans(terms, self._kept_spans(passage.text, request))
        pieces = split_text(passage.text, language, max_segment_chars=self._max_segment_chars, whole=spans)
        return PlannedPassage(
            passage=passage,
            order=order,
            pieces=pieces,
            sentences=_sentences(passage, pieces, spans),
            terms=tuple(span.output for span in terms),
        )

    def _kept_spans(self, text: str, request: TranslationRequest) -> list[Span]:
        field = f"{request.field_prefix}keep_patterns"
        found = find_spans(text, terms=request.keep_terms, patterns=request.keep_patterns, field=field)
        return unchanged_spans(text, found)


def _same_language(languages: list[str | None], target: str) -> tuple[Notice, ...]:
    if not any(language is not None for language in languages) or any(
        language not in (None, target) for language in languages
    ):
        return ()
    return (Notice("same_language", f"source and target are both {target}; the text is returned as it is"),)


def _sentences(passage: Passage, pieces: list[Piece], spans: list[Span]) -> list[Sentence]:
    sentences = []
    position = 0
    for piece in pieces:
        end = position + len(piece.text)
        if piece.translatable:
            inside = spans_within(spans, position, end)
            sentences.append(Sentence(piece.text, inside, passage.tags_inside(position, end)))
        position = end
    return sentences
