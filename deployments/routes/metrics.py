"""`GET /metrics`, for Prometheus."""

from __future__ import annotations

import hmac

from fastapi import APIRouter, Request, Response
from pydantic import SecretStr

from deployments import schemas
from deployments.cluster_metrics import MetricsPage
from deployments.routes.responses import ERRORS
from pipelines.errors import UnauthenticatedError, UnavailableError


def metrics_routes(page: MetricsPage | None, token: SecretStr | None) -> APIRouter:
    """Return the route.

    Args:
        page: What it answers with; None answers that there is none.
        token: What it asks for as a bearer token; None asks for nothing.
    """
    router = APIRouter()

    @router.get(
        "/metrics",
        summary="Metrics of the whole application, for Prometheus",
        description="Of all replicas on all nodes. Asks for `Authorization: Bearer` where `metrics.token` is set.",
        response_class=Response,
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}}},
            401: {"model": schemas.ErrorResponse, "description": "The bearer token is missing or another"},
            503: ERRORS[503],
        },
    )
    async def metrics(request: Request) -> Response:
        if token is not None and not _shows_bearer(request, token):
            raise UnauthenticatedError("this needs the token of the metrics, as `Authorization: Bearer TOKEN`")
        if page is None:
            raise UnavailableError("this process has no metrics of a cluster")
        content, media_type = await page.render(request.headers.get("accept", ""))
        return Response(content, media_type=media_type)

    return router


def _shows_bearer(request: Request, token: SecretStr) -> bool:
    expected = f"Bearer {token.get_secret_value()}"
    return hmac.compare_digest(request.headers.get("authorization", "").encode(), expected.encode())
