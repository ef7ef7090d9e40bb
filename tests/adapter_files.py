"""Adapters as peft writes them, small and random, and what a publisher would say of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from pipelines.adapters import AdapterRegistry, ManifestDraft

MODULES = ("model.encoder.layers.0.self_attn.q_proj", "model.decoder.layers.1.encoder_attn.v_proj")
RANK = 2


def write_adapter(
    folder: Path,
    *,
    modules: tuple[str, ...] = MODULES,
    width: int = 16,
    rank: int = RANK,
    scale: float = 0.1,
    seed: int = 5,
    **config: Any,
) -> Path:
    """Write a random LoRA adapter of square layers and return its folder.

    Args:
        folder: Made if it is not there.
        modules: The layers that it adapts.
        width: Of these layers.
        rank: Of the factors, and of the configuration unless `config` says otherwise.
        scale: Standard deviation of the weights.
        seed: Of the weights.
        config: Further keys of `adapter_config.json`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    generator = np.random.default_rng(seed)
    tensors = {}
    for module in modules:
        for side, shape in (("A", (rank, width)), ("B", (width, rank))):
            values = generator.normal(0, scale, shape).astype(np.float32)
            tensors[f"base_model.model.{module}.lora_{side}.weight"] = values
    save_file(tensors, folder / "adapter_model.safetensors")
    targets = sorted({module.rpartition(".")[2] for module in modules})
    content = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "target_modules": targets, **config}
    (folder / "adapter_config.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def draft(**changes: Any) -> ManifestDraft:
    """Return what is true of `write_adapter`'s default, with changes."""
    said: dict[str, Any] = {
        "base_model": "fake",
        "base_revision": "1",
        "language_pairs": ("eng_Latn-hin_Deva",),
        "rank": RANK,
        "alpha": 2 * RANK,
        "targets": ("q_proj", "v_proj"),
        "scores": {"chrf": 61.5},
    }
    return ManifestDraft.model_validate(said | changes)


def publish_spoilt(
    registry: AdapterRegistry, name: str, elsewhere: Path, publish: Callable[[AdapterRegistry], object]
) -> int:
    """Let a version appear whose weights are not what its manifest says, all of it at once; return its number.

    Args:
        registry: Where it appears.
        name: Of the adapter.
        elsewhere: Folder of another registry, which it comes from.
        publish: Publishes a sound version of that name there.
    """
    publish(AdapterRegistry(str(elsewhere)))
    number = max(registry.versions(name)) + 1
    home = elsewhere / "adapters" / name / "1"
    weights = home / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + b"spoilt!!")
    manifest = home / "manifest.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"version": number}))
    home.rename(Path(registry.uri) / "adapters" / name / str(number))
    return number


@contextmanager
def unmounted(registry: AdapterRegistry) -> Iterator[None]:
    """Take a registry's folder away for the time of the block, as if its disk were not mounted."""
    home = Path(registry.uri)
    elsewhere = home.rename(home.with_name(f"{home.name}-unmounted"))
    yield
    elsewhere.rename(home)


def make_unreadable(registry: AdapterRegistry) -> None:
    """Put something in the place of a registry's folder that cannot be read and is not empty either."""
    home = Path(registry.uri)
    if home.exists():
        home.rename(home.with_name(f"{home.name}-elsewhere"))
    home.symlink_to(home)
