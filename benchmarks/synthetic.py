"""A checkpoint of the shape of an NLLB-200 model with random weights, adapters and work for it.

Speed does not depend on what the weights say, as long as every system computes the same number of tokens.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from pipelines.engine.checkpoint import cache_folder
from pipelines.engine.vocabulary import Vocabulary

if TYPE_CHECKING:
    from pipelines.engine.batch import RunningBatch
    from pipelines.engine.shape import ModelShape
    from pipelines.protocols import EncodedSegment, Engine

VOCAB_SIZE = 256206
LANGUAGE_ID = 256047
TARGET = "hin_Deva"
SHAPE = os.environ.get("BENCHMARK_SHAPE", "600M")
"""`600M` is what is measured, `1.3B` and `3.3B` if asked for; `tiny` tells soon whether a benchmark runs at all."""
DEVICE = os.environ.get("BENCHMARK_DEVICE", "cpu")
"""`cpu` or `cuda`, of all systems; what `--device` passes on to the processes that run them."""
DTYPE = "int8" if DEVICE == "cpu" else "float16"
"""Of weights, in which our engine is compared there."""
_RANK = 16  # of adapters
_SHAPES = {
    "600M": {
        "d_model": 1024,
        "encoder_layers": 12,
        "decoder_layers": 12,
        "encoder_attention_heads": 16,
        "decoder_attention_heads": 16,
        "encoder_ffn_dim": 4096,
        "decoder_ffn_dim": 4096,
    },
    "1.3B": {
        "d_model": 1024,
        "encoder_layers": 24,
        "decoder_layers": 24,
        "encoder_attention_heads": 16,
        "decoder_attention_heads": 16,
        "encoder_ffn_dim": 8192,
        "decoder_ffn_dim": 8192,
    },
    "3.3B": {
        "d_model": 2048,
        "encoder_layers": 24,
        "decoder_layers": 24,
        "encoder_attention_heads": 16,
        "decoder_attention_heads": 16,
        "encoder_ffn_dim": 8192,
        "decoder_ffn_dim": 8192,
    },
    "tiny": {
        "d_model": 64,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
    },
}
EOS_ID = 2
DEVANAGARI_TOKENS = 32_000
"""An assumption, meant to be too large: one in eight of NLLB-200's pieces, `</s>` included."""


def synthetic_checkpoint() -> Path:
    """Return the folder of the checkpoint, made at the first call and kept beside other caches (600M: 1.2 GB)."""
    path = cache_folder() / "benchmarks" / f"nllb-{SHAPE.lower()}-random"
    if (path / "model.safetensors").is_file():
        return path
    # Not above: what a worker imports counts as its system's memory and load time.
    import torch
    from transformers import GenerationConfig, M2M100Config, M2M100ForConditionalGeneration

    from tests.tiny_model import make_tiny_checkpoint

    make_tiny_checkpoint(path, d_model=16)  # for its tokenizer
    config = M2M100Config(
        vocab_size=VOCAB_SIZE,
        **_SHAPES[SHAPE],
        max_position_embeddings=1024,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)  # in float32 the largest shape would not fit beside itself
    model = M2M100ForConditionalGeneration(config)
    torch.set_default_dtype(torch.float32)
    model.generation_config = GenerationConfig(
        bos_token_id=0, pad_token_id=1, eos_token_id=EOS_ID, decoder_start_token_id=EOS_ID
    )
    model.save_pretrained(path)
    return path


def converted_checkpoint() -> Path:
    """Return the folder of the same checkpoint as CTranslate2 reads it, int8, made at the first call (0.6 GB)."""
    path = synthetic_checkpoint()
    converted = path.with_name(f"{path.name}-ct2-int8")
    if not (converted / "model.bin").is_file():
        from ctranslate2.converters import TransformersConverter

        TransformersConverter(str(path)).convert(str(converted), quantization="int8", force=True)
    return converted


def synthetic_batch(dtype: str) -> tuple[RunningBatch, ModelShape]:
    """Return an empty running batch of the engine on that checkpoint, and the model's shape."""
    from transformers import M2M100Config

    from pipelines.engine.backends import choose_backend
    from pipelines.engine.batch import RunningBatch
    from pipelines.engine.checkpoint import locate_checkpoint
    from pipelines.engine.cuda_graph import recorder_for
    from pipelines.engine.device import pick_device
    from pipelines.engine.shape import ModelShape
    from pipelines.engine.state import load_prepared
    from pipelines.engine.weights import assemble

    checkpoint = locate_checkpoint(str(synthetic_checkpoint()))
    shape = ModelShape.from_config(M2M100Config.from_pretrained(checkpoint.path))
    backend = choose_backend(dtype, pick_device(DEVICE))
    weights = assemble(load_prepared(checkpoint, shape, backend), shape, backend)
    return RunningBatch(weights, shape, backend.cache_dtype, record=recorder_for(backend.device)), shape


def synthetic_engine(dtype: str, num_threads: int, vocabulary: Vocabulary | None = None, max_rows: int = 32) -> Engine:
    """Return the in-flight engine on that checkpoint, as a translator loads it."""
    from pipelines.engine.checkpoint import locate_checkpoint
    from pipelines.engine.loading import load_engine

    return load_engine(
        locate_checkpoint(str(synthetic_checkpoint())),
        engine="inflight",
        device=DEVICE,
        dtype=dtype,
        max_rows=max_rows,
        num_threads=num_threads,
        vocabulary=vocabulary or "full",
    )


def synthetic_row(source: Sequence[int], num_tokens: int, num_beams: int = 1) -> EncodedSegment:
    """Return a row of so many output tokens for that engine."""
    from pipelines.protocols import EncodedSegment
    from pipelines.types import DecodingOptions, Segment

    options = DecodingOptions(num_beams=num_beams, min_new_tokens=num_tokens, max_new_tokens=num_tokens)
    return EncodedSegment(Segment("?", "eng_Latn", TARGET, decoding=options), tuple(source))


def script_vocabulary() -> Vocabulary:
    """Return the restriction of a Devanagari target.

    NLLB-200's tokenizer is not at hand here; the number of tokens is what its script's list has (see
    `DEVANAGARI_TOKENS`), and their ids are as scattered. Sources copy their own tokens, as in service.
    """
    from pipelines.engine.tokenize import SegmentTokenizer

    target = SegmentTokenizer.from_checkpoint(synthetic_checkpoint()).language_ids[TARGET]
    listed = random.Random(0).sample(range(4, 250_000), DEVANAGARI_TOKENS - 1)
    return Vocabulary({"Deva": [EOS_ID, *listed]}, {target: "Deva"}, [0, 1, 2, 3, *range(LANGUAGE_ID - 1, VOCAB_SIZE)])


def synthetic_adapters(count: int) -> list[Path]:
    """Return folders of adapters in peft's format for all attention projections of that checkpoint, likewise kept.

    Their weights are small, so that even in bfloat16 all numbers stay finite.
    """
    root = synthetic_checkpoint().with_name(f"adapters-{SHAPE.lower()}-r{_RANK}")
    folders = [root / str(index) for index in range(count)]
    for seed, folder in enumerate(folders):
        if not (folder / "adapter_model.safetensors").is_file():
            _make_adapter(folder, seed)
    return folders


def _make_adapter(folder: Path, seed: int) -> None:
    import torch
    from safetensors.torch import save_file
    from transformers import M2M100Config

    generator = torch.Generator().manual_seed(seed)
    config = M2M100Config.from_pretrained(synthetic_checkpoint())
    projections = ("q_proj", "k_proj", "v_proj", "out_proj")
    tensors = {}
    for side, layers, attentions in (
        ("encoder", config.encoder_layers, ("self_attn",)),
        ("decoder", config.decoder_layers, ("self_attn", "encoder_attn")),
    ):
        for layer, attention, projection in product(range(layers), attentions, projections):
            name = f"base_model.model.model.{side}.layers.{layer}.{attention}.{projection}"
            for factor, size in (("A", (_RANK, config.d_model)), ("B", (config.d_model, _RANK))):
                draft = torch.randn(size, generator=generator).mul_(config.d_model**-0.5)
                tensors[f"{name}.lora_{factor}.weight"] = draft.to(torch.bfloat16)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"peft_type": "LORA", "task_type": "SEQ_2_SEQ_LM", "r": _RANK, "lora_alpha": _RANK}
    settings |= {"target_modules": projections, "base_model_name_or_path": str(synthetic_checkpoint())}
    (folder / "adapter_config.json").write_text(json.dumps(settings), encoding="utf-8")
    save_file(tensors, folder / "adapter_model.safetensors")


def sources(count: int, seed: int = 0, shortest: int = 8, longest: int = 64) -> list[list[int]]:
    """Return token ids of sources of many lengths, `[source language, ..., </s>]`."""
    draw = random.Random(seed)
    return [
        [LANGUAGE_ID, *(draw.randrange(1000, 250_000) for _ in range(draw.randint(shortest, longest) - 2)), EOS_ID]
        for _ in range(count)
    ]
