"""Recorded steps against `transformers.generate` and peft, in float32, token by token.

A recording holds operations on tensors, as a GPU's graph does: what Python decided while it was made is fixed in it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.lora import Adapter
from pipelines.engine.recorded_network import Outputs
from pipelines.types import DecodingOptions
from tests.tiny_adapter import load_alone, make_tiny_adapter
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch
from tests.unit.pipelines.engine.test_batch import MANY_OPTIONS, make_requests, run_in_flight
from tests.unit.pipelines.engine.test_lora import KINDS, read, with_adapters

ALIGNED = (DecodingOptions(align=True), DecodingOptions(align=True, num_beams=2), DecodingOptions())


class Recorder:
    """Records operations, and replays them into the outputs of the recording."""

    def __init__(self) -> None:
        self.num_recordings = 0
        self.num_replays = 0

    def __call__(self, run: Callable[[], Outputs]) -> Callable[[], Outputs]:
        """See `pipelines.engine.recorded_network.Recorder`."""
        self.num_recordings += 1
        operations = make_fx(run)()

        def replay() -> Outputs:
            self.num_replays += 1
            outputs: Outputs = operations()
            return outputs

        return replay


def cannot_record(run: Callable[[], Outputs]) -> Callable[[], Outputs]:
    """Fail as a driver does."""
    raise RuntimeError("CUDA error: operation not permitted when stream is capturing")


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a random network."""
    torch.set_num_threads(1)
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), d_model=24, heads=4, layers=2, ffn=40, seed=3)


@pytest.fixture(scope="module")
def model(checkpoint: Path) -> M2M100ForConditionalGeneration:
    """Return it as `transformers` loads it."""
    return load_reference(checkpoint)


@pytest.mark.parametrize("options", [MANY_OPTIONS[:1], MANY_OPTIONS], ids=["greedy", "mixed"])
def test_rows_that_join_and_leave_equal_the_reference(
    model: M2M100ForConditionalGeneration, options: tuple[DecodingOptions, ...]
) -> None:
    """Whichever rows a step was recorded with, it is right for others; and far fewer are recorded than replayed."""
    requests, record = make_requests(24, options), Recorder()
    outputs = run_in_flight(running_batch(model, record=record), requests)
    for request in requests:
        expected = generate(model, request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]
        for output, (_, score) in zip(outputs[request.key], expected, strict=True):
            assert score is None or output.log_prob == pytest.approx(score, abs=1e-3)
    assert record.num_recordings < record.num_replays / 2


def test_mixed_adapters_equal_each_alone(
    model: M2M100ForConditionalGeneration, checkpoint: Path, tmp_path: Path
) -> None:
    """More adapters than slots, of all kinds and ranks, DoRA among them: each row decodes as peft does with its own."""
    adapters: dict[str | None, Adapter | None] = {None: None}
    alone: dict[str | None, Any] = {None: model}
    for seed, (name, config) in enumerate(KINDS.items()):
        path = make_tiny_adapter(tmp_path / name, checkpoint, seed=seed, **config)
        adapters[name], alone[name] = read(path, model), load_alone(path, checkpoint)
    requests = make_requests(24, (DecodingOptions(), DecodingOptions(num_beams=3)))
    chosen = with_adapters(requests, adapters)
    outputs = run_in_flight(
        running_batch(model, record=Recorder()),
        [replace(request, adapter=adapters[chosen[request.key]]) for request in requests],
    )
    for request in requests:
        expected = generate(alone[chosen[request.key]], request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]


def test_alignment_is_that_of_steps_that_are_not_recorded(model: M2M100ForConditionalGeneration) -> None:
    """What a row attends to does not depend on how its steps are run."""
    requests = make_requests(8, ALIGNED)
    recorded = run_in_flight(running_batch(model, record=Recorder()), requests)
    plain = run_in_flight(running_batch(model), requests)
    for request in requests:
        assert [output.attended for output in recorded[request.key]] == [
            output.attended for output in plain[request.key]
        ]


def test_a_device_that_cannot_record_decodes_as_well(
    model: M2M100ForConditionalGeneration, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once; rows get what they get otherwise."""
    requests = make_requests(12, MANY_OPTIONS)
    assert run_in_flight(running_batch(model, record=cannot_record), requests) == run_in_flight(
        running_batch(model, record=Recorder()), requests
    )
    assert len(caplog.records) == 1


def test_memory_that_is_short_while_recording_is_not_taken_for_a_device_that_cannot(
    model: M2M100ForConditionalGeneration,
) -> None:
    """The loop around the batch halves it and tries again."""

    def is_full(run: Callable[[], Outputs]) -> Callable[[], Outputs]:
        raise torch.OutOfMemoryError

    with pytest.raises(torch.OutOfMemoryError):
        run_in_flight(running_batch(model, record=is_full), make_requests(1, MANY_OPTIONS))
