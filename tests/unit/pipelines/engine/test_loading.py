"""Devices, number formats and output bounds: what is picked, and what is refused with the accepted values."""

from __future__ import annotations

import pytest
import torch

from pipelines.engine.device import decoding_memory_bytes, pick_device, pick_float, pin_threads
from pipelines.engine.length import LengthBound
from pipelines.errors import StartupError
from pipelines.protocols import EncodedSegment
from pipelines.types import DecodingOptions, Segment


def test_device() -> None:
    """A device that is asked for is taken; one that cannot be is refused with those that can."""
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type in {"cuda", "mps", "cpu"}
    with pytest.raises(StartupError, match=r"'tpu': not on this machine; accepted here: auto, .*cpu"):
        pick_device("tpu")


def test_number_format() -> None:
    """On a CPU `auto` is float32; what is asked for is taken."""
    cpu = torch.device("cpu")
    assert pick_float("auto", cpu) == torch.float32
    assert pick_float("auto", torch.device("mps")) == torch.float32
    assert pick_float("bfloat16", cpu) == torch.bfloat16


def test_threads() -> None:
    """An operation uses the threads that were asked for, or as many as the process has CPUs, at most."""
    before = torch.get_num_threads()
    try:
        assert pin_threads(None) <= before
        assert pin_threads(1) == torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_memory() -> None:
    """There is memory for decoding, and not all of the machine's."""
    assert 0 < decoding_memory_bytes(torch.device("cpu")) < 2**44


def test_length_bound_of_a_segment() -> None:
    """A segment's own ratio takes the place of the engine's."""
    segment = Segment("dog", "eng_Latn", "fra_Latn", decoding=DecodingOptions(max_length_ratio=1.5))
    assert LengthBound(ratio=2.0, extra_tokens=5, max_tokens=30).of(EncodedSegment(segment, (9,) * 10)) == 20


@pytest.mark.parametrize(("max_new_tokens", "bound"), [(None, 2 * 10 + 5), (7, 7), (100, 30), (0, 1)])
def test_length_bound(max_new_tokens: int | None, bound: int) -> None:
    """The segment's own bound wins over the ratio, and the model's positions over both."""
    segment = Segment("dog", "eng_Latn", "fra_Latn", decoding=DecodingOptions(max_new_tokens=max_new_tokens))
    assert LengthBound(ratio=2.0, extra_tokens=5, max_tokens=30).of(EncodedSegment(segment, (9,) * 10)) == bound
