"""The values that travel between the stations of a request; immutable, picklable, free of any framework.

A request's text is cut into segments, each segment comes back as one outcome, in order.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, get_args

from pipelines.errors import TranslationError

if TYPE_CHECKING:
    from pipelines.text.glossary import Glossary

Format: TypeAlias = Literal["text", "html", "xml", "markdown", "json", "srt", "vtt"]
"""What a text may be."""
FORMATS: tuple[str, ...] = get_args(Format)
INTERACTIVE_PRIORITY = 0
BULK_PRIORITY = 1
"""Items of a batch give way to whoever waits for one text."""
PROBE_PRIORITY = -1
"""A probe asks whether the service works, not whether it is busy."""
# What a hop keeps of the time that is left: a hop takes a few milliseconds, and tens of them where all cores are busy.
_WAY_BACK_SHARE = 0.025
_SHORTEST_WAY_BACK_S = 0.05  # but never over a half of what is left
_LONGEST_WAY_BACK_S = 0.25


@dataclass(frozen=True, slots=True)
class DecodingOptions:
    """How one row is decoded. Rows of one batch may each have their own.

    Attributes:
        num_beams: Beam width; 1 is greedy search.
        max_new_tokens: Upper bound of generated tokens, language token excluded and `</s>` included;
            None takes the engine's bound for the source length.
        max_length_ratio: Upper bound of generated tokens as a multiple of the source's, on top of the engine's extra
            tokens; None takes the engine's ratio. `max_new_tokens` wins over it.
        min_new_tokens: `</s>` is not allowed before this many generated tokens.
        min_length_ratio: Nor before this multiple of the source's tokens; the upper bound wins over both.
        target_prefix: What the output begins with; the model continues it. Its tokens count as generated nowhere.
        align: Also tell which source token each generated one attends to most (`Translation.alignment`).
        length_penalty: Exponent of the length that divides a beam's summed log-probability.
        no_repeat_ngram_size: No n-gram of this size appears twice in the output; 0 switches it off.
        repetition_penalty: Divisor of positive (multiplier of negative) scores of tokens generated before
            (CTRL, Keskar et al. 2019); 1.0 switches it off.
        num_hypotheses: How many of the best hypotheses are returned; at most `num_beams`.
    """

    num_beams: int = 1
    max_new_tokens: int | None = None
    max_length_ratio: float | None = None
    min_new_tokens: int = 0
    min_length_ratio: float = 0.0
    target_prefix: str = ""
    align: bool = False
    length_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    repetition_penalty: float = 1.0
    num_hypotheses: int = 1


@dataclass(frozen=True, slots=True)
class Segment:
    """One piece of text that the model translates by itself.

    Attributes:
        text: What to translate; never empty, never only white space.
        source_lang: FLORES-200 code, such as `eng_Latn`.
        target_lang: FLORES-200 code.
        adapter: A resolved adapter version (`medical@3`), or None for the base model.
        decoding: How the row is decoded.
        priority: Lower is served first.
        deadline_s: When nobody waits for the outcome any more, by this process' monotonic clock; None means never.
            On its way to another process it is the time that is left, so clocks may differ, and be set, without what
            the way back may take, so that an answer is in time even if some of it is late.
    """

    text: str
    source_lang: str
    target_lang: str
    adapter: str | None = None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    priority: int = 0
    deadline_s: float | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        *values, deadline_s = (getattr(self, name) for name in self.__slots__)
        return _arrived, (values, None if deadline_s is None else _sent_s(deadline_s - time.monotonic()))


def _sent_s(left_s: float) -> float:
    """Return how much of the time that is left goes along to another process; the rest is for the way back."""
    way_back_s = min(max(_WAY_BACK_SHARE * left_s, _SHORTEST_WAY_BACK_S), _LONGEST_WAY_BACK_S)
    return left_s - min(way_back_s, left_s / 2)


def _arrived(values: list[Any], left_s: float | None) -> Segment:
    segment = Segment(*values)
    return segment if left_s is None else replace(segment, deadline_s=time.monotonic() + left_s)


def _restore(value: Any, state: list[Any]) -> None:
    """Set the fields of a frozen value that comes from another process.

    Its sender may be a replica of the version before, which does not know the newest fields: they have their defaults.
    """
    for index, each in enumerate(fields(value)):
        object.__setattr__(value, each.name, state[index] if index < len(state) else each.default)


class Link(NamedTuple):
    """A token of an output, and the token of the source that it attends to most, as characters `[start, end)`."""

    start: int
    end: int
    source_start: int
    source_end: int


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One candidate output of a segment, and its score (see `Translation.score`)."""

    text: str
    score: float


@dataclass(frozen=True, slots=True)
class Translation:
    """A segment that was translated.

    Attributes:
        text: The output.
        score: Mean log-probability of an output token (`</s>` included), or None if the engine has none.
        num_source_tokens: Tokens the encoder read, special tokens included.
        num_target_tokens: Tokens generated, forced prefix excluded, `</s>` included.
        finish: `stop` when the model ended the output itself, `length` when the bound cut it.
        cached: Whether a cache answered.
        alternatives: The best hypotheses, best first, when more than one was asked for.
        unknown_spans: Characters `(start, end)` of the segment's text that the vocabulary cannot spell: the model did
            not read them.
        alignment: For each generated token the source token (0 is the language) it attends to most, if
            `DecodingOptions.align` asked for it and the engine can tell.
        links: The same in characters of `text` and of the segment's text; without tokens that attend to none.
        model_revision: Names everything of the base model that decided the output; empty where nobody asks. While
            another model is rolled out, translators of both answer, and a cache keeps what is of its own.
    """

    text: str
    score: float | None = None
    num_source_tokens: int = 0
    num_target_tokens: int = 0
    finish: Literal["stop", "length"] = "stop"
    cached: bool = False
    alternatives: tuple[Hypothesis, ...] = ()
    unknown_spans: tuple[tuple[int, int], ...] = ()
    alignment: tuple[int, ...] = ()
    links: tuple[Link, ...] = ()
    model_revision: str = field(default="", compare=False)

    def __setstate__(self, state: list[Any]) -> None:
        _restore(self, state)


@dataclass(frozen=True, slots=True)
class Failure:
    """A segment that could not be translated, and why. A failing segment never fails its neighbours."""

    error: TranslationError


Outcome = Translation | Failure


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What a loaded model is.

    Attributes:
        name: The checkpoint's name or path, as configured.
        revision: A hash of the checkpoint's content, part of every cache key.
        licence: SPDX identifier, or `unknown`.
        engine: Which engine runs it: `inflight`, `transformers` or `identity`.
        device: `cpu`, `cuda:0`, `mps`.
        dtype: Of the weights: `float32`, `bfloat16`, `float16`, `int8`.
        max_source_tokens: The longest input of a segment, special tokens included.
        num_parameters: Of the base model.
        languages: FLORES-200 codes that the tokenizer has a token for, sorted.
        model_revision: See `Translation`.
    """

    name: str
    revision: str
    licence: str
    engine: str
    device: str
    dtype: str
    max_source_tokens: int
    num_parameters: int
    languages: tuple[str, ...]
    model_revision: str = ""

    def __setstate__(self, state: list[Any]) -> None:
        _restore(self, state)


@dataclass(frozen=True, slots=True)
class LoadedAdapter:
    """An adapter that an engine holds in memory.

    Attributes:
        version: Its name, such as `medical@3`.
        rank: The largest of its targets.
        num_bytes: What it takes of the device's memory.
        num_rows: Rows that use it now, waiting inside the engine or being decoded; it cannot be unloaded before 0.
    """

    version: str
    rank: int
    num_bytes: int
    num_rows: int = 0


@dataclass(frozen=True, slots=True)
class TranslationRequest:
    """One text to translate, as a caller asks for it.

    Attributes:
        text: Any valid Unicode text of any length within the limit.
        source_lang: Any code that the language table knows (`eng_Latn`, `en`, `zh-CN`), or `auto`.
        target_lang: Likewise, but not `auto`.
        adapter: Alias (`medical`) or version (`medical@3`), or None.
        decoding: How its segments are decoded.
        priority: Lower is served first.
        deadline_s: See `Segment`.
        field_prefix: What precedes a field's name in error messages, such as `items.3.`.
        glossaries: Wanted translations of terms; where two have a term, the first wins.
        format: What the text is: `text`, `html`, `xml`, `markdown`, `json`, `srt` or `vtt`.
        json_include: Of JSON: pointers (RFC 6901) of what is translated; none means all string values.
        json_exclude: Of JSON: pointers of what is left alone.
        keep_terms: Words and phrases that stay as they are.
        keep_patterns: Regular expressions of further spans that stay as they are.
        second_try: How a suspicious sentence is decoded again; None leaves it as it is.
    """

    text: str
    source_lang: str
    target_lang: str
    adapter: str | None = None
    decoding: DecodingOptions = field(default_factory=DecodingOptions)
    priority: int = 0
    deadline_s: float | None = None
    field_prefix: str = ""
    glossaries: tuple[Glossary, ...] = ()
    format: Format = "text"
    json_include: tuple[str, ...] = ()
    json_exclude: tuple[str, ...] = ()
    keep_terms: tuple[str, ...] = ()
    keep_patterns: tuple[str, ...] = ()
    second_try: DecodingOptions | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """Something the caller should know about a translation that was made.

    Attributes:
        code: Stable name of the kind.
        message: One sentence.
        segment: Which segment of the text it is about, counted from 0, or None for the whole.
    """

    code: str
    message: str
    segment: int | None = None


@dataclass(frozen=True, slots=True)
class TranslationResult:
    """A whole text's translation.

    Attributes:
        text: The translation, separators of the source kept.
        source_lang: FLORES-200 code that was resolved.
        target_lang: FLORES-200 code that was resolved.
        adapter: Adapter version that translated, or None.
        cached: Whether every segment came from a cache.
        num_segments: How many pieces the model was asked for.
        notices: What the caller should know.
        score: Mean log-probability of an output token over all segments, or None if the engine has none.
        alternatives: The best translations of the whole text, best first, when more than one was asked for.
        detected: How sure the detection of the source language was, 0 to 1, or None if the caller or the document
            named it, or the text has none.
        glossary: Version of the stored glossary that was used (`medical@3`), or None.
        counts: What happened on the way, by name: guards that fired (`guard_repetition`), sentences decoded again
            (`decoded_again`) or translated around what must not change (`translated_around`), and the like.
    """

    text: str
    source_lang: str
    target_lang: str
    adapter: str | None = None
    cached: bool = False
    num_segments: int = 0
    notices: tuple[Notice, ...] = ()
    score: float | None = None
    alternatives: tuple[Hypothesis, ...] = ()
    detected: float | None = None
    glossary: str | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SegmentProgress:
    """One finished piece of a streamed translation: `text` follows the texts before it, separators included.

    Attributes:
        num_source_chars: Of the sentences that it is the translation of.
    """

    index: int
    text: str
    cached: bool
    num_source_chars: int
