"""A checkpoint's tensors as files hold them, and the engine's own form of them, cached on disk.

Fusing and rounding 600M weights takes seconds and gigabytes; the result is kept beside a key of the checkpoint, the
number format and this code's version, and mapped into memory at the next start.
"""

from __future__ import annotations

import json
import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from pipelines.engine.checkpoint import Checkpoint, cache_folder
from pipelines.engine.linear import Backend
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import prepare
from pipelines.errors import StartupError

_LOGGER = logging.getLogger(__name__)
_FORMAT = 1  # of the cached files; raise it when `prepare` yields something else
_CACHED = ("int8",)  # other formats are as quickly read from the checkpoint


class TensorFiles(Mapping[str, Tensor]):
    """Tensors of one or more files, mapped into memory and read only when they are asked for.

    Raises:
        StartupError: A file cannot be read.
    """

    def __init__(self, files: list[Path]) -> None:
        self._open = ExitStack()
        self._where: dict[str, Callable[[str], Tensor]] = {}
        for file in files:
            try:
                if file.suffix == ".safetensors":
                    opened: Any = self._open.enter_context(safe_open(file, framework="pt"))
                    read = opened.get_tensor
                else:
                    opened = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
                    read = opened.__getitem__
            except Exception as error:  # a damaged file raises whatever its reader raises
                raise StartupError(f"{file} cannot be read: {error}", field="model.name") from error
            self._where |= dict.fromkeys(opened.keys(), read)

    def __getitem__(self, name: str) -> Tensor:
        tensor: Tensor = self._where[name](name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)

    def __len__(self) -> int:
        return len(self._where)


def load_prepared(checkpoint: Checkpoint, shape: ModelShape, backend: Backend) -> Mapping[str, Tensor]:
    """Return what `weights.assemble` needs, from the cache if it has it, and put it there if not."""
    if backend.name not in _CACHED:
        return dict(prepare(TensorFiles(_weight_files(checkpoint.path)), shape, backend))
    file = cache_folder() / "weights" / f"{checkpoint.revision}-{backend.name}-{_FORMAT}.safetensors"
    if not file.is_file():
        prepared = dict(prepare(TensorFiles(_weight_files(checkpoint.path)), shape, backend))
        try:
            _save(prepared, file)
        except OSError as error:  # a full disk costs time at the next start, not this one
            _LOGGER.warning("quantized weights cannot be kept in %s: %s", file.parent, error)
            return prepared
    return TensorFiles([file])


def _weight_files(path: Path) -> list[Path]:
    for single, index in (
        ("model.safetensors", "model.safetensors.index.json"),
        ("pytorch_model.bin", "pytorch_model.bin.index.json"),
    ):
        if (path / single).is_file():
            return [path / single]
        if (path / index).is_file():
            weight_map = json.loads((path / index).read_text(encoding="utf-8"))["weight_map"]
            return [path / name for name in sorted(set(weight_map.values()))]
    raise StartupError(f"{path} has no weights", field="model.name")


def _save(tensors: dict[str, Tensor], file: Path) -> None:
    """Write beside the file and rename, so that no reader ever sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".draft", delete=False) as draft:
        pass
    try:
        save_file(tensors, draft.name)
        Path(draft.name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(draft.name).unlink()
        raise
