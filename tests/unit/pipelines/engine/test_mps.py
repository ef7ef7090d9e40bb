"""The engine on the GPU of a Mac, where there is one; and, anywhere, what such a GPU could not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import M2M100ForConditionalGeneration

from pipelines.types import DecodingOptions
from tests.tiny_model import make_tiny_checkpoint
from tests.unit.pipelines.engine.reference import generate, load_reference, running_batch
from tests.unit.pipelines.engine.test_batch import MANY_OPTIONS, make_requests, run_in_flight

needs_mps = pytest.mark.skipif(not torch.backends.mps.is_available(), reason="there is no GPU of Apple's")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> M2M100ForConditionalGeneration:
    """Return a random network, on the CPU."""
    return load_reference(make_tiny_checkpoint(Path(tmp_path_factory.mktemp("tiny"))))


@needs_mps
@pytest.mark.parametrize("options", [MANY_OPTIONS[:1], MANY_OPTIONS], ids=["greedy", "mixed"])
def test_rows_that_join_and_leave_equal_the_reference(
    model: M2M100ForConditionalGeneration, options: tuple[DecodingOptions, ...]
) -> None:
    """In float32 every row's tokens and scores equal `generate`'s alone, on the CPU."""
    requests = make_requests(24, options)
    outputs = run_in_flight(running_batch(model, device="mps"), requests)
    for request in requests:
        expected = generate(model, request)
        assert [output.tokens for output in outputs[request.key]] == [tokens for tokens, _ in expected]
        for output, (_, score) in zip(outputs[request.key], expected, strict=True):
            assert score is None or output.log_prob == pytest.approx(score, abs=1e-3)


@needs_mps
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_16_bit_formats_decode(model: M2M100ForConditionalGeneration, dtype: str) -> None:
    """Every request has its outputs."""
    requests = make_requests(24, MANY_OPTIONS)
    outputs = run_in_flight(running_batch(model, dtype, device="mps"), requests)
    assert all(len(outputs[request.key]) == request.options.num_hypotheses for request in requests)


class _NoDoubles(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails at numbers of 64 bits that are not integers, which Apple's GPUs do not have."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        tensors = [each for each in tree_leaves((args, kwargs, result)) if isinstance(each, torch.Tensor)]
        assert not any(each.dtype in (torch.float64, torch.complex128) for each in tensors), func
        return result


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_nothing_is_computed_in_double_precision(model: M2M100ForConditionalGeneration, dtype: str) -> None:
    """In a step, or when a source joins; with any options of decoding."""
    with _NoDoubles():  # type: ignore[no-untyped-call]
        outputs = run_in_flight(running_batch(model, dtype), make_requests(24, MANY_OPTIONS))
    assert len(outputs) == 24
