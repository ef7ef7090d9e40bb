"""All workers compute in one number format, which their own devices have."""

from __future__ import annotations

import pytest
import torch

from train.precision import agreed, agreed_precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("requested", "expected"),
    [("auto", torch.float32), ("float32", torch.float32), ("bfloat16", torch.bfloat16), ("float16", torch.float16)],
)
def test_what_is_asked_for_is_taken(requested: str, expected: torch.dtype) -> None:
    """On CPUs `auto` is float32. No other worker is asked: there is none here, nor a process group."""
    assert agreed_precision(requested, CPU) == expected


@pytest.mark.parametrize(
    ("own", "of_another", "expected"),
    [
        (torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (torch.bfloat16, torch.float16, torch.float16),
        (torch.float16, torch.bfloat16, torch.float16),
    ],
)
def test_the_least_able_gpu_decides(own: torch.dtype, of_another: torch.dtype, expected: torch.dtype) -> None:
    """An A100 beside a V100 computes in float16, too."""
    others = torch.tensor(int(of_another == torch.bfloat16))
    assert agreed(own, CPU, minimum=lambda mine: mine.copy_(torch.minimum(mine, others))) == expected
