"""`adapter_model.safetensors`: every matrix is checked against the model, and what does not fit is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import M2M100Config

from pipelines.engine.adapter_config import CONFIG_FILE, WEIGHTS_FILE
from pipelines.engine.adapter_weights import read_adapter
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.lora import Adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.state import checkpoint_tensors
from pipelines.errors import InvalidAdapterError
from tests.tiny_adapter import make_tiny_adapter

PREFIX = "base_model.model.model"
A_NAME = f"{PREFIX}.encoder.layers.0.self_attn.q_proj.lora_A.weight"
B_NAME = f"{PREFIX}.encoder.layers.0.self_attn.q_proj.lora_B.weight"


@pytest.fixture(scope="session")
def adapter_path(checkpoint_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of an adapter of rank 4 for q_proj, v_proj and fc1 of the tiny checkpoint."""
    path = tmp_path_factory.mktemp("adapter")
    return make_tiny_adapter(path, checkpoint_path, r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "fc1"])


@pytest.fixture
def folder(adapter_path: Path, tmp_path: Path) -> Path:
    """Return a copy of the adapter, to be damaged."""
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        (tmp_path / name).write_bytes((adapter_path / name).read_bytes())
    return tmp_path


def read(folder: Path, checkpoint_path: Path, dtype: torch.dtype = torch.float32) -> Adapter:
    """Read an adapter for the tiny checkpoint."""
    shape = ModelShape.from_config(M2M100Config.from_pretrained(checkpoint_path))
    base = partial(checkpoint_tensors, locate_checkpoint(str(checkpoint_path)))
    return read_adapter(folder, shape=shape, dtype=dtype, device=torch.device("cpu"), base=base)


def change(folder: Path, edit: Callable[[dict[str, Tensor]], Any], **settings: Any) -> None:
    """Edit the tensors and settings of an adapter."""
    tensors = load_file(folder / WEIGHTS_FILE)
    edit(tensors)
    save_file(tensors, folder / WEIGHTS_FILE)
    config = json.loads((folder / CONFIG_FILE).read_text(encoding="utf-8"))
    (folder / CONFIG_FILE).write_text(json.dumps({**config, **settings}), encoding="utf-8")


def test_an_adapter_says_what_it_takes(adapter_path: Path, checkpoint_path: Path) -> None:
    """Its largest rank, and the bytes of all its matrices in the number format of the engine."""
    num_values = sum(tensor.numel() for tensor in load_file(adapter_path / WEIGHTS_FILE).values())
    adapter = read(adapter_path, checkpoint_path)
    assert adapter.rank == 4
    assert adapter.num_bytes == 4 * num_values
    assert read(adapter_path, checkpoint_path, torch.bfloat16).num_bytes == 2 * num_values


def test_dora_needs_magnitudes_and_the_base(checkpoint_path: Path, tmp_path: Path) -> None:
    """A magnitude that is lost, of another size, or of a base that cannot be read any more is named."""
    folder = make_tiny_adapter(tmp_path / "dora", checkpoint_path, r=4, use_dora=True, target_modules=["q_proj"])
    adapter = read(folder, checkpoint_path)
    num_values = sum(tensor.numel() for tensor in load_file(folder / WEIGHTS_FILE).values())
    num_shifts = 16 * sum(len(low_rank.ups) for low_rank in adapter.layers.values())
    assert adapter.num_bytes == 4 * (num_values + num_shifts)
    with pytest.raises(InvalidAdapterError, match=r"DoRA needs the base model's weights: .* cannot be read"):
        read_adapter(
            folder,
            shape=ModelShape.from_config(M2M100Config.from_pretrained(checkpoint_path)),
            dtype=torch.float32,
            device=torch.device("cpu"),
            base=partial(checkpoint_tensors, replace(locate_checkpoint(str(checkpoint_path)), path=tmp_path)),
        )
    name = A_NAME.replace("lora_A.weight", "lora_magnitude_vector")
    change(folder, _put(name, torch.ones(8)))
    with pytest.raises(InvalidAdapterError, match=r"magnitude_vector has the shape \[8\]; .* need \[16\]"):
        read(folder, checkpoint_path)
    change(folder, _pop(name))
    with pytest.raises(InvalidAdapterError, match=f"{name} is missing"):
        read(folder, checkpoint_path)


def test_half_precision_files_are_read(folder: Path, checkpoint_path: Path) -> None:
    """Adapters saved in bfloat16 or float16 are exact in float32."""
    change(folder, lambda tensors: tensors.update({name: each.bfloat16() for name, each in tensors.items()}))
    down = read(folder, checkpoint_path).layers["encoder", 0, "qkv"].down
    assert torch.equal(down[:4], load_file(folder / WEIGHTS_FILE)[A_NAME].float())


def _pop(name: str) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors.pop(name)


def _put(name: str, tensor: Tensor) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors.update({name: tensor})


def _fill(name: str, value: float) -> Callable[[dict[str, Tensor]], Any]:
    return lambda tensors: tensors[name][0].fill_(value)


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (_pop(B_NAME), f"{B_NAME} is missing"),
        (_pop(A_NAME), f"{A_NAME} is missing"),
        (dict.clear, "has no tensors"),
        (_put(A_NAME, torch.zeros(4, 24)), rf"{A_NAME} has the shape \[4, 24\]; .* need \[4, 16\]"),
        (_put(B_NAME, torch.zeros(16, 8)), rf"{B_NAME} has the shape \[16, 8\]; .* rank 4 need \[16, 4\]"),
        (_put(A_NAME, torch.zeros(4, 16, dtype=torch.int8)), f"{A_NAME} is I8; accepted are F32, F16, BF16"),
        (_fill(A_NAME, torch.nan), f"{A_NAME} has values that are NaN or infinite"),
        (_fill(B_NAME, torch.inf), f"{B_NAME} has values that are NaN or infinite"),
        (_put(f"{PREFIX}.shared.weight", torch.zeros(4)), "shared.weight is not a tensor of a LoRA module"),
        (_put(A_NAME.replace("A.weight", "magnitude_vector"), torch.zeros(4)), "is not a tensor of a LoRA module"),
        (_put(A_NAME.replace("model.model.", "model."), torch.zeros(4, 16)), "changes encoder.layers.0.self_attn"),
        (_put(A_NAME.replace("layers.0", "layers.7"), torch.zeros(4, 16)), "changes model.encoder.layers.7.self_attn"),
        (
            _put("base_model.model.lm_head.lora_A.weight", torch.zeros(4, 16)),
            "changes lm_head, .* accepted are fc1, fc2, k_proj, out_proj, q_proj, v_proj",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_refused(
    folder: Path, checkpoint_path: Path, edit: Callable[[dict[str, Tensor]], Any], reason: str
) -> None:
    """The message names the file, the tensor, what it is and what is accepted."""
    change(folder, edit)
    with pytest.raises(InvalidAdapterError, match=f"^{WEIGHTS_FILE}: .*{reason}") as refused:
        read(folder, checkpoint_path)
    assert refused.value.field == WEIGHTS_FILE


def test_a_listed_target_must_be_there_in_every_layer(folder: Path, checkpoint_path: Path) -> None:
    """A file that lost a whole module is not taken for an adapter that never had it."""

    def lose_a_module(tensors: dict[str, Tensor]) -> None:
        for name in (A_NAME, B_NAME):
            del tensors[name.replace("layers.0", "layers.1")]

    change(folder, lose_a_module)
    with pytest.raises(InvalidAdapterError, match=r"encoder\.layers\.1\.self_attn\.q_proj\.lora_A\.weight is missing"):
        read(folder, checkpoint_path)
    change(folder, lambda tensors: None, target_modules=".*(q_proj|v_proj|fc1)")  # a pattern promises nothing
    assert ("encoder", 1, "qkv") in read(folder, checkpoint_path).layers


def test_a_rank_beyond_the_model_is_refused(folder: Path, checkpoint_path: Path) -> None:
    """Before anything of that size is read."""
    change(folder, lambda tensors: None, r=17)
    with pytest.raises(InvalidAdapterError, match=r"q_proj has rank 17; this model's modules allow at most 16"):
        read(folder, checkpoint_path)


def test_what_overflows_the_engines_format_is_refused(folder: Path, checkpoint_path: Path) -> None:
    """Finite in the file, infinite in float16."""
    change(folder, _fill(A_NAME, 1e6))
    assert read(folder, checkpoint_path).rank == 4
    with pytest.raises(InvalidAdapterError, match="NaN or infinite in float16"):
        read(folder, checkpoint_path, torch.float16)


@pytest.mark.parametrize("length", [0, 7, 100, -10])
def test_a_damaged_file_is_refused(folder: Path, checkpoint_path: Path, length: int) -> None:
    """Empty, cut in the header, or cut in the data."""
    content = (folder / WEIGHTS_FILE).read_bytes()
    (folder / WEIGHTS_FILE).write_bytes(content[:length])
    with pytest.raises(InvalidAdapterError, match=f"^{WEIGHTS_FILE}: cannot be read: "):
        read(folder, checkpoint_path)


def test_a_pickle_under_the_safe_name_is_not_unpickled(folder: Path, checkpoint_path: Path) -> None:
    """The content decides, not the name."""
    torch.save({"a": torch.zeros(1)}, folder / WEIGHTS_FILE)
    with pytest.raises(InvalidAdapterError, match="cannot be read"):
        read(folder, checkpoint_path)
