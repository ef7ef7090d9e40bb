"""Publishes adapters that the cluster's model takes, each of which translates otherwise."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pipelines.adapters import AdapterRegistry
from pipelines.engine.checkpoint import locate_checkpoint
from tests.adapter_files import draft, write_adapter


@dataclass(frozen=True)
class Publisher:
    """Publishes one adapter's versions, with random weights.

    Attributes:
        registry: Where.
        engine: That is to load them: `identity`, which takes any, or the demo model's.
        model: Folder of the demo model.
        folder: For files on their way.
    """

    registry: AdapterRegistry
    engine: str
    model: Path
    folder: Path

    def publish(self, name: str) -> str:
        """Publish a version, let the name point to it, and return its full name."""
        number = len(self.registry.versions(name)) + 1
        config = json.loads((self.model / "config.json").read_text(encoding="utf-8"))
        modules = tuple(
            f"model.{side}.layers.{layer}.{attention}.v_proj"
            for side, attention in (("encoder", "self_attn"), ("decoder", "self_attn"), ("decoder", "encoder_attn"))
            for layer in range(config["decoder_layers"])
        )
        folder = write_adapter(
            self.folder / str(number), modules=modules, width=config["d_model"], scale=0.5, seed=number
        )
        revision = "identity" if self.engine == "identity" else locate_checkpoint(str(self.model)).revision
        about = draft(
            base_model=self.engine, base_revision=revision, targets=("v_proj",), language_pairs=("eng_Latn-spa_Latn",)
        )
        manifest = self.registry.publish(name, folder, about)
        self.registry.promote(name, manifest.version)
        return manifest.full_name
