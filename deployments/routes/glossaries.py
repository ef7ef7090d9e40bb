"""The routes of stored glossaries."""

from __future__ import annotations

from fastapi import APIRouter, Response

from deployments.glossaries import Glossaries
from deployments.schemas import glossaries as schemas
from pipelines.glossaries.tables import TableFormat, write_table

_MEDIA_TYPES = {"tsv": "text/tab-separated-values", "csv": "text/csv", "json": "application/json"}
_TABLES = {media_type: {"schema": {"type": "string"}} for media_type in _MEDIA_TYPES.values()} | {
    _MEDIA_TYPES["json"]: {"schema": {"type": "object", "additionalProperties": {"type": "string"}}}
}


def glossary_routes(glossaries: Glossaries) -> APIRouter:
    """Return the routes under `/glossaries`."""
    router = APIRouter(prefix="/glossaries")

    @router.post("", summary="Keep a new glossary", status_code=201)
    async def create(body: schemas.GlossaryCreate) -> schemas.GlossaryResponse:
        return schemas.whole(await glossaries.create(body))

    @router.get("", summary="All glossaries")
    async def newest() -> schemas.GlossariesResponse:
        return schemas.GlossariesResponse(
            glossaries=[schemas.summary(each) for each in await glossaries.store.newest()]
        )

    @router.get("/{name}", summary="A glossary, or a version of it (`medical@3`)")
    async def get(name: str) -> schemas.GlossaryResponse:
        return schemas.whole(await glossaries.get(name))

    @router.get(
        "/{name}/entries",
        summary="Its entries as a file",
        response_class=Response,
        responses={200: {"content": _TABLES}},
    )
    async def entries(name: str, format: TableFormat = "tsv") -> Response:
        table = write_table((await glossaries.get(name)).entries, format)
        return Response(table, media_type=f"{_MEDIA_TYPES[format]}; charset=utf-8")

    @router.put("/{glossary_id}", summary="Write a new version; those before it stay")
    async def replace(glossary_id: str, body: schemas.GlossaryBody) -> schemas.GlossaryResponse:
        return schemas.whole(await glossaries.replace(glossary_id, body))

    @router.delete("/{glossary_id}", summary="Remove a glossary with all its versions")
    async def delete(glossary_id: str) -> schemas.GlossaryDeletedResponse:
        return schemas.GlossaryDeletedResponse(removed=await glossaries.delete(glossary_id))

    return router
