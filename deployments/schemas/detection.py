"""Which language a text is in."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from deployments.schemas.wire import WireModel


class DetectRequest(WireModel):
    """A text whose language is asked for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"text": "Où est la pharmacie ?"}]})

    text: str


class DetectedLanguage(WireModel):
    """A language that a text may be in."""

    language: str = Field(description="FLORES-200 code.")
    confidence: float = Field(description="Between 0 and 1.")


class DetectResponse(WireModel):
    """What language a text is in."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "language": "fra_Latn",
                    "confidence": 0.99,
                    "candidates": [{"language": "fra_Latn", "confidence": 0.99}],
                    "request_id": "0f8fad5bd9cb469fa16570867728950e",
                }
            ]
        }
    )

    language: str | None = Field(description="FLORES-200 code; null where no language is likely enough.")
    confidence: float = Field(description="Of the likeliest language, whether or not it is likely enough.")
    candidates: list[DetectedLanguage] = Field(description="The likeliest, best first.")
    request_id: str
