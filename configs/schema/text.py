"""What happens to texts before and after the model."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import NonNegativeInt, PositiveInt, model_validator

from configs.schema.section import Name, Ratio, RedisUrl, Section


class QualitySettings(Section):
    """What happens to an output that looks wrong; see docs/quality.md for the signs."""

    second_try: bool = True
    """Decode a suspicious sentence once more, with the settings below, and keep the better output."""
    second_try_num_beams: PositiveInt = 4
    """Beam width of the second try; a request's own, if it is wider. At most decoding.max_num_beams."""
    second_try_no_repeat_ngram_size: NonNegativeInt = 4
    """No n-gram of this size appears twice in the output of a second try; 0 switches it off."""


class GlossarySettings(Section):
    """Where glossaries are kept that requests name by `glossary_id`."""

    store: Literal["sqlite", "redis"] = "sqlite"
    """A file that the processes of one machine share, or a Redis; replicas on several nodes need Redis."""
    sqlite_file: Name = "var/glossaries.sqlite3"
    """Of `store: sqlite`; a relative path is taken from the checkout."""
    redis_url: RedisUrl | None = None
    """Of `store: redis`: `redis://user:password@host:6379/1`, or `rediss://` for TLS."""
    redis_timeout_ms: PositiveInt = 500
    """Longest wait for one answer of Redis."""
    max_terms: PositiveInt = 50_000
    """Most terms of one glossary."""

    @model_validator(mode="after")
    def _redis_has_an_address(self) -> Self:
        if self.store == "redis" and self.redis_url is None:
            raise ValueError("glossaries.store = 'redis' needs glossaries.redis_url")
        return self


class DetectionSettings(Section):
    """How sure the detection of a source language must be."""

    min_confidence: Ratio = 0.4
    """Below it a request with `source_lang: auto` gets an error that names the candidates."""
