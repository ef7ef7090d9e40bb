"""Is this folder what its manifest says, and nothing but numbers? Refuses with the reason before anything is loaded.

Whether an adapter fits the model is the engine's to say when it loads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, deserialize

from pipelines.adapters.manifest import FILES, FileEntry, FileName, Manifest, ManifestDraft
from pipelines.engine.adapter_config import (
    CONFIG_FILE,
    DOWN,
    MAGNITUDE,
    TENSOR_NAME,
    WEIGHTS_FILE,
    AdapterConfig,
    read_adapter_config,
)
from pipelines.errors import AdapterBaseError, InvalidAdapterError

_MAX_REASONABLE_BYTES = 1 << 30


def describe_files(folder: Path) -> dict[FileName, FileEntry]:
    """Return size and hash of an adapter's files.

    Raises:
        InvalidAdapterError: One is missing, or far too large for an adapter.
    """
    return {name: _entry(_read(folder, name)) for name in FILES}


def check_folder(folder: Path, said: ManifestDraft) -> None:
    """Hold an adapter's files against its manifest.

    Raises:
        InvalidAdapterError: A file is not the one that was published, no safetensors, or not of the rank, alpha and
            targets that were stated; or a weight is not a finite number.
    """
    config = read_adapter_config(folder)
    weights = _read(folder, WEIGHTS_FILE)
    if isinstance(said, Manifest):
        _check_bytes(said.files, {CONFIG_FILE: _read(folder, CONFIG_FILE), WEIGHTS_FILE: weights})
    for field, stated, found in (("rank", said.rank, config.rank), ("alpha", said.alpha, config.alpha)):
        if stated != found:
            raise _invalid(CONFIG_FILE, f"the manifest says {field} {stated:g}, the file {found:g}")
    targets = _adapted_layers(weights, config)
    if targets != set(said.targets):
        raise _invalid(
            WEIGHTS_FILE, f"adapts {', '.join(sorted(targets))}; the manifest says {', '.join(sorted(said.targets))}"
        )


def adapted_layers(folder: Path) -> tuple[str, ...]:
    """Return the names of the layers that an adapter changes, such as `q_proj`, sorted.

    Raises:
        InvalidAdapterError: A file is missing or damaged.
    """
    return tuple(sorted(_adapted_layers(_read(folder, WEIGHTS_FILE), read_adapter_config(folder))))


def check_base(manifest: Manifest, base_revision: str, *, field: str = "base_revision") -> None:
    """Hold an adapter's base model against the one that is served.

    Raises:
        AdapterBaseError: It is another; the message names both.
    """
    if manifest.base_revision != base_revision:
        raise AdapterBaseError(
            f"{field}: {manifest.full_name} was trained on {manifest.base_model} {manifest.base_revision}; "
            f"this service runs {base_revision}",
            field=field,
        )


def _check_bytes(entries: Mapping[Any, FileEntry], contents: Mapping[str, bytes]) -> None:
    for name, content in contents.items():
        said = entries[name]
        if len(content) != said.num_bytes:
            raise _invalid(name, f"has {len(content)} bytes; the manifest says {said.num_bytes}")
        found = _entry(content)
        if found.sha256 != said.sha256:
            raise _invalid(name, f"has the SHA-256 {found.sha256}; the manifest says {said.sha256}")


def _adapted_layers(weights: bytes, config: AdapterConfig) -> set[str]:
    try:
        tensors = deserialize(weights)  # type: ignore[no-untyped-call]
    except SafetensorError as error:
        raise _invalid(WEIGHTS_FILE, f"is not a safetensors file: {error}") from None
    return {module.rpartition(".")[2] for module in _check_tensors(tensors, config)}


def _check_tensors(tensors: list[tuple[str, dict[str, Any]]], config: AdapterConfig) -> set[str]:
    """Return the modules that have all their tensors, each finite and of the module's rank."""
    wanted = set(config.tensors_of_a_module)
    modules: dict[str, set[str]] = {}
    for name, tensor in tensors:
        match = TENSOR_NAME.fullmatch(name)
        if match is None or match["kind"] not in wanted:
            raise _invalid(WEIGHTS_FILE, f"holds {name[:100]!r}; accepted are {', '.join(sorted(wanted))} of modules")
        module, kind, shape = match["module"], match["kind"], tensor["shape"]
        rank = config.rank_of(module)
        if not _has_rank(kind, shape, rank):
            raise _invalid(WEIGHTS_FILE, f"{name} has the shape {shape}; rank {rank} was stated")
        if not _finite(tensor["dtype"], tensor["data"], name):
            raise _invalid(WEIGHTS_FILE, f"{name} holds NaN or infinite numbers")
        modules.setdefault(module, set()).add(kind)
    for module, found in modules.items():
        if missing := wanted - found:
            raise _invalid(WEIGHTS_FILE, f"{module} has no {min(missing)}")
    if not modules:
        raise _invalid(WEIGHTS_FILE, "holds no weights")
    return set(modules)


def _has_rank(kind: str, shape: list[int], rank: int) -> bool:
    if kind == MAGNITUDE:  # one number per output, whatever the rank
        return len(shape) == 1
    return len(shape) == 2 and shape[0 if kind == DOWN else 1] == rank


def _finite(dtype: str, data: bytearray, name: str) -> bool:
    if dtype in {"F32", "F16"}:
        return bool(np.isfinite(np.frombuffer(data, np.float32 if dtype == "F32" else np.float16)).all())
    if dtype == "BF16":  # numpy has none: a number is finite unless all bits of its exponent are set
        return bool(((np.frombuffer(data, np.uint16) & 0x7F80) != 0x7F80).all())
    raise _invalid(WEIGHTS_FILE, f"{name} is of the type {dtype}; accepted are F32, F16 and BF16")


def _read(folder: Path, name: str) -> bytes:
    path = folder / name
    try:
        if path.stat().st_size > _MAX_REASONABLE_BYTES:
            raise _invalid(name, f"has {path.stat().st_size} bytes; at most {_MAX_REASONABLE_BYTES} are accepted")
        return path.read_bytes()
    except OSError as error:
        raise _invalid(name, f"cannot be read: {error.strerror}") from None


def _entry(content: bytes) -> FileEntry:
    return FileEntry(sha256=hashlib.sha256(content).hexdigest(), num_bytes=len(content))


def _invalid(name: str, message: str) -> InvalidAdapterError:
    return InvalidAdapterError(f"{name}: {message}", field=name)
