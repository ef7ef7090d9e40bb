"""Bounds from the source's length, forced prefixes and alignment, against `transformers`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import M2M100ForConditionalGeneration

from pipelines.engine.batch import RunningBatch
from pipelines.engine.length import least_new_tokens
from pipelines.engine.live import Request
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Segment
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.reference import generate, running_batch
from tests.unit.pipelines.engine.test_batch import MANY_OPTIONS, make_requests, run_in_flight

TOKENS = st.integers(4, 190)
REQUESTS = st.builds(
    Request,
    key=st.just(0),
    source=st.lists(TOKENS, min_size=0, max_size=14).map(lambda tokens: (300, *tokens, 2)),
    target_lang_id=st.integers(210, 400),
    max_new_tokens=st.integers(1, 20),
    options=st.builds(
        DecodingOptions,
        num_beams=st.integers(1, 4),
        min_new_tokens=st.integers(0, 6),
        length_penalty=st.sampled_from([0.0, 0.6, 1.0, 2.0]),
        no_repeat_ngram_size=st.integers(0, 3),
        repetition_penalty=st.sampled_from([1.0, 1.2, 1.8]),
        align=st.booleans(),
    ),
    forced=st.lists(TOKENS, max_size=4).map(tuple),
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> M2M100ForConditionalGeneration:
    """Return a random network that tells its attention."""
    torch.set_num_threads(1)
    path: Path = make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"), layers=3)
    return M2M100ForConditionalGeneration.from_pretrained(path, attn_implementation="eager").eval()


@pytest.fixture(scope="module")
def batch(model: M2M100ForConditionalGeneration) -> RunningBatch:
    """Return the engine's batch over the same weights."""
    return running_batch(model)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(REQUESTS, min_size=1, max_size=6), seed=st.integers(0, 9))
def test_any_batch_equals_the_reference(
    model: M2M100ForConditionalGeneration, batch: RunningBatch, requests: list[Request], seed: int
) -> None:
    """Whatever options and forced prefixes stand side by side, each row's tokens are `generate`'s alone."""
    requests = [replace(request, key=key) for key, request in enumerate(requests)]
    outputs = run_in_flight(batch, requests, seed)
    for request in requests:
        expected = generate(model, request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]


def test_alignment_is_the_cross_attention_of_the_output(
    model: M2M100ForConditionalGeneration, batch: RunningBatch
) -> None:
    """Each token's source token has the largest mean attention of the last layer but one, the ends left aside."""
    requests = [
        replace(request, options=replace(request.options, align=index % 4 > 0))
        for index, request in enumerate(make_requests(24, MANY_OPTIONS))
    ]
    outputs = run_in_flight(batch, requests)
    for request in requests:
        for output in outputs[request.key]:
            if not request.options.align:
                assert output.attended == ()
                continue
            fed = [2, request.target_lang_id, *output.tokens[:-1]]
            with torch.no_grad():
                told = model(
                    input_ids=torch.tensor([request.source]),
                    decoder_input_ids=torch.tensor([fed]),
                    output_attentions=True,
                )
            shares = told.cross_attentions[1][0].mean(0)[1:]
            inner = shares[:, 1:-1]
            assert output.attended == tuple((inner.argmax(-1) + 1).tolist())


@pytest.mark.parametrize(
    ("options", "least"),
    [
        (DecodingOptions(), 0),
        (DecodingOptions(min_new_tokens=3), 3),
        (DecodingOptions(min_length_ratio=0.55), 6),
        (DecodingOptions(min_new_tokens=8, min_length_ratio=0.5), 8),
    ],
)
def test_least_length(options: DecodingOptions, least: int) -> None:
    """The larger of the fixed bound and the share of the source's tokens, rounded up."""
    segment = Segment("dog", "eng_Latn", "fra_Latn", decoding=options)
    assert least_new_tokens(EncodedSegment(segment, (9,) * 10)) == least
