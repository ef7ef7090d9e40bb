"""The running batch against `transformers.generate`, in float32, token by token."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.batch import RunningBatch
from pipelines.engine.live import Request
from pipelines.engine.search import Output
from pipelines.types import DecodingOptions
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.needs import require_int8
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch

SHAPES = (
    {"d_model": 16, "heads": 2, "layers": 2, "ffn": 32, "seed": 8},
    {"d_model": 24, "heads": 4, "layers": 1, "ffn": 40, "seed": 3},
    {"d_model": 32, "heads": 1, "layers": 3, "ffn": 16, "seed": 5},
)
MANY_OPTIONS = (
    DecodingOptions(),
    DecodingOptions(repetition_penalty=1.5),
    DecodingOptions(no_repeat_ngram_size=2),
    DecodingOptions(min_new_tokens=8),
    DecodingOptions(num_beams=2, length_penalty=0.6),
    DecodingOptions(num_beams=3, no_repeat_ngram_size=2, repetition_penalty=1.3, min_new_tokens=5),
    DecodingOptions(num_beams=4, num_hypotheses=3),
    DecodingOptions(num_beams=5, length_penalty=2.0),
)


@pytest.fixture(scope="module", params=SHAPES, ids=lambda shape: f"d{shape['d_model']}")
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> M2M100ForConditionalGeneration:
    """Return a random network; three shapes."""
    torch.set_num_threads(1)
    path: Path = make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), **request.param)
    return load_reference(path)


def make_requests(count: int, options: tuple[DecodingOptions, ...], seed: int = 0) -> list[Request]:
    """Draw requests of many lengths, language pairs and options."""
    draw = random.Random(seed)
    return [
        Request(
            key=key,
            source=(
                draw.randrange(210, 400),
                *(draw.randrange(4, 190) for _ in range(draw.randint(1, 14))),
                2,
            ),
            target_lang_id=draw.randrange(210, 400),
            max_new_tokens=draw.randint(1, 30),
            options=draw.choice(options),
        )
        for key in range(count)
    ]


def run_in_flight(batch: RunningBatch, requests: list[Request], seed: int = 1) -> dict[int, tuple[Output, ...]]:
    """Let requests join at random steps while others decode, and collect them as they leave."""
    draw = random.Random(seed)
    waiting, outputs = list(requests), {}
    while waiting or batch.keys:
        if waiting and (not batch.keys or (len(batch.keys) < 8 and draw.random() < 0.5)):
            count = draw.randint(1, 3)
            batch.join(waiting[:count])
            waiting = waiting[count:]
        for finished in batch.step():
            outputs[finished.key] = finished.outputs
    return outputs


@pytest.mark.parametrize("options", [MANY_OPTIONS[:1], MANY_OPTIONS], ids=["greedy", "mixed"])
def test_rows_that_join_and_leave_equal_the_reference(
    model: M2M100ForConditionalGeneration, options: tuple[DecodingOptions, ...]
) -> None:
    """Every row's tokens, hypotheses and scores equal `generate`'s alone, whatever decodes beside it."""
    requests = make_requests(24, options)
    outputs = run_in_flight(running_batch(model), requests)
    for request in requests:
        expected = generate(model, request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]
        for output, (_, score) in zip(outputs[request.key], expected, strict=True):
            assert score is None or output.log_prob == pytest.approx(score, abs=1e-3)


def test_an_output_says_how_it_ended(model: M2M100ForConditionalGeneration) -> None:
    """`stop` is an output with `</s>`, `length` one that the bound cut."""
    outputs = run_in_flight(running_batch(model), make_requests(40, MANY_OPTIONS))
    finishes = {output.finish for row in outputs.values() for output in row}
    assert finishes == {"stop", "length"}
    for output in (output for row in outputs.values() for output in row):
        assert (output.tokens[-1] == 2) == (output.finish == "stop")


def test_in_int8_a_row_hardly_depends_on_its_neighbours(model: M2M100ForConditionalGeneration) -> None:
    """Activation scales are per row, so company changes a log-probability by the rounding of attention alone."""
    require_int8(model.config.d_model)
    requests = [replace(request, max_new_tokens=1) for request in make_requests(30, MANY_OPTIONS[:1])]
    batch = running_batch(model, "int8")
    together = run_in_flight(batch, requests)
    for request in requests:
        alone = run_in_flight(batch, [request])[request.key][0]
        assert together[request.key][0].log_prob == pytest.approx(alone.log_prob, abs=0.02)


@pytest.mark.parametrize("dtype", ["int8", "bfloat16", "float16"])
def test_small_formats_stay_near_float32(model: M2M100ForConditionalGeneration, dtype: str) -> None:
    """The first token's log-probability differs from float32's by rounding only."""
    if dtype == "int8":
        require_int8(model.config.d_model)
    # FBGEMM's activations have 7 bits on a CPU without VNNI.
    tolerance = 0.25 if dtype != "int8" or torch.cpu._is_vnni_supported() else 0.5
    requests = make_requests(12, (DecodingOptions(),))
    exact, rounded = (running_batch(model, name) for name in ("float32", dtype))
    for request in requests:
        first = replace(request, max_new_tokens=1)
        expected = run_in_flight(exact, [first])[first.key][0].log_prob
        assert run_in_flight(rounded, [first])[first.key][0].log_prob == pytest.approx(expected, abs=tolerance)


def test_a_dropped_request_leaves_the_others_as_they_were(model: M2M100ForConditionalGeneration) -> None:
    """Dropping moves other rows' memory, never their outputs."""
    requests = make_requests(12, MANY_OPTIONS)
    batch = running_batch(model)
    batch.join(requests)
    dropped = {request.key for request in requests[::3]}
    outputs = {finished.key: finished.outputs for finished in batch.step()}
    batch.drop(dropped)
    while batch.keys:
        outputs |= {finished.key: finished.outputs for finished in batch.step()}
    for request in requests:
        if request.key not in dropped:
            assert outputs[request.key][0].tokens == generate(model, request)[0][0]


def test_a_row_without_usable_numbers_leaves_alone(model: M2M100ForConditionalGeneration) -> None:
    """A source that the network answers with NaN gives no output; its neighbours are not touched."""
    poison = 5
    model = load_reference(Path(model.name_or_path))
    with torch.no_grad():
        model.model.shared.weight[poison] = torch.nan
        model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.nan_to_num())
    clean = [request for request in make_requests(8, MANY_OPTIONS[:1]) if poison not in request.source]
    bad = Request(99, (300, poison, 2), 310, 5, DecodingOptions())
    batch = running_batch(model)
    outputs = run_in_flight(batch, [*clean, bad])
    assert outputs[99] == ()
    assert all(outputs[request.key] for request in clean)
