"""What all wire models have in common."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

LANGUAGE = "FLORES-200 code (`eng_Latn`), or an ISO 639 or BCP-47 code (`en`, `zh-CN`, `pt-BR`)"


class WireModel(BaseModel):
    """Strict: a field that is unknown, missing or of another type is an error that names it."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
