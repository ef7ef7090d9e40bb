"""The numbers that describe an NLLB (M2M100) network; knows no weights."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch

from pipelines.errors import StartupError


@dataclass(frozen=True, slots=True)
class ModelShape:
    """Sizes and special tokens of one checkpoint.

    Attributes:
        embed_scale: What token embeddings are multiplied with before positions are added.
        decoder_start_id: First token of every target, before the target language; `</s>` in NLLB.
        max_positions: The longest source or target, special tokens included.
    """

    d_model: int
    num_encoder_layers: int
    num_decoder_layers: int
    num_encoder_heads: int
    num_decoder_heads: int
    encoder_ffn: int
    decoder_ffn: int
    vocab_size: int
    embed_scale: float
    pad_id: int
    eos_id: int
    decoder_start_id: int
    max_positions: int

    @classmethod
    def from_config(cls, config: Any) -> ModelShape:
        """Read a `transformers` M2M100Config.

        Raises:
            StartupError: The checkpoint is of another architecture.
        """
        if config.model_type != "m2m_100" or config.activation_function != "relu":
            raise StartupError(
                f"the in-flight engine runs m2m_100 checkpoints with relu, not {config.model_type} with "
                f"{config.activation_function}; set model.engine to transformers"
            )
        return cls(
            d_model=config.d_model,
            num_encoder_layers=config.encoder_layers,
            num_decoder_layers=config.decoder_layers,
            num_encoder_heads=config.encoder_attention_heads,
            num_decoder_heads=config.decoder_attention_heads,
            encoder_ffn=config.encoder_ffn_dim,
            decoder_ffn=config.decoder_ffn_dim,
            vocab_size=config.vocab_size,
            embed_scale=math.sqrt(config.d_model) if config.scale_embedding else 1.0,
            pad_id=config.pad_token_id,
            eos_id=config.eos_token_id,
            decoder_start_id=config.decoder_start_token_id,
            max_positions=config.max_position_embeddings,
        )

    @property
    def num_parameters(self) -> int:
        """Weights and biases; the shared embedding counts once."""
        attention = 4 * self.d_model * (self.d_model + 1)
        norm = 2 * self.d_model
        encoder = attention + self._feed_forward(self.encoder_ffn) + 2 * norm
        decoder = 2 * attention + self._feed_forward(self.decoder_ffn) + 3 * norm
        layers = self.num_encoder_layers * encoder + self.num_decoder_layers * decoder
        return self.vocab_size * self.d_model + layers + 2 * norm

    def cached_token_bytes(self, dtype: torch.dtype) -> int:
        """Return the bytes that keys and values of one token take, over all decoder layers."""
        return 2 * self.num_decoder_layers * self.d_model * dtype.itemsize

    def _feed_forward(self, width: int) -> int:
        return 2 * self.d_model * width + width + self.d_model
