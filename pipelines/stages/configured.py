"""How sentences are decoded unless a request says otherwise. The one place of the stages that reads settings."""

from __future__ import annotations

from dataclasses import replace

from configs.schema import DecodingSettings, QualitySettings
from pipelines.errors import UnsupportedOptionError
from pipelines.types import DecodingOptions


def configured_decoding(settings: DecodingSettings) -> DecodingOptions:
    """Return how a first try is decoded. Bounds of the output's length are the engine's."""
    return DecodingOptions(
        num_beams=settings.num_beams,
        length_penalty=settings.length_penalty,
        no_repeat_ngram_size=settings.no_repeat_ngram_size,
        repetition_penalty=settings.repetition_penalty,
    )


def wanted_decoding(
    settings: DecodingSettings,
    *,
    num_beams: int | None = None,
    alternatives: int = 1,
    max_length: int | None = None,
    field_prefix: str = "",
) -> DecodingOptions:
    """Return how a first try is decoded for a request that may say something of it; None leaves it as configured.

    Raises:
        UnsupportedOptionError: A value is outside of what is allowed; the message names the field.
    """
    beams = settings.num_beams if num_beams is None else num_beams
    for field, value in {"num_beams": beams, "alternatives": alternatives}.items():
        if not 1 <= value <= settings.max_num_beams:
            raise UnsupportedOptionError(
                f"{field_prefix}{field} is {value}; 1 to {settings.max_num_beams} are accepted",
                field=f"{field_prefix}{field}",
            )
    if max_length is not None and max_length < 1:
        field = f"{field_prefix}max_length"
        raise UnsupportedOptionError(f"{field} is {max_length}; at least 1 is accepted", field=field)
    return replace(
        configured_decoding(settings),
        num_beams=max(beams, alternatives),
        num_hypotheses=alternatives,
        max_new_tokens=max_length,
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
