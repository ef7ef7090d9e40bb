"""From a folder in peft's format to an adapter in memory; every matrix is checked against the model before it is read.

Only safetensors are read, never pickled files. Safe to run in any thread beside a decoding engine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pipelines.engine.adapter_config import (
    DOWN,
    MAGNITUDE,
    TENSOR_NAME,
    UP,
    WEIGHTS_FILE,
    AdapterConfig,
    read_adapter_config,
)
from pipelines.engine.lora import Adapter, LayerKey, LowRank, Rescale, Up
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import LINEARS
from pipelines.errors import InvalidAdapterError, StartupError

_TYPES = ("F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class _Module:
    """A linear module of the checkpoint, and its place in a fused layer of the engine."""

    name: str
    layer: LayerKey
    columns: slice
    in_features: int
    out_features: int


def read_adapter(
    folder: Path,
    *,
    shape: ModelShape,
    dtype: torch.dtype,
    device: torch.device,
    base: Callable[[], Mapping[str, Tensor]],
) -> Adapter:
    """Read an adapter.

    Args:
        folder: With `adapter_config.json` and `adapter_model.safetensors`.
        shape: Of the base model.
        dtype: Of activations between the base model's layers.
        device: Of the base model.
        base: Returns the base model's tensors by the checkpoint's names; asked for by DoRA, which needs their lengths.

    Raises:
        InvalidAdapterError: Something is missing or damaged, does not fit the model, or is not supported.
    """
    config = read_adapter_config(folder)
    modules = list(_modules(shape))
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="pt") as file:
            names = set(file.keys())
            _check_names(names, config, modules)
            found = [module for module in modules if _name(module, DOWN) in names]
            for module in found:
                _check_shapes(file, config, module)
            weights = base() if config.use_dora else {}
            layers = {
                layer: _read_layer(file, config, list(parts), dtype, device, weights)
                for layer, parts in groupby(found, key=lambda module: module.layer)
            }
    except (SafetensorError, OSError) as error:
        raise _invalid(f"cannot be read: {error}") from error
    except StartupError as error:
        raise _invalid(f"DoRA needs the base model's weights: {error.message}") from error
    return Adapter(max(config.rank_of(module.name) for module in found), layers)


def _modules(shape: ModelShape) -> Iterator[_Module]:
    """All modules that an adapter may change; those of one fused layer follow each other."""
    sides = (
        ("encoder", shape.num_encoder_layers, shape.encoder_ffn),
        ("decoder", shape.num_decoder_layers, shape.decoder_ffn),
    )
    for side, num_layers, ffn in sides:
        sizes = {"fc1": (shape.d_model, ffn), "fc2": (ffn, shape.d_model)}
        for index in range(num_layers):
            for name, parts in LINEARS[side].items():
                in_features, out_features = sizes.get(name, (shape.d_model, shape.d_model))
                for place, part in enumerate(parts):
                    columns = slice(place * out_features, (place + 1) * out_features)
                    module = f"model.{side}.layers.{index}.{part}"
                    yield _Module(module, (side, index, name), columns, in_features, out_features)


def _check_names(names: set[str], config: AdapterConfig, modules: list[_Module]) -> None:
    """Every tensor is one of a module that there is; each module has all; no listed target is absent."""
    kinds = config.tensors_of_a_module
    targets = ", ".join(sorted({module.name.rpartition(".")[2] for module in modules}))
    known = {module.name for module in modules}
    for name in sorted(names):
        match = TENSOR_NAME.fullmatch(name)
        if match is None or match["kind"] not in kinds:
            raise _invalid(
                f"{name} is not a tensor of a LoRA module; accepted are PREFIX.MODULE with {', '.join(kinds)}"
            )
        if match["module"] not in known:
            raise _invalid(f"{name} changes {match['module']}, which cannot be adapted here; accepted are {targets}")
    expected = [module for module in modules if config.has_target(module.name)]
    begun = [module for module in modules if names & {_name(module, kind) for kind in kinds}]
    if not begun:
        raise _invalid("has no tensors")
    for module in [*begun, *expected]:
        for kind in kinds:
            if _name(module, kind) not in names:
                raise _invalid(f"{_name(module, kind)} is missing")


def _check_shapes(file: Any, config: AdapterConfig, module: _Module) -> None:
    """Before anything is read, so that no file makes the engine allocate more than its model could use."""
    rank, most = config.rank_of(module.name), min(module.in_features, module.out_features)
    if rank > most:
        raise _invalid(f"{module.name} has rank {rank}; this model's modules allow at most {most}")
    shapes = ([rank, module.in_features], [module.out_features, rank], [module.out_features])
    for kind, expected in zip(config.tensors_of_a_module, shapes, strict=False):
        tensor = file.get_slice(_name(module, kind))
        found = tensor.get_shape()
        if found != expected:
            raise _invalid(f"{_name(module, kind)} has the shape {found}; this model and rank {rank} need {expected}")
        if tensor.get_dtype() not in _TYPES:
            raise _invalid(f"{_name(module, kind)} is {tensor.get_dtype()}; accepted are {', '.join(_TYPES)}")


def _read_layer(
    file: Any,
    config: AdapterConfig,
    modules: list[_Module],
    dtype: torch.dtype,
    device: torch.device,
    base: Mapping[str, Tensor],
) -> LowRank:
    downs, ups, first = [], [], 0
    for module in modules:
        down, up = (file.get_tensor(_name(module, kind)).float() for kind in (DOWN, UP))
        up = up * config.scale_of(module.name)
        rescale = None
        if config.use_dora:
            weight, bias = (base[f"{module.name}.{kind}"].float() for kind in ("weight", "bias"))
            factor = file.get_tensor(_name(module, MAGNITUDE)).float() / (weight + up @ down).norm(dim=1)
            rescale = Rescale(
                _finite(factor, dtype, _name(module, MAGNITUDE)).to(device), (bias * (1 - factor)).to(device, dtype)
            )
            up = up * factor[:, None]
        downs.append(_finite(down, dtype, _name(module, DOWN)))
        up = _finite(up.t(), dtype, _name(module, UP)).contiguous()
        ups.append(Up(module.columns, slice(first, first + len(down)), up.to(device), rescale))
        first += len(down)
    return LowRank(torch.cat(downs).to(device), tuple(ups))


def _finite(tensor: Tensor, dtype: torch.dtype, name: str) -> Tensor:
    tensor = tensor.to(dtype)
    if not tensor.isfinite().all():
        raise _invalid(f"{name} has values that are NaN or infinite in {str(dtype)[6:]}")
    return tensor


def _name(module: _Module, kind: str) -> str:
    return f"base_model.model.{module.name}.{kind}"


def _invalid(message: str) -> InvalidAdapterError:
    return InvalidAdapterError(f"{WEIGHTS_FILE}: {message}", field=WEIGHTS_FILE)
