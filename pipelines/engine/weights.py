"""From a checkpoint's tensors to the network's layers: fused, stored in the backend's format, packed.

Two stages, so that the first can be cached on disk: `prepare` fuses and rounds, `assemble` builds layers from it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.engine.linear import Backend, Linear
from pipelines.engine.shape import ModelShape
from pipelines.errors import StartupError


class LayerNorm:
    """Normalisation over the last dimension; every M2M100 norm has a scale and a shift."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = weight
        self.bias = bias

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise `x [..., d_model]`."""
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias)


@dataclass(frozen=True, slots=True)
class EncoderLayer:
    """One encoder layer; `qkv` gives queries, keys and values side by side."""

    self_norm: LayerNorm
    qkv: Linear
    self_out: Linear
    ffn_norm: LayerNorm
    fc1: Linear
    fc2: Linear


@dataclass(frozen=True, slots=True)
class DecoderLayer:
    """One decoder layer; `cross_kv` runs once per source, the rest once per step."""

    self_norm: LayerNorm
    qkv: Linear
    self_out: Linear
    cross_norm: LayerNorm
    cross_q: Linear
    cross_kv: Linear
    cross_out: Linear
    ffn_norm: LayerNorm
    fc1: Linear
    fc2: Linear


@dataclass(frozen=True, slots=True)
class Weights:
    """The whole network. `embedding [vocab_size or more, d_model]` is unscaled; `positions` has its own offset row.

    `lm_head` scores all tokens; `lm_head_rows` packs the rows of some tokens.
    """

    embedding: Tensor
    positions: Tensor
    encoder: tuple[EncoderLayer, ...]
    encoder_norm: LayerNorm
    decoder: tuple[DecoderLayer, ...]
    decoder_norm: LayerNorm
    lm_head: Linear
    lm_head_rows: Callable[[Tensor], Linear]


# Layer name -> the checkpoint's modules whose rows it stacks.
_ATTENTION = {"qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_out": ("self_attn.out_proj",)}
_CROSS = {
    "cross_q": ("encoder_attn.q_proj",),
    "cross_kv": ("encoder_attn.k_proj", "encoder_attn.v_proj"),
    "cross_out": ("encoder_attn.out_proj",),
}
_FEED_FORWARD = {"fc1": ("fc1",), "fc2": ("fc2",)}
LINEARS = {"encoder": _ATTENTION | _FEED_FORWARD, "decoder": _ATTENTION | _CROSS | _FEED_FORWARD}
_NORMS = {
    "encoder": {"self_norm": "self_attn_layer_norm", "ffn_norm": "final_layer_norm"},
    "decoder": {
        "self_norm": "self_attn_layer_norm",
        "cross_norm": "encoder_attn_layer_norm",
        "ffn_norm": "final_layer_norm",
    },
}


def refuse_untied(state: Mapping[str, Tensor]) -> None:
    """Refuse a checkpoint whose encoder or decoder has an embedding of its own: one is used for both.

    Args:
        state: A state dict of `M2M100ForConditionalGeneration`; many have the shared embedding three times.

    Raises:
        StartupError: It has.
    """
    shared = state["model.shared.weight"]
    for name in ("model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"):
        if name not in state:
            continue
        own = state[name]
        is_shared = own.data_ptr() == shared.data_ptr() and own.shape == shared.shape  # as pickled files say it
        if not is_shared and not torch.equal(own, shared):
            raise StartupError(
                f"the in-flight engine runs checkpoints with one embedding, not untied embeddings: {name} differs from "
                "model.shared.weight; set model.engine to transformers",
                field="model.name",
            )


def prepare(state: Mapping[str, Tensor], shape: ModelShape, backend: Backend) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor that `assemble` needs, by name; one layer in memory at a time.

    Args:
        state: A state dict of `M2M100ForConditionalGeneration`.
        shape: Of the same checkpoint.
        backend: Whose format is stored.
    """
    for side, num_layers in (("encoder", shape.num_encoder_layers), ("decoder", shape.num_decoder_layers)):
        for index in range(num_layers):
            source, target = f"model.{side}.layers.{index}", f"{side}.{index}"
            for name, parts in LINEARS[side].items():
                fused = torch.cat([state[f"{source}.{part}.weight"] for part in parts])
                for kind, tensor in backend.prepare(fused).items():
                    yield f"{target}.{name}.{kind}", tensor
                bias = torch.cat([state[f"{source}.{part}.bias"] for part in parts])
                yield f"{target}.{name}.bias", bias.to(backend.compute_dtype)
            for name, part in _NORMS[side].items():
                yield from _norm(state, f"{source}.{part}", f"{target}.{name}", backend)
        yield from _norm(state, f"model.{side}.layer_norm", f"{side}.norm", backend)
    shared = state["model.shared.weight"]
    # On a GPU, a product with 256,206 rows takes a quarter longer than one with 256,256.
    output = state.get("lm_head.weight", shared)
    if missing := -len(output) % backend.row_multiple:
        output = functional.pad(output, (0, 0, 0, missing))
    lm_head = backend.prepare(output)
    for kind, tensor in lm_head.items():
        yield f"lm_head.{kind}", tensor
    # Rows are looked up, not multiplied: int8 would save nothing but bytes that are read anyway.
    dtype = torch.bfloat16 if backend.name == "int8" else backend.compute_dtype
    is_the_same = "lm_head.weight" not in state and lm_head["weight"].dtype == dtype
    yield "embedding", lm_head["weight"] if is_the_same else shared.to(dtype).contiguous()


def assemble(
    stored: Mapping[str, Tensor], shape: ModelShape, backend: Backend, *, scores_all_tokens: bool = True
) -> Weights:
    """Build the layers from the tensors that `prepare` yielded.

    Packing takes one thread as long as the rest of the start, so layers are packed side by side.

    Args:
        stored: What `prepare` yielded, by name.
        shape: Of the checkpoint.
        backend: Whose format is stored.
        scores_all_tokens: Whether `lm_head` is needed from the start; else it is packed at its first use.
    """

    def linear(name: str) -> Linear:
        parts = {kind: stored[f"{name}.{kind}"] for kind in ("weight", "scale") if f"{name}.{kind}" in stored}
        layer = backend.linear(parts, stored.get(f"{name}.bias"), nonnegative_input=name.endswith(".fc2"))
        if name == "lm_head" and len(parts["weight"]) > shape.vocab_size:
            return lambda x: layer(x)[:, : shape.vocab_size]
        return layer

    def lm_head_rows(token_ids: Tensor) -> Linear:
        kinds = (kind for kind in ("weight", "scale") if f"lm_head.{kind}" in stored)
        rows = {kind: stored[f"lm_head.{kind}"][token_ids] for kind in kinds}
        return backend.linear(rows, None)

    def norm(name: str) -> LayerNorm:
        return LayerNorm(stored[f"{name}.weight"].to(backend.device), stored[f"{name}.bias"].to(backend.device))

    layers = [("encoder", i) for i in range(shape.num_encoder_layers)]
    layers += [("decoder", i) for i in range(shape.num_decoder_layers)]
    names = [f"{side}.{index}.{name}" for side, index in layers for name in LINEARS[side]]
    with ThreadPoolExecutor(torch.get_num_threads(), thread_name_prefix="pack") as pool:
        # The largest first: the others fill the time of the other threads.
        lm_head = pool.submit(linear, "lm_head") if scores_all_tokens else None
        linears = dict(zip(names, pool.map(linear, names), strict=True))

    def layer(side: str, index: int) -> dict[str, Linear | LayerNorm]:
        prefix = f"{side}.{index}"
        return {
            **{name: linears[f"{prefix}.{name}"] for name in LINEARS[side]},
            **{name: norm(f"{prefix}.{name}") for name in _NORMS[side]},
        }

    return Weights(
        embedding=stored["embedding"].to(backend.device),
        positions=sinusoidal_positions(shape).to(backend.device, backend.compute_dtype),
        encoder=tuple(EncoderLayer(**layer("encoder", i)) for i in range(shape.num_encoder_layers)),  # type: ignore[arg-type]
        encoder_norm=norm("encoder.norm"),
        decoder=tuple(DecoderLayer(**layer("decoder", i)) for i in range(shape.num_decoder_layers)),  # type: ignore[arg-type]
        decoder_norm=norm("decoder.norm"),
        lm_head=_AtFirstUse(lambda: linear("lm_head")) if lm_head is None else lm_head.result(),
        lm_head_rows=lm_head_rows,
    )


class _AtFirstUse:
    """A layer that takes no memory before it is needed."""

    def __init__(self, build: Callable[[], Linear]) -> None:
        self._build = build
        self._linear: Linear | None = None

    def __call__(self, x: Tensor) -> Tensor:
        if self._linear is None:
            self._linear = self._build()
        return self._linear(x)


def sinusoidal_positions(shape: ModelShape) -> Tensor:
    """Return the position table; its row `pad_id` is zero and a sequence starts at row `pad_id + 1`.

    Same formula as `M2M100SinusoidalPositionalEmbedding.get_embedding`.
    """
    half = shape.d_model // 2
    frequency = torch.exp(torch.arange(half).float() * -(torch.log(torch.tensor(10000.0)) / (half - 1)))
    angle = torch.arange(shape.max_positions + shape.pad_id + 1).float()[:, None] * frequency[None]
    table = torch.cat([angle.sin(), angle.cos()], dim=1)
    table = functional.pad(table, (0, shape.d_model - 2 * half))
    table[shape.pad_id] = 0
    return table


def _norm(state: Mapping[str, Tensor], source: str, target: str, backend: Backend) -> Iterator[tuple[str, Tensor]]:
    for kind in ("weight", "bias"):
        yield f"{target}.{kind}", state[f"{source}.{kind}"].to(backend.compute_dtype)
