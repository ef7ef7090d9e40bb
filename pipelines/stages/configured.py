"""How sentences are decoded unless a request says otherwise. The one place of the stages that reads settings."""

from __future__ import annotations

from dataclasses import replace

from configs.schema import DecodingSettings, QualitySettings
from pipelines.types import DecodingOptions


def configured_decoding(settings: DecodingSettings) -> DecodingOptions:
    """Return how a first try is decoded. Bounds of the output's length are the engine's."""
    return DecodingOptions(
        num_beams=settings.num_beams,
        length_penalty=settings.length_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        repetition_penalty=settings.repetition_penalty,
    )


def configured_second_try(first: DecodingOptions, settings: QualitySettings) -> DecodingOptions | None:
    """Return how a suspicious output of a first try is decoded again: nowhere weaker; None if it is not."""
    if not settings.second_try:
        return None
    return replace(
        first,
        num_beams=max(first.num_beams, settings.second_try_num_beams),
        no_repeat_ngram_size=first.no_repeat_ngram_size or settings.second_try_no_repeat_ngram_size,
    )
