"""Adapters for a benchmark: random ones of rank 16 on all attention projections, published sound or spoilt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pipelines.adapters import AdapterRegistry, ManifestDraft
from tests.adapter_files import publish_spoilt, write_adapter

RANK = 16


@dataclass(frozen=True)
class Workshop:
    """Makes and publishes adapters for one model."""

    model: Path
    revision: str
    registry: AdapterRegistry
    folder: Path

    def make(self, seed: int) -> Path:
        """Write a random adapter of rank 16 on all attention projections, small enough to change little."""
        config = json.loads((self.model / "config.json").read_text())
        projections = ("q_proj", "k_proj", "v_proj", "out_proj")
        modules = [
            f"model.{side}.layers.{layer}.{attention}.{projection}"
            for side, attentions in (("encoder", ("self_attn",)), ("decoder", ("self_attn", "encoder_attn")))
            for layer in range(config[f"{side}_layers"])
            for attention in attentions
            for projection in projections
        ]
        width = config["d_model"]
        return write_adapter(
            self.folder / str(seed), modules=tuple(modules), width=width, rank=RANK, scale=0.01, seed=seed
        )

    def publish(self, folder: Path, registry: AdapterRegistry | None = None) -> int:
        """Publish it as a new version of `bench`."""
        draft = ManifestDraft(
            base_model=str(self.model),
            base_revision=self.revision,
            language_pairs=("eng_Latn-hin_Deva",),
            rank=RANK,
            alpha=2 * RANK,
            targets=("k_proj", "out_proj", "q_proj", "v_proj"),
        )
        return (registry or self.registry).publish("bench", folder, draft).version

    def publish_spoilt(self, folder: Path) -> int:
        """Let a version appear whose weights are not what its manifest says."""
        return publish_spoilt(
            self.registry, "bench", self.folder / "elsewhere", lambda other: self.publish(folder, other)
        )
