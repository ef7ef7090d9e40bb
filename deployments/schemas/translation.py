"""Requests for translations and their answers."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import ConfigDict, Field

from deployments.schemas.errors import ErrorDetail
from deployments.schemas.wire import LANGUAGE, WireModel
from pipelines.types import Format


class GlossaryOptions(WireModel):
    """How the terms of a glossary are found in a text."""

    match_case: bool = Field(False, description="Whether `Ray` leaves `ray` alone.")
    match_inflections: bool = Field(
        False, description="Whether words of four letters or more may have another ending of up to three letters."
    )


class TranslateRequest(WireModel):
    """One text to translate."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"text": "Good morning.", "source_lang": "eng_Latn", "target_lang": "hin_Deva"}]
        }
    )

    text: str = Field(description="Any text; line breaks and spacing come back as they were.")
    source_lang: str = Field(description=f"{LANGUAGE}; `auto` detects it, paragraph by paragraph.")
    target_lang: str = Field(description=LANGUAGE)
    format: Format = Field(
        "text", description="What the text is. Everything that is not language comes back byte for byte."
    )
    json_include: list[str] = Field(
        [],
        description="Of JSON: pointers (RFC 6901) of the values to translate, with all inside them; `*` is any key or "
        "index; none means all string values.",
        examples=[["/title", "/items/*/text"]],
    )
    json_exclude: list[str] = Field([], description="Of JSON: pointers of values to leave alone.")
    adapter: str | None = Field(None, description="Alias (`medical`) or version (`medical@3`) of an adapter.")
    num_beams: int | None = Field(None, ge=1, description="Beam width; 1 is greedy search.")
    max_length: int | None = Field(None, ge=1, description="Most tokens of the output of one sentence.")
    alternatives: int = Field(1, ge=1, description="How many of the best translations are returned, with scores.")
    glossary: dict[str, str] | None = Field(
        None,
        description="Wanted translations by source term: whole words, the longest first; each up to 1000 characters.",
        examples=[{"heart attack": "दिल का दौरा"}],
    )
    glossary_id: str | None = Field(
        None, description="A stored glossary (`medical`), or a version of it (`medical@3`); terms of `glossary` win."
    )
    glossary_options: GlossaryOptions = Field(default_factory=lambda: GlossaryOptions.model_validate({}))
    do_not_translate: list[str] = Field(
        [], description="Words and phrases that stay as they are; whole words, in this case."
    )
    protect_patterns: list[str] = Field(
        [], description="Regular expressions of further parts that stay as they are.", examples=[[r"[A-Z]{2}-\d+"]]
    )


class BatchTranslateRequest(WireModel):
    """Texts of any languages, each with the fields of a single request."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {"text": "Good morning.", "source_lang": "eng_Latn", "target_lang": "hin_Deva"},
                        {"text": "Buenos días.", "source_lang": "es", "target_lang": "fr"},
                    ]
                }
            ]
        }
    )

    # Items are validated one by one, so that a bad one never fails its neighbours.
    items: Annotated[list[Any], Field(json_schema_extra={"items": {"$ref": "#/components/schemas/TranslateRequest"}})]


class TranslationWarning(WireModel):
    """Something to know about a translation that was made."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"code": "same_language", "message": "the text is returned as it is"}]}
    )

    code: str = Field(description="Stable name of the kind of warning; docs/quality.md explains each.")
    message: str
    segment: int | None = Field(None, description="Which sentence of the text it is about, counted from 0.")


class Alternative(WireModel):
    """One of the best translations of the whole text."""

    translation: str
    score: float | None = Field(description="Mean log-probability of a token: nearer to 0 is likelier.")


class TranslateResponse(WireModel):
    """A translated text."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "translation": "सुप्रभात।",
                    "source_lang": "eng_Latn",
                    "target_lang": "hin_Deva",
                    "model": "demo",
                    "adapter": None,
                    "glossary": None,
                    "cached": False,
                    "score": -0.12,
                    "alternatives": [],
                    "detection_confidence": None,
                    "latency_ms": 12.5,
                    "request_id": "0f8fad5bd9cb469fa16570867728950e",
                    "warnings": [],
                }
            ]
        }
    )

    translation: str
    source_lang: str = Field(description="FLORES-200 code that was understood.")
    target_lang: str = Field(description="FLORES-200 code that was understood.")
    model: str
    adapter: str | None = Field(description="Adapter version that translated.")
    glossary: str | None = Field(description="Version of the stored glossary that was used (`medical@3`).")
    cached: bool = Field(description="Whether all of it came from the cache.")
    score: float | None = Field(description="Mean log-probability of a token; null where the engine has none.")
    alternatives: list[Alternative] = Field(description="Best first, where more than one was asked for.")
    detection_confidence: float | None = Field(
        description="How sure the detection of the source language was; null where it was named, or there is none."
    )
    latency_ms: float = Field(description="Time between reading the request and answering it.")
    request_id: str
    warnings: list[TranslationWarning]


class BatchItem(WireModel):
    """One item's result: a translation or an error, never both."""

    translation: str | None = None
    source_lang: str | None = None
    target_lang: str | None = None
    adapter: str | None = None
    glossary: str | None = None
    cached: bool = False
    score: float | None = None
    alternatives: list[Alternative] = Field(default=[])
    detection_confidence: float | None = None
    warnings: list[TranslationWarning] = Field(default=[])
    error: ErrorDetail | None = None


class BatchTranslateResponse(WireModel):
    """One result per item, in order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "results": [
                        {
                            "translation": "सुप्रभात।",
                            "source_lang": "eng_Latn",
                            "target_lang": "hin_Deva",
                            "adapter": None,
                            "glossary": None,
                            "cached": False,
                            "score": -0.12,
                            "alternatives": [],
                            "detection_confidence": None,
                            "warnings": [],
                            "error": None,
                        }
                    ],
                    "model": "demo",
                    "latency_ms": 14.1,
                    "request_id": "0f8fad5bd9cb469fa16570867728950e",
                }
            ]
        }
    )

    results: list[BatchItem]
    model: str
    latency_ms: float
    request_id: str
