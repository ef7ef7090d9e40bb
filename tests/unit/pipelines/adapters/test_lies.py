"""A published version that is not what its manifest says is refused with the reason, and never reaches an engine."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.checks import describe_files
from pipelines.errors import InvalidAdapterError
from tests.adapter_files import MODULES, draft, write_adapter

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
Spoil = Callable[[Path], None]


def _manifest(**changes: Any) -> Spoil:
    def spoil(home: Path) -> None:
        path = home / "manifest.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return spoil


def _honest_hashes(spoil: Spoil) -> Spoil:
    """Spoil a file, and let the manifest have its new hash: an attacker can count as well."""

    def both(home: Path) -> None:
        spoil(home)
        files = {name: entry.model_dump() for name, entry in describe_files(home).items()}
        _manifest(files=files)(home)

    return both


def _tensors(change: Callable[[dict[str, Any]], None]) -> Spoil:
    def spoil(home: Path) -> None:
        tensors: dict[str, Any] = dict(load_file(home / WEIGHTS))
        change(tensors)
        save_file(tensors, home / WEIGHTS)

    return _honest_hashes(spoil)


def _first(tensors: dict[str, Any]) -> str:
    return min(tensors)


def _put(value: float) -> Callable[[dict[str, Any]], None]:
    def change(tensors: dict[str, Any]) -> None:
        tensors[_first(tensors)][0, 0] = value

    return change


def _reshape(tensors: dict[str, Any]) -> None:
    tensors[_first(tensors)] = np.zeros((3, 16), np.float32)


def _magnitude(tensors: dict[str, Any]) -> None:
    tensors[_first(tensors).replace("lora_A.weight", "lora_magnitude_vector")] = np.ones(16, np.float32)


def _integers(tensors: dict[str, Any]) -> None:
    tensors[_first(tensors)] = tensors[_first(tensors)].astype(np.int32)


def _bfloat16_nan(home: Path) -> None:
    """Numpy writes no bfloat16: the header is written by hand, the first number is a NaN."""
    name = "base_model.model.model.encoder.layers.0.self_attn.q_proj.lora_A.weight"
    header = json.dumps({name: {"dtype": "BF16", "shape": [2, 16], "data_offsets": [0, 64]}}).encode()
    (home / WEIGHTS).write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<H", 0x7FC0) + bytes(62))


LIES: dict[str, tuple[Spoil, str]] = {
    "another hash": (lambda home: (home / CONFIG).write_text((home / CONFIG).read_text().replace("2", "3")), "SHA-256"),
    "fewer bytes": (lambda home: (home / WEIGHTS).write_bytes((home / WEIGHTS).read_bytes()[:-1]), "bytes"),
    "more bytes": (
        lambda home: (home / WEIGHTS).write_bytes((home / WEIGHTS).read_bytes() + b"x"),
        "the manifest lies",
    ),
    "no weights": (lambda home: (home / WEIGHTS).unlink(), "is missing"),
    "rank": (_manifest(rank=8), "the manifest says rank 8, the file 2"),
    "targets": (_manifest(targets=["fc1"]), "adapts q_proj, v_proj; the manifest says fc1"),
    "another name": (_manifest(name="legal"), "says that it is legal@1"),
    "another version": (_manifest(version=9), "says that it is medical@9"),
    "no language": (_manifest(language_pairs=[]), "language_pairs"),
    "a path": (_manifest(files={"../../../etc/passwd": {"sha256": "0" * 64, "num_bytes": 1}}), "files"),
    "a further file": (_manifest(files={"code.py": {"sha256": "0" * 64, "num_bytes": 1}}), "files"),
    "an unknown key": (_manifest(run="rm"), "run"),
    "no JSON": (lambda home: (home / "manifest.json").write_text("{"), "JSON"),
    "NaN": (_tensors(_put(float("nan"))), "NaN or infinite"),
    "infinity": (_tensors(_put(float("-inf"))), "NaN or infinite"),
    "NaN in bfloat16": (_honest_hashes(_bfloat16_nan), "NaN or infinite"),
    "a shape of another rank": (_tensors(_reshape), r"has the shape \[3, 16\]; rank 2"),
    "no floats": (_tensors(_integers), "of the type I32"),
    "half a pair": (_tensors(lambda tensors: tensors.pop(_first(tensors))), "has no lora_A.weight"),
    "a magnitude without DoRA": (_tensors(_magnitude), "holds '.*lora_magnitude_vector'"),
    "a foreign tensor": (_tensors(lambda tensors: tensors.update(evil=np.zeros(1, np.float32))), "holds 'evil'"),
    "no safetensors": (
        _honest_hashes(lambda home: (home / WEIGHTS).write_bytes(b"\x80\x04pickle")),
        "not a safetensors",
    ),
    "another method": (
        _honest_hashes(lambda home: (home / CONFIG).write_text('{"peft_type": "IA3", "r": 2, "lora_alpha": 4}')),
        "peft_type",
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lie_is_refused_with_its_reason(registry: AdapterRegistry, adapter: Path, tmp_path: Path, lie: str) -> None:
    """Neither `verify` nor `fetch` lets it pass; no copy is left behind."""
    spoil, reason = LIES[lie]
    registry.publish("medical", adapter, draft())
    spoil(tmp_path / "registry/adapters/medical/1")
    fresh = AdapterRegistry(registry.uri)
    with pytest.raises(InvalidAdapterError, match=reason):
        fresh.verify("medical", 1)
    with pytest.raises(InvalidAdapterError, match=reason):
        fresh.fetch("medical", 1, tmp_path / "copies")
    assert not list((tmp_path / "copies").glob("*@*"))


def test_the_truth_passes(registry: AdapterRegistry, adapter: Path) -> None:
    """The checks above can pass."""
    published = registry.publish("medical", adapter, draft())
    assert registry.verify("medical", 1) == published


def test_dora_needs_a_magnitude_of_every_module(registry: AdapterRegistry, tmp_path: Path) -> None:
    """One number per output; a file that lost one is refused."""
    folder = write_adapter(tmp_path / "dora", use_dora=True)
    tensors: dict[str, Any] = dict(load_file(folder / WEIGHTS))
    for module in MODULES:
        tensors[f"base_model.model.{module}.lora_magnitude_vector"] = np.ones(16, np.float32)
    save_file(tensors, folder / WEIGHTS)
    published = registry.publish("medical", folder, draft())
    assert registry.verify("medical", 1) == published
    del tensors[f"base_model.model.{MODULES[1]}.lora_magnitude_vector"]
    save_file(tensors, folder / WEIGHTS)
    with pytest.raises(InvalidAdapterError, match="v_proj has no lora_magnitude_vector"):
        registry.publish("medical", folder, draft())


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_single_changed_byte_passes(
    registry: AdapterRegistry, adapter: Path, tmp_path: Path, data: st.DataObject
) -> None:
    """Wherever in a file a byte is changed, the version is refused."""
    if not registry.versions("medical"):
        registry.publish("medical", adapter, draft())
    path = tmp_path / "registry/adapters/medical/1" / data.draw(st.sampled_from([WEIGHTS, CONFIG]))
    content = path.read_bytes()
    place = data.draw(st.integers(0, len(content) - 1))
    change = data.draw(st.integers(1, 255))
    try:
        path.write_bytes(content[:place] + bytes([content[place] ^ change]) + content[place + 1 :])
        with pytest.raises(InvalidAdapterError):
            registry.verify("medical", 1)
    finally:
        path.write_bytes(content)
