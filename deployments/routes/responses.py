"""The errors that routes may answer with, as the document of the API shows them."""

from __future__ import annotations

from typing import Any

from deployments import schemas
from deployments.access.routes import requirement_of

ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": schemas.ErrorResponse, "description": description}
    for status, description in {
        400: "Malformed JSON, unknown language or option, or an adapter that was not trained for these languages",
        401: "An API key is needed, or the one shown is not valid",
        403: "The API key does not allow this, or a page of a site sent it that may not",
        404: "Unknown adapter or glossary",
        408: "The body did not arrive in time",
        409: "The name is taken, or the adapter does not fit the model",
        413: "Text, batch or body over the limit",
        415: "The body is not sent as JSON",
        422: "A field is missing or has the wrong type",
        429: "Over a rate limit or the key's quota; see Retry-After",
        500: "The service or the model failed on this; the log has the cause under the request id",
        503: "Overloaded or restarting; see Retry-After",
        504: "Not done within the deadline",
    }.items()
}


def errors_of_any_route(method: str, path: str) -> set[int]:
    """Return the statuses of errors that a request meets before its route or whatever the route does."""
    needs = requirement_of(method, path)
    statuses = {500}
    if not needs.public:
        statuses |= {401, 429, 503}  # 503: the store of the keys cannot be reached
    if needs.scope is not None:
        statuses.add(403)
    if method not in {"GET", "HEAD", "OPTIONS"}:
        statuses |= {408, 413}
    return statuses
