"""What a library call may ask for beside its texts: the options of a request of the service, checked alike."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Required, TypedDict

from configs.schema import Settings
from pipelines.errors import UnsupportedOptionError
from pipelines.stages.configured import configured_second_try, wanted_decoding
from pipelines.text.glossary import Glossary
from pipelines.types import FORMATS, Format, TranslationRequest

_MAX_SHOWN_CHARS = 60


class TranslateOptions(TypedDict, total=False):
    """What all ways to translate take beside the texts; it means what it means in a request of the service.

    Attributes:
        source_lang: Any code that the language table knows (`eng_Latn`, `en`), or `auto`.
        target_lang: Likewise, but not `auto`.
        adapter: One of those of `load_translator`; None is the base model, or the pair's default.
        format: What the texts are, such as `html`; by default plain text.
        json_include: Of JSON: pointers (RFC 6901) of what is translated; none means all string values.
        json_exclude: Of JSON: pointers of what is left alone.
        glossary: Wanted translations by source term, or a `pipelines.text.glossary.Glossary`.
        do_not_translate: Words and phrases that stay as they are.
        protect_patterns: Regular expressions of further parts that stay as they are.
        num_beams: Beam width; 1 is greedy search; None is as configured.
        max_length: Most tokens of the output of one sentence.
        alternatives: How many of the best translations a result has.
    """

    source_lang: Required[str]
    target_lang: Required[str]
    adapter: str | None
    format: Format
    json_include: Sequence[str]
    json_exclude: Sequence[str]
    glossary: Mapping[str, str] | Glossary | None
    do_not_translate: Sequence[str]
    protect_patterns: Sequence[str]
    num_beams: int | None
    max_length: int | None
    alternatives: int


def request_of(
    settings: Settings,
    *,
    source_lang: str,
    target_lang: str,
    adapter: str | None = None,
    format: Format = "text",
    json_include: Sequence[str] = (),
    json_exclude: Sequence[str] = (),
    glossary: Mapping[str, str] | Glossary | None = None,
    do_not_translate: Sequence[str] = (),
    protect_patterns: Sequence[str] = (),
    num_beams: int | None = None,
    max_length: int | None = None,
    alternatives: int = 1,
) -> TranslationRequest:
    """Return what the pipeline is asked, but for the text, which is empty; the arguments are `TranslateOptions`.

    Raises:
        UnsupportedOptionError: An option is not accepted; the message names it.
    """
    if format not in FORMATS:
        raise UnsupportedOptionError(f"format is {format!r}; accepted are {', '.join(FORMATS)}", field="format")
    decoding = wanted_decoding(settings.decoding, num_beams=num_beams, alternatives=alternatives, max_length=max_length)
    if glossary is not None and not isinstance(glossary, Glossary):
        glossary = Glossary(glossary)
    return TranslationRequest(
        "",
        source_lang,
        target_lang,
        adapter=adapter,
        decoding=decoding,
        glossaries=() if glossary is None else (glossary,),
        format=format,
        json_include=tuple(several(json_include, "json_include")),
        json_exclude=tuple(several(json_exclude, "json_exclude")),
        keep_terms=tuple(several(do_not_translate, "do_not_translate")),
        keep_patterns=tuple(several(protect_patterns, "protect_patterns")),
        second_try=configured_second_try(decoding, settings.quality),
    )


def several(values: Iterable[str], field: str) -> Iterable[str]:
    """Return the values, which are not one: a string is several, too, of its characters.

    Raises:
        UnsupportedOptionError: They are a string; the message names the field.
    """
    if isinstance(values, str):
        shown = values if len(values) <= _MAX_SHOWN_CHARS else values[:_MAX_SHOWN_CHARS] + "..."
        raise UnsupportedOptionError(f"{field} is {shown!r}; a list of such is accepted", field=field)
    return values
