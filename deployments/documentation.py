"""How the API explains itself: `/docs`, which loads nothing from elsewhere, and the OpenAPI document behind it."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.responses import RedirectResponse
from fastapi_offline import FastAPIOffline

from deployments.routes.responses import ERRORS, errors_of_any_route

# Of what a request may show, in every operation; where `access.keys` is optional, nothing has to be shown.
_SECURITY: list[dict[str, list[str]]] = [{}, {"bearer": []}, {"header": []}]
_SECURITY_SCHEMES = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key"},
    "header": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "The same key in another header"},
}


def documented_api() -> FastAPI:
    """Return an application without any route but those of its documentation; `/` leads to it."""
    api = FastAPIOffline(
        title="NLLB on Ray",
        version="1",
        summary="Translation between 200 languages.",
        docs_url="/docs",
        redoc_url=None,
        static_url="/docs/files",
        openapi_url="/openapi.json",
    )
    declared = api.openapi

    def whole() -> dict[str, Any]:
        """Add what FastAPI cannot know, since it happens around the routes: keys, and what all requests may meet."""
        document = declared()
        document["security"] = _SECURITY
        document["components"]["securitySchemes"] = _SECURITY_SCHEMES
        for path, operations in document["paths"].items():
            for method, operation in operations.items():
                errors = {str(status): _error(status) for status in errors_of_any_route(method.upper(), path)}
                operation["responses"] = dict(sorted((errors | operation["responses"]).items()))
        return document

    api.openapi = whole  # type: ignore[method-assign]

    @api.get("/", include_in_schema=False)
    async def to_the_documentation() -> RedirectResponse:
        return RedirectResponse("docs")

    return api


def _error(status: int) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorResponse"}
    return {"description": ERRORS[status]["description"], "content": {"application/json": {"schema": schema}}}
