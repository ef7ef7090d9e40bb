"""Adapters in the running batch against peft alone, in float32, token by token."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.adapter_weights import read_adapter
from pipelines.engine.batch import RunningBatch
from pipelines.engine.live import Request
from pipelines.engine.lora import Adapter, LowRank, Up, adapt_layers, order_by_adapter
from pipelines.engine.shape import ModelShape
from pipelines.engine.weights import EncoderLayer
from pipelines.types import DecodingOptions
from tests.tiny_adapter import ATTENTION, FEED_FORWARD, load_alone, make_tiny_adapter
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch
from tests.unit.pipelines.engine.test_batch import make_requests, run_in_flight

SHAPES = (
    {"d_model": 16, "heads": 2, "layers": 2, "ffn": 32, "seed": 8},
    {"d_model": 24, "heads": 4, "layers": 1, "ffn": 40, "seed": 3},
    {"d_model": 32, "heads": 1, "layers": 3, "ffn": 16, "seed": 5},
)
KINDS: dict[str, dict[str, Any]] = {
    "attention": {"r": 4, "lora_alpha": 8},
    "wider": {"r": 8, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]},
    "rslora": {"r": 3, "lora_alpha": 2, "use_rslora": True, "target_modules": [*ATTENTION, *FEED_FORWARD]},
    "feed-forward": {"r": 5, "lora_alpha": 5, "target_modules": list(FEED_FORWARD)},
    "patterns": {
        "r": 2,
        "lora_alpha": 3,
        "rank_pattern": {"encoder_attn.v_proj": 6, "k_proj": 1},
        "alpha_pattern": {"model.decoder.layers.0.self_attn.q_proj": 7},
    },
    "dora": {"r": 4, "lora_alpha": 8, "use_dora": True, "target_modules": [*ATTENTION, *FEED_FORWARD]},
    "one-layer": {"r": 4, "lora_alpha": 4, "layers_to_transform": [0], "target_modules": ["out_proj", "fc1"]},
}
OPTIONS = (DecodingOptions(), DecodingOptions(num_beams=3, num_hypotheses=2), DecodingOptions(num_beams=2))


@dataclass
class Served:
    """A base model, its adapters as the engine holds them, and each as peft serves it; None is the base alone."""

    batch: RunningBatch
    adapters: dict[str | None, Adapter | None]
    alone: dict[str | None, Any]


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"d{shape['d_model']}")
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Served:
    """Return a random network of one of three shapes with every kind of adapter."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("served")
    checkpoint = make_tiny_checkpoint(folder / "base", **request.param)
    base = load_reference(checkpoint)
    adapters: dict[str | None, Adapter | None] = {None: None}
    alone: dict[str | None, Any] = {None: base}
    for seed, (name, config) in enumerate(KINDS.items()):
        path = make_tiny_adapter(folder / name, checkpoint, seed=seed, **config)
        adapters[name] = read(path, base)
        alone[name] = load_alone(path, checkpoint)
    return Served(running_batch(base), adapters, alone)


def read(
    path: Path, model: M2M100ForConditionalGeneration, dtype: torch.dtype = torch.float32, device: str = "cpu"
) -> Adapter:
    """Read an adapter."""
    shape = ModelShape.from_config(model.config)
    return read_adapter(path, shape=shape, dtype=dtype, device=torch.device(device), base=model.state_dict)


def with_adapters(requests: Sequence[Request], adapters: dict[str | None, Adapter | None]) -> dict[int, str | None]:
    """Choose an adapter for each request, by key; all of them, none among them, and in no order."""
    names = list(islice(cycle(adapters), len(requests)))
    random.Random(3).shuffle(names)
    return {request.key: name for request, name in zip(requests, names, strict=True)}


@pytest.mark.parametrize("options", [OPTIONS[:1], OPTIONS], ids=["greedy", "mixed"])
def test_mixed_adapters_equal_each_alone(served: Served, options: tuple[DecodingOptions, ...]) -> None:
    """Rows of seven adapters and of none join late, leave, move and reorder: each decodes as peft does with its own."""
    requests = make_requests(28, options)
    chosen = with_adapters(requests, served.adapters)
    outputs = run_in_flight(
        served.batch, [replace(request, adapter=served.adapters[chosen[request.key]]) for request in requests]
    )
    for request in requests:
        expected = generate(served.alone[chosen[request.key]], request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]
        for output, (_, score) in zip(outputs[request.key], expected, strict=True):
            assert score is None or output.log_prob == pytest.approx(score, abs=1e-3)


def test_a_row_is_aligned_by_its_own_attention(served: Served) -> None:
    """Rows are stepped in the order of their adapters; what each attends to is still its own."""
    requests = make_requests(12, (DecodingOptions(align=True), DecodingOptions(align=True, num_beams=2)))
    chosen = with_adapters(requests, served.adapters)
    requests = [replace(request, adapter=served.adapters[chosen[request.key]]) for request in requests]
    together = run_in_flight(served.batch, requests)
    for request in requests:
        alone = run_in_flight(served.batch, [request])[request.key]
        assert [output.attended for output in together[request.key]] == [output.attended for output in alone]


def test_every_adapter_changes_what_comes_out(served: Served) -> None:
    """So that equality with peft says something: outputs differ from the base model's."""
    requests = make_requests(12, OPTIONS[:1])
    base = run_in_flight(served.batch, requests)
    for adapter in served.adapters.values():
        if adapter is not None:
            own = run_in_flight(served.batch, [replace(request, adapter=adapter) for request in requests])
            assert any(own[key] != base[key] for key in base)


def test_rows_of_the_base_are_untouched_by_neighbours(served: Served) -> None:
    """A row without an adapter gives what it gives in a batch without adapters."""
    requests = make_requests(8, OPTIONS[:1])
    plain = run_in_flight(served.batch, requests)
    mixed = run_in_flight(
        served.batch,
        [
            replace(request, adapter=served.adapters["attention"]) if request.key % 2 else request
            for request in requests
        ],
    )
    assert all(mixed[request.key][0].tokens == plain[request.key][0].tokens for request in requests[::2])


@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "float16"])
def test_every_backend_applies_adapters(tmp_path: Path, dtype: str) -> None:
    """The first token's log-probability with an adapter differs from float32's by rounding only."""
    torch.set_num_threads(1)
    checkpoint = make_tiny_checkpoint(tmp_path / "base")
    model = load_reference(checkpoint)
    path = make_tiny_adapter(
        tmp_path / "adapter", checkpoint, loudness=0.2, use_dora=True, target_modules=[*ATTENTION, *FEED_FORWARD]
    )
    exact, rounded = running_batch(model), running_batch(model, dtype)
    compute_dtype = torch.float32 if dtype == "int8" else getattr(torch, dtype)
    for request in make_requests(12, OPTIONS[:1]):
        first = replace(request, max_new_tokens=1, adapter=read(path, model))
        expected = run_in_flight(exact, [first])[first.key][0].log_prob
        same = replace(first, adapter=read(path, model, compute_dtype))
        assert run_in_flight(rounded, [same])[first.key][0].log_prob == pytest.approx(expected, abs=0.25)


def test_rows_of_an_adapter_must_lie_together() -> None:
    """Or some would be left without what the adapter adds."""
    adapter = Adapter(4, {})
    layer: Any = None
    with pytest.raises(ValueError, match="do not lie together"):
        adapt_layers([layer], "encoder", [adapter, None, adapter])


def test_a_batch_without_adapters_runs_the_plain_layers() -> None:
    """Nothing is wrapped, so nothing is paid."""
    layers: list[EncoderLayer] = []
    assert adapt_layers(layers, "encoder", [None, None]) is layers


class Plain:
    """A base layer that gives zeros, so that what adapters add is seen alone."""

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """See `Linear`."""
        return torch.zeros(len(x), 6)


@given(rows=st.lists(st.tuples(st.sampled_from([None, 0, 1, 2]), st.integers(1, 3)), min_size=1, max_size=9))
def test_each_line_gets_its_own_adapter(rows: list[tuple[int | None, int]]) -> None:
    """Whatever the order, however many lines a row has, and whichever module an adapter leaves out."""
    generator = torch.Generator().manual_seed(0)

    def draw(*size: int) -> torch.Tensor:
        return torch.randn(*size, generator=generator)

    key = ("encoder", 0, "qkv")
    whole = LowRank(draw(5, 4), (Up(slice(0, 3), slice(0, 2), draw(2, 3)), Up(slice(3, 6), slice(2, 5), draw(3, 3))))
    half = LowRank(draw(1, 4), (Up(slice(3, 6), slice(0, 1), draw(1, 3)),))
    adapters = [Adapter(3, {key: whole}), Adapter(1, {key: half}), Adapter(1, {("encoder", 1, "qkv"): half})]
    layer: Any = EncoderLayer(*[Plain()] * 6)  # type: ignore[arg-type]
    order = order_by_adapter([None if index is None else adapters[index] for index, _ in rows])
    assert sorted(order) == list(range(len(rows)))
    rows = [rows[index] for index in order]
    chosen = [None if index is None else adapters[index] for index, _ in rows]
    lengths = [length for _, length in rows]
    (adapted,) = adapt_layers([layer], "encoder", chosen, lengths)
    x = draw(sum(lengths), 4)
    lines = [index for index, length in rows for _ in range(length)]
    expected = torch.zeros(len(x), 6)
    for line, index in enumerate(lines):
        if index == 0:
            first, second = whole.ups
            expected[line, :3] = x[line] @ whole.down[:2].t() @ first.weight
            expected[line, 3:] = x[line] @ whole.down[2:].t() @ second.weight
        if index == 1:
            expected[line, 3:] = x[line] @ half.down.t() @ half.ups[0].weight
    torch.testing.assert_close(adapted.qkv(x), expected)
