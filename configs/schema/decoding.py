"""How segments are batched and decoded."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from configs.schema.section import PositiveBytes, Section

# Bounded so that what is computed with them is finite, and no divisor zero.
_LengthRatio = Annotated[float, Field(gt=0, le=1000)]
_LengthPenalty = Annotated[float, Field(ge=-5, le=5)]
_RepetitionPenalty = Annotated[float, Field(ge=0.01, le=100)]


class BatchingSettings(Section):
    """How many segments are translated together."""

    max_rows: PositiveInt = 32
    """Most rows decoded at a time by one replica; a beam of width b takes b rows."""
    padded_token_budget: PositiveInt | None = None
    """Most tokens of one encoder batch, padding included; null measures the best one at warm-up."""
    wait_timeout_s: NonNegativeFloat = 0.005
    """How long a batch that is not full waits for more segments."""
    memory_bound_bytes: PositiveBytes | None = None
    """Most memory that decoding may take beside the weights; null asks the device."""


class DecodingSettings(Section):
    """How a segment is decoded when its request does not say."""

    max_num_beams: PositiveInt = 8
    """Widest beam that a request may ask for."""
    num_beams: PositiveInt = 1
    """Beam width; 1 is greedy search."""
    max_length_ratio: _LengthRatio = 3.0
    """The output has at most `max_length_ratio * source tokens + max_length_extra_tokens` tokens."""
    max_length_extra_tokens: NonNegativeInt = 32
    """See `max_length_ratio`; it gives short sources their room."""
    length_penalty: _LengthPenalty = 1.0
    """Exponent of the length that divides a beam's score; over 1.0 favours long outputs."""
    no_repeat_ngram_size: NonNegativeInt = 0
    """No n-gram of this size appears twice in an output; 0 switches it off."""
    repetition_penalty: _RepetitionPenalty = 1.0
    """Over 1.0 makes tokens that were generated before less likely; 1.0 switches it off."""

    @field_validator("num_beams")
    @classmethod
    def _within_widest_beam(cls, num_beams: int, info: ValidationInfo) -> int:
        widest = info.data.get("max_num_beams")
        if widest is not None and num_beams > widest:
            raise ValueError(f"should be at most decoding.max_num_beams = {widest}")
        return num_beams
