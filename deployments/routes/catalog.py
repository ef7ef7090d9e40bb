"""Routes that say what can be translated, and by what."""

from __future__ import annotations

from fastapi import APIRouter

from deployments import schemas
from deployments.routes.responses import ERRORS
from deployments.service import TranslationService
from pipelines.types import ModelInfo


def catalog_routes(service: TranslationService) -> APIRouter:
    """Return the routes."""
    router = APIRouter(responses={503: ERRORS[503]})

    @router.get("/languages", summary="Languages of the model")
    async def languages() -> schemas.LanguagesResponse:
        entries = [
            schemas.LanguageEntry(
                code=language.code,
                name=language.english_name,
                native_name=language.native_name,
                script=language.script,
                direction=language.direction,
                bcp47=language.bcp47,
                iso639_1=language.iso639_1,
                iso639_2=language.iso639_2,
                iso639_3=language.iso639_3,
                deepl=language.deepl,
                libretranslate=language.libretranslate,
                google=language.google,
                wikipedia=language.wikipedia,
                aliases=list(language.aliases),
            )
            for language in await service.languages()
        ]
        return schemas.LanguagesResponse(languages=entries)

    @router.get("/models", summary="Models that are served")
    async def models() -> schemas.ModelsResponse:
        return schemas.ModelsResponse(models=[model_entry(await service.model_info())])

    return router


def model_entry(info: ModelInfo) -> schemas.ModelEntry:
    """A model as the wire has it."""
    return schemas.ModelEntry(
        name=info.name,
        revision=info.revision,
        licence=info.licence,
        engine=info.engine,
        device=info.device,
        dtype=info.dtype,
        context_length=info.max_source_tokens,
        num_parameters=info.num_parameters,
    )
