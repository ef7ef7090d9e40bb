"""The route that looks into a translator at its work."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import StreamingResponse

from deployments import schemas
from deployments.routes.responses import ERRORS
from deployments.service import TranslationService


def admin_routes(service: TranslationService) -> APIRouter:
    """Return the route."""
    router = APIRouter()

    @router.post(
        "/admin/profile",
        summary="Record a translator at its work",
        description="For so many seconds. A zip archive with PyTorch's operators (`trace.json.gz`, for "
        "https://ui.perfetto.dev; `operators.txt`) and Python's stacks (`flame_graph.svg`). The replica goes on "
        "translating, slower. Needs a key with the scope `admin` where keys are asked for.",
        response_class=StreamingResponse,
        responses={
            200: {"content": {"application/zip": {"schema": {"type": "string", "format": "binary"}}}},
            422: {"model": schemas.ErrorResponse, "description": "seconds is out of range"},
            503: ERRORS[503],
        },
    )
    async def profile(seconds: Annotated[float, Query(ge=0.1, le=30)] = 5.0) -> StreamingResponse:
        parts = service.fleet.profile(seconds)
        # What is wrong is known before the first part, and is an ordinary error.
        first = await anext(parts)

        async def archive() -> AsyncIterator[bytes]:
            yield first
            async for part in parts:
                yield part

        headers = {"Content-Disposition": 'attachment; filename="profile.zip"'}
        return StreamingResponse(archive(), media_type="application/zip", headers=headers)

    return router
