"""A checkpoint's tensors as files hold them, and the engine's own form of them, cached on disk.

Fusing and rounding 600M weights takes seconds and gigabytes; the result is kept beside a key of the checkpoint, the
number format and this code's version, and mapped into memory at the next start.
"""

from __future__ import annotations

import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch import Tensor

from pipelines.engine.checkpoint import Checkpoint, cache_folder, weight_files
from pipelines.engine.linear import Backend
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import prepare, refuse_untied
from pipelines.errors import StartupError

_LOGGER = logging.getLogger(__name__)
_FORMAT = 3  # of the cached files; raise it when `prepare` yields something else, or refuses more
_TYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "I8": torch.int8}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}
_HEADER_BYTES = 1 << 18  # 600M parameters need 80 KB
_ALIGNMENT = 64
_CACHED = ("int8",)  # other formats are as quickly read from the checkpoint
_DRAFT = ".draft"
_ABANDONED_S = 3600  # a draft that nobody has written to for so long was left by a start that was killed


class TensorFiles(Mapping[str, Tensor]):
    """Tensors of one or more files, each mapped into memory by itself and for as long as it is held.

    Raises:
        StartupError: A file cannot be read.
    """

    def __init__(self, files: list[Path]) -> None:
        self._read: dict[str, Callable[[], Tensor]] = {}
        for file in files:
            try:
                self._read |= _safetensors(file) if file.suffix == ".safetensors" else _pickled(file)
            except Exception as error:  # a damaged file raises whatever its reader raises
                raise StartupError(f"{file} cannot be read: {error}", field="model.name") from error

    def __getitem__(self, name: str) -> Tensor:
        return self._read[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def checkpoint_tensors(checkpoint: Checkpoint) -> TensorFiles:
    """Return the tensors of a checkpoint, by its own names; none is read yet.

    Raises:
        StartupError: A file is missing or damaged.
    """
    return TensorFiles(weight_files(checkpoint.path))


def load_prepared(checkpoint: Checkpoint, shape: ModelShape, backend: Backend) -> Mapping[str, Tensor]:
    """Return what `weights.assemble` needs, from the cache if it has it, and put it there if not.

    Raises:
        StartupError: The checkpoint is damaged, or not one that the engine can run.
    """
    try:
        if backend.name not in _CACHED:
            return dict(_prepared(checkpoint, shape, backend))
        file = cache_folder() / "weights" / f"{checkpoint.revision}-{backend.name}-{_FORMAT}.safetensors"
        return _kept(file) or _keep(partial(_prepared, checkpoint, shape, backend), file)
    except KeyError as error:
        raise StartupError(
            f"{checkpoint.path} has no tensor {error}, which its config.json asks for; fetch the model again",
            field="model.name",
        ) from error


def _prepared(checkpoint: Checkpoint, shape: ModelShape, backend: Backend) -> Iterator[tuple[str, Tensor]]:
    state = checkpoint_tensors(checkpoint)
    refuse_untied(state)
    return prepare(state, shape, backend)


def _kept(file: Path) -> TensorFiles | None:
    """Open a cached file; None if there is none that can be used."""
    try:
        return TensorFiles([file])
    except StartupError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            _LOGGER.warning("quantized weights are rebuilt: %s", error.message)
        return None


def _keep(prepared: Callable[[], Iterable[tuple[str, Tensor]]], file: Path) -> Mapping[str, Tensor]:
    """Return tensors as the file has them once they are in it."""
    try:
        _save(prepared(), file)
    except OSError as error:  # a full disk costs time and memory, now and at the next start
        _LOGGER.warning("quantized weights cannot be kept in %s: %s", file.parent, error)
        return dict(prepared())
    return TensorFiles([file])


def _safetensors(file: Path) -> dict[str, Callable[[], Tensor]]:
    """Return a reader of each tensor. One mapping of the whole file would stay resident for its longest tensor's life.

    Format: https://github.com/huggingface/safetensors#format
    """
    with file.open("rb") as stream:
        header_bytes = int.from_bytes(stream.read(8), "little")
        entries = json.loads(stream.read(header_bytes))
        num_bytes = os.fstat(stream.fileno()).st_size
    entries.pop("__metadata__", None)
    expected = 8 + header_bytes + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
    if num_bytes != expected:
        raise ValueError(f"it has {num_bytes} bytes, and should have {expected}")

    def read(dtype: torch.dtype, shape: list[int], start: int, end: int) -> Tensor:
        region = np.memmap(file, mode="c", offset=8 + header_bytes + start, shape=end - start)
        return torch.from_numpy(region).view(dtype).view(shape)

    return {
        name: partial(read, _TYPES[entry["dtype"]], entry["shape"], *entry["data_offsets"])
        for name, entry in entries.items()
    }


def _pickled(file: Path) -> dict[str, Callable[[], Tensor]]:
    tensors = torch.load(file, map_location="cpu", mmap=True, weights_only=True)
    return {name: partial(tensors.__getitem__, name) for name in tensors}


def _save(tensors: Iterable[tuple[str, Tensor]], file: Path) -> None:
    """Write tensors as they come, beside the file, and rename, so that no reader ever sees half of it."""
    file.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned_drafts(file.parent)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=f"{file.stem}-", suffix=_DRAFT, delete=False) as draft:
        try:
            _write(tensors, draft)
            draft.flush()
            os.fsync(draft.fileno())  # or a power cut may keep the new name, and not what is behind it
            os.fchmod(draft.fileno(), 0o644)  # users may share the cache
            draft.close()
            Path(draft.name).replace(file)
        except BaseException:
            with suppress(OSError):
                Path(draft.name).unlink()
            raise


def _remove_abandoned_drafts(folder: Path) -> None:
    for draft in folder.glob(f"*{_DRAFT}"):
        with suppress(OSError):  # another start may have removed it, or it is another user's
            if time.time() - draft.stat().st_mtime > _ABANDONED_S:
                draft.unlink()


def _write(tensors: Iterable[tuple[str, Tensor]], stream: IO[bytes]) -> None:
    """Write the format of `_safetensors`: its header tells sizes, so room for it is left, and it is written last."""
    entries: dict[str, Any] = {}
    stream.seek(_HEADER_BYTES)
    end = 0

    def append(name: str, kind: str, shape: list[int], content: memoryview | bytes, num_bytes: int) -> None:
        nonlocal end
        stream.write(content)
        entries[name] = {"dtype": kind, "shape": shape, "data_offsets": [end, end + num_bytes]}
        end += num_bytes

    for name, tensor in tensors:
        data = tensor.contiguous().flatten().view(torch.uint8).numpy()
        append(name, _NAMES[tensor.dtype], list(tensor.shape), data.data, data.nbytes)
        if hole := -end % _ALIGNMENT:  # the format allows none, so it has a name
            append(f"hole.{len(entries)}", "I8", [hole], bytes(hole), hole)
    header = json.dumps(entries, separators=(",", ":")).encode().ljust(_HEADER_BYTES - 8)
    if len(header) > _HEADER_BYTES - 8:
        raise OSError(f"the names of {len(entries)} tensors take more than {_HEADER_BYTES} bytes")
    stream.seek(0)
    stream.write(len(header).to_bytes(8, "little") + header)
