"""The engine on a GPU: its steps are CUDA graphs, its outputs `transformers.generate`'s and peft's on the CPU."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.cuda_graph import GraphRecorder, recorder_for
from pipelines.engine.lora import Adapter
from pipelines.types import DecodingOptions, Translation
from tests.tiny_adapter import load_alone, make_tiny_adapter
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch
from tests.unit.pipelines.engine.running import WAIT_S, encode, load, translate
from tests.unit.pipelines.engine.test_batch import MANY_OPTIONS, make_requests, run_in_flight
from tests.unit.pipelines.engine.test_lora import KINDS, read, with_adapters

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")

DEVICE = "cuda:0"
SHAPES = (
    {"d_model": 32, "heads": 4, "layers": 2, "ffn": 64, "seed": 8},
    {"d_model": 64, "heads": 2, "layers": 3, "ffn": 32, "seed": 5},
)


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"d{shape['d_model']}")
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random network; two shapes."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), **request.param)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> M2M100ForConditionalGeneration:
    """Return it as `transformers` loads it, on the CPU."""
    return load_reference(checkpoint)


@pytest.fixture
def recorder() -> GraphRecorder:
    """Return what records steps on the GPU."""
    recorder = recorder_for(torch.device(DEVICE))
    assert recorder is not None
    return recorder


@pytest.mark.parametrize("options", [MANY_OPTIONS[:1], MANY_OPTIONS], ids=["greedy", "mixed"])
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "as-they-come"])
def test_rows_that_join_and_leave_equal_the_reference(
    model: M2M100ForConditionalGeneration,
    recorder: GraphRecorder,
    options: tuple[DecodingOptions, ...],
    recorded: bool,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """In float32 every row's tokens and scores equal `generate`'s alone, and every step could be recorded."""
    requests = make_requests(48, options)
    batch = running_batch(model, device=DEVICE, record=recorder if recorded else None)
    outputs = run_in_flight(batch, requests)
    for request in requests:
        expected = generate(model, request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]
        for output, (_, score) in zip(outputs[request.key], expected, strict=True):
            assert score is None or output.log_prob == pytest.approx(score, abs=1e-3)
    assert not caplog.records


def test_mixed_adapters_equal_each_alone(
    model: M2M100ForConditionalGeneration, checkpoint: Path, tmp_path: Path, recorder: GraphRecorder
) -> None:
    """More adapters than slots, of all kinds and ranks, DoRA among them: each row decodes as peft does with its own."""
    adapters: dict[str | None, Adapter | None] = {None: None}
    alone: dict[str | None, Any] = {None: model}
    for seed, (name, config) in enumerate(KINDS.items()):
        path = make_tiny_adapter(tmp_path / name, checkpoint, seed=seed, **config)
        adapters[name], alone[name] = read(path, model, device=DEVICE), load_alone(path, checkpoint)
    requests = make_requests(40, (DecodingOptions(), DecodingOptions(num_beams=3)))
    chosen = with_adapters(requests, adapters)
    outputs = run_in_flight(
        running_batch(model, device=DEVICE, record=recorder),
        [replace(request, adapter=adapters[chosen[request.key]]) for request in requests],
    )
    for request in requests:
        expected = generate(alone[chosen[request.key]], request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]


def test_alignment_equals_the_cpus(model: M2M100ForConditionalGeneration, recorder: GraphRecorder) -> None:
    """What a row attends to does not depend on the device."""
    requests = make_requests(16, (DecodingOptions(align=True), DecodingOptions(align=True, num_beams=2)))
    here = run_in_flight(running_batch(model, device=DEVICE, record=recorder), requests)
    there = run_in_flight(running_batch(model), requests)
    for request in requests:
        assert [output.attended for output in here[request.key]] == [output.attended for output in there[request.key]]


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_formats_differ_by_rounding(
    model: M2M100ForConditionalGeneration, recorder: GraphRecorder, dtype: str
) -> None:
    """The first token's log-probability is near float32's."""
    requests = [replace(request, max_new_tokens=1) for request in make_requests(24, MANY_OPTIONS[:1])]
    rounded = run_in_flight(running_batch(model, dtype, device=DEVICE, record=recorder), requests)
    exact = run_in_flight(running_batch(model), requests)
    for request in requests:
        assert rounded[request.key][0].log_prob == pytest.approx(exact[request.key][0].log_prob, abs=0.25)


def test_adapters_are_loaded_while_rows_decode_and_steps_are_recorded(
    checkpoint: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Another thread allocates and copies on the GPU meanwhile; rows get what they get without it."""
    folders = [make_tiny_adapter(tmp_path / str(seed), checkpoint, seed=seed) for seed in range(20)]
    engine = load(checkpoint, device=torch.device(DEVICE), dtype="float32")
    try:
        rows = [encode(engine, text) for text in ("good morning", "how much is it", "hello my friend") * 8]
        alone = translate(engine, *rows)

        def load_all() -> None:
            for index, folder in enumerate(folders):
                engine.load_adapter(str(index), folder)

        loading = threading.Thread(target=load_all)
        loading.start()
        while loading.is_alive():
            assert translate(engine, *rows) == alone
        loading.join(WAIT_S)
        assert set(engine.adapters()) == {str(index) for index in range(20)}
        (adapted,) = translate(engine, encode(engine, adapter="7"))
        assert isinstance(adapted, Translation)
    finally:
        engine.close()
    assert not caplog.records
