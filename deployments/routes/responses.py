"""The errors that routes may answer with, as the document of the API shows them."""

from __future__ import annotations

from typing import Any

from deployments import schemas

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ErrorResponse, "description": description}
    for status, description in {
        400: "Malformed JSON, unknown language or option, or an adapter that was not trained for these languages",
        401: "An API key is needed, or the one shown is not valid",
        403: "The API key does not allow this",
        404: "Unknown adapter",
        408: "The body did not arrive in time",
        409: "The name is taken, or the adapter does not fit the model",
        413: "Text, batch or body over the limit",
        422: "A field is missing or has the wrong type",
        429: "Over a rate limit or the key's quota; see Retry-After",
        503: "Overloaded or restarting; see Retry-After",
        504: "Not done within the deadline",
    }.items()
}
