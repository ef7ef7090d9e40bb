"""Stored glossaries."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from deployments.schemas.wire import LANGUAGE, WireModel
from pipelines.glossaries.record import GlossaryVersion
from pipelines.glossaries.tables import TableFormat

_EXAMPLE: dict[str, Any] = {
    "source_lang": "eng_Latn",
    "target_lang": "hin_Deva",
    "entries": {"heart attack": "दिल का दौरा"},
}


class GlossaryBody(WireModel):
    """What a version of a glossary says: either `entries`, or a table as `content`."""

    model_config = ConfigDict(json_schema_extra={"examples": [_EXAMPLE]})

    source_lang: str = Field(description=LANGUAGE)
    target_lang: str = Field(description=LANGUAGE)
    entries: dict[str, str] | None = Field(None, description="Translation by source term; each up to 1000 characters.")
    content: str | None = Field(None, description="A table: term and translation in each line, or a JSON object.")
    format: TableFormat = Field("tsv", description="Of `content`.")
    match_case: bool = Field(False, description="Whether `Ray` leaves `ray` alone.")
    match_inflections: bool = Field(False, description="Whether words may have another ending.")


class GlossaryCreate(GlossaryBody):
    """A new glossary."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"id": "medical", **_EXAMPLE}]})

    id: str = Field(description="Its name: up to 64 of `a-z`, `0-9`, `_`, `.`, `-`.")


class GlossarySummary(WireModel):
    """A version of a glossary without its entries."""

    id: str
    version: int = Field(description="Counted from 1; `id@version` names it in a request.")
    source_lang: str
    target_lang: str
    num_terms: int
    match_case: bool
    match_inflections: bool
    created_unix_s: float


class GlossaryResponse(GlossarySummary):
    """A version of a glossary."""

    entries: dict[str, str]


class GlossariesResponse(WireModel):
    """The newest version of every glossary."""

    glossaries: list[GlossarySummary]


class GlossaryDeletedResponse(WireModel):
    """How many versions were removed."""

    removed: int


def summary(glossary: GlossaryVersion) -> GlossarySummary:
    """A version as the wire has it, without entries."""
    return GlossarySummary(**_fields(glossary))


def whole(glossary: GlossaryVersion) -> GlossaryResponse:
    """A version as the wire has it."""
    return GlossaryResponse(**_fields(glossary), entries=dict(glossary.entries))


def _fields(glossary: GlossaryVersion) -> dict[str, Any]:
    return {
        "id": glossary.id,
        "version": glossary.version,
        "source_lang": glossary.source_lang,
        "target_lang": glossary.target_lang,
        "num_terms": len(glossary.entries),
        "match_case": glossary.match_case,
        "match_inflections": glossary.match_inflections,
        "created_unix_s": glossary.created_unix_s,
    }
