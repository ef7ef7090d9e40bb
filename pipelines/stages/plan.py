"""Understands a request before anything is translated: languages, adapter, passages, sentences, what must not change.

Knows no model and no station; what is wrong with a request is said here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from pipelines.adapters import AdapterCatalog
from pipelines.errors import AdapterLanguageError, TextTooLongError
from pipelines.stages.assembly import Place, PlannedPart, PlannedPassage
from pipelines.stages.protected import Order
from pipelines.stages.sentence import Sentence
from pipelines.text.detect import LanguageDetector
from pipelines.text.languages import resolve_language
from pipelines.text.markup.build import Part
from pipelines.text.markup.read import read_document
from pipelines.text.passage import Passage, Tag
from pipelines.text.patterns import Patterns
from pipelines.text.protect import as_written, find_spans, has_language
from pipelines.text.segment import Piece, places, split_text
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
        parts: The document in order: what is kept as it is, names of languages, and passages.
        num_alternatives: How many translations of the whole are asked for.
        detected: See `TranslationResult`.
        glossary: See `TranslationResult`.
        notices: What is known before anything is translated.
        counts: See `TranslationResult`; filled while the sentences are translated.
    """

    source_lang: str
    target_lang: str
    adapter: str | None
    parts: list[PlannedPart]
    num_alternatives: int
    detected: float | None
    glossary: str | None
    notices: tuple[Notice, ...]
    counts: Counter[str]

    @property
    def passages(self) -> list[PlannedPassage]:
        """The parts that are translated."""
        return [part for part in self.parts if isinstance(part, PlannedPassage)]

    def work(self) -> list[tuple[Sentence, Order]]:
        """What is to be translated, in order."""
        return [each for passage in self.passages for each in passage.work()]

    def fragments(self) -> Iterator[str | Place]:
        """The document in order: what is kept as it is, and where sentences stand."""
        for part in self.parts:
            if isinstance(part, PlannedPassage):
                yield from part.fragments()
            else:
                yield part if isinstance(part, str) else part.raw


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
        document, notices = read_document(
            request.text,
            request.format,
            source_lang=named,
            include=request.json_include,
            exclude=request.json_exclude,
            field_prefix=prefix,
        )
        source, detected = named, None
        if source is None:
            source, detected = self._detect(document, f"{prefix}source_lang")
        if source is None:
            # What is the same in every language is in the target's already.
            source = target
            notices.append(
                Notice("no_language", f"the text has no letters; it is treated as {target} and returned unchanged")
            )
        scope = _Scope(
            request,
            source,
            target,
            adapters={source: self._adapter(request, source, target)},
            detects=named is None,
            keep_terms=as_written(request.keep_terms),
            patterns=Patterns(request.keep_patterns, f"{prefix}protect_patterns"),
        )
        parts = [self._plan_part(part, scope) for part in document]
        notices += scope.notices
        if scope.languages == {target} and not any(each.code == "no_language" for each in notices):
            notices.append(
                Notice("same_language", f"source and target are both {target}; the text is returned as it is")
            )
        return Plan(
            source_lang=source,
            target_lang=target,
            adapter=scope.adapters[source],
            parts=parts,
            num_alternatives=request.decoding.num_hypotheses,
            detected=detected,
            glossary=next((each.name for each in request.glossaries if each.name is not None), None),
            notices=tuple(notices),
            counts=scope.counts,
        )

    def _detect(self, document: Sequence[Part], field: str) -> tuple[str | None, float | None]:
        """The language of most of a document, if it has any, and how sure it is, if the document does not say it."""
        passages = list(_passages(document))
        num_chars: Counter[str] = Counter()
        confidence: dict[str, float] = {}
        for part in passages:
            found = self._detector.detect_if_sure(part.text) if part.language is None else None
            if found is not None:
                num_chars[found.language] += len(part.text)
                confidence[found.language] = max(confidence.get(found.language, 0.0), found.confidence)
        if num_chars:
            source = num_chars.most_common(1)[0][0]
            return source, confidence[source]
        declared: Counter[str] = Counter()
        for part in passages:
            if part.language is not None:
                declared[part.language] += len(part.text)
        if declared:
            return declared.most_common(1)[0][0], None
        if not any(has_language(part.text) for part in passages):
            return None, None
        whole = self._detector.detect("\n".join(part.text for part in passages), field=field)
        return whole.language, whole.confidence

    def _adapter(self, request: TranslationRequest, source: str, target: str) -> str | None:
        if source == target:
            return None
        field = f"{request.field_prefix}adapter"
        return self._adapters.resolve(request.adapter, source, target, text=request.text, field=field)

    def _plan_part(self, part: Part, scope: _Scope) -> PlannedPart:
        if not isinstance(part, Passage):
            return part
        language = part.language or self._own_language(part, scope)
        scope.languages.add(language)
        return part.raw if language == scope.target else self._plan_passage(part, language, scope)

    def _own_language(self, passage: Passage, scope: _Scope) -> str:
        found = self._detector.detect_if_sure(passage.text) if scope.detects else None
        return scope.source if found is None else found.language

    def _plan_passage(self, passage: Passage, language: str, scope: _Scope) -> PlannedPassage:
        request = scope.request
        order = Order(
            source_lang=language,
            target_lang=scope.target,
            adapter=self._adapter_of(language, scope),
            decoding=request.decoding,
            second_try=request.second_try,
            priority=request.priority,
            deadline_s=request.deadline_s,
            counts=scope.counts,
        )
        objects = [Span(tag.offset, tag.offset + 1, char) for char, tag in passage.objects.items()]
        fitting = [each for each in request.glossaries if each.source_lang in (None, language)]
        kept = find_spans(passage.text, terms=scope.keep_terms, patterns=scope.patterns)
        terms = merge_spans(*(glossary.find(passage.text, kept) for glossary in fitting))
        spans = merge_spans(objects, terms, unchanged_spans(passage.text, kept))
        pieces = split_text(passage.text, language, max_segment_chars=self._max_segment_chars, whole=spans)
        tags: dict[int | str, list[PlannedPart]] = {}
        keyed: list[tuple[int | str, Tag]] = [*enumerate(passage.tags), *passage.objects.items()]
        for key, tag in keyed:
            if tag.parts:
                tags[key] = [self._plan_part(part, scope) for part in tag.parts]
        return PlannedPassage(
            passage=passage,
            order=order,
            pieces=pieces,
            sentences=_sentences(passage, pieces, spans),
            terms=tuple(span.output for span in terms),
            tags=tags,
        )

    def _adapter_of(self, language: str, scope: _Scope) -> str | None:
        """The adapter for passages in a language; one that is not the document's own need not have any."""
        if language not in scope.adapters:
            try:
                scope.adapters[language] = self._adapter(scope.request, language, scope.target)
            except AdapterLanguageError as error:
                scope.adapters[language] = None
                message = f"what is in {language} is translated by the base model: {error.message}"
                scope.notices.append(Notice("adapter_language", message))
        return scope.adapters[language]


@dataclass(slots=True)
class _Scope:
    """What is known of a request while its parts are planned."""

    request: TranslationRequest
    source: str
    target: str
    adapters: dict[str, str | None]
    detects: bool
    keep_terms: tuple[str, ...]
    patterns: Patterns
    notices: list[Notice] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    languages: set[str] = field(default_factory=set)


def _passages(parts: Sequence[Part]) -> Iterator[Passage]:
    """The passages of a document, and those inside their tags."""
    for part in parts:
        if isinstance(part, Passage):
            yield part
            for tag in (*part.tags, *part.objects.values()):
                yield from _passages(tag.parts)


def _sentences(passage: Passage, pieces: Sequence[Piece], spans: Sequence[Span]) -> list[Sentence]:
    sentences = []
    for start, end, piece in places(pieces):
        if piece.translatable:
            tags = [replace(tag, offset=tag.offset - start) for tag in passage.tags_between(start, end)]
            sentences.append(Sentence(piece.text, spans_within(spans, start, end), tags))
    return sentences
