"""Which languages and models are served."""

from __future__ import annotations

from pydantic import ConfigDict, Field

from deployments.schemas.wire import WireModel


class LanguageEntry(WireModel):
    """A language that can be translated from and into."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "code": "hin_Deva",
                    "name": "Hindi",
                    "native_name": "हिन्दी",
                    "script": "Deva",
                    "direction": "ltr",
                    "bcp47": "hi",
                    "iso639_1": "hi",
                    "iso639_2": "hin",
                    "iso639_3": "hin",
                    "deepl": "HI",
                    "libretranslate": "hi",
                    "google": "hi",
                    "wikipedia": "hi",
                    "aliases": [],
                }
            ]
        }
    )

    code: str
    name: str
    native_name: str
    script: str
    direction: str
    bcp47: str | None
    iso639_1: str | None
    iso639_2: str | None
    iso639_3: str
    deepl: str | None = Field(description="DeepL's code; likewise the services that follow.")
    libretranslate: str | None
    google: str | None
    wikipedia: str | None
    aliases: list[str] = Field(description="Further codes that are accepted.")


class LanguagesResponse(WireModel):
    """All languages of the loaded model."""

    languages: list[LanguageEntry]


class ModelEntry(WireModel):
    """The model that is served."""

    name: str
    revision: str
    licence: str
    engine: str
    device: str
    dtype: str
    context_length: int = Field(description="Longest input of one sentence, in tokens.")
    num_parameters: int


class ModelsResponse(WireModel):
    """The models that are served."""

    models: list[ModelEntry]
