"""The one shape of every error."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from deployments.schemas.wire import WireModel


class ErrorDetail(WireModel):
    """What was wrong."""

    code: str = Field(description="Stable name of the kind of error.")
    message: str = Field(description="What was wrong, its value, and what is accepted.")
    field: str | None = Field(description="Field at fault, in dotted form.")
    request_id: str


class ErrorResponse(WireModel):
    """The one shape of every error."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "error": {
                        "code": "unknown_language",
                        "message": "unknown language 'englsh'; nearest: eng_Latn (English)",
                        "field": "source_lang",
                        "request_id": "0f8fad5bd9cb469fa16570867728950e",
                    }
                }
            ]
        }
    )

    error: ErrorDetail
