"""Can this machine train on a base model in 4 bits? Said before any work begins."""

from __future__ import annotations

import contextlib
import importlib.util
import io

import torch

from pipelines.errors import StartupError


def refuse_unusable_quantization() -> None:
    """Quantise a small layer and run it in both directions.

    Raises:
        StartupError: bitsandbytes is not installed, or cannot do that here.
    """
    if importlib.util.find_spec("bitsandbytes") is None:
        raise _refusal("bitsandbytes is not installed: it exists for Linux")
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # it mentions kernels that it would download
            from bitsandbytes.nn import Linear4bit

            device = "cuda" if torch.cuda.is_available() else "cpu"
            layer = Linear4bit(64, 64, compute_dtype=torch.float32, quant_type="nf4").to(device)
            source = torch.ones(1, 64, device=device, requires_grad=True)
            layer(source).sum().backward()
    except Exception as error:
        raise _refusal(f"bitsandbytes does not run here: {error}") from error


def _refusal(reason: str) -> StartupError:
    return StartupError(
        f"--quantize 4bit: {reason}; leave it out to train on the base model as it is", field="quantize"
    )
