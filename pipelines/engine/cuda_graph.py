"""Operations of a GPU recorded once and launched as one, as a CUDA graph.

A decoder's step is hundreds of kernels of microseconds; launching each from Python takes many times as long as they
run. See https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import torch

T = TypeVar("T")
Replay = Callable[[], T]
"""Runs what was recorded on what the tensors it read hold now, and returns its outputs, the same ones every time."""


class GraphRecorder:
    """Records on one device; its recordings are replayed one at a time and share their memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        with torch.cuda.device(device):
            self._pool = torch.cuda.graph_pool_handle()
            self._stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        # A pool ends with its last recording, so one stays for ever.
        self._anchor = self(lambda: torch.zeros(1, device=device))

    def __call__(self, run: Callable[[], T]) -> Replay[T]:
        """Run it once, and record it.

        Args:
            run: Reads tensors that stay where they are, and never waits for the device.
        """
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.device(self._device):
            self._stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(self._stream):
                run()  # libraries that are used for the first time allocate and load, which cannot be recorded
                # Not `torch.cuda.graph`, which collects garbage and empties the allocator's cache each time. Other
                # threads go on meanwhile: they load adapters.
                graph.capture_begin(pool=self._pool, capture_error_mode="thread_local")
                try:
                    outputs = run()
                finally:
                    graph.capture_end()
            torch.cuda.current_stream().wait_stream(self._stream)

        def replay() -> T:
            with torch.cuda.device(self._device):
                graph.replay()
            return outputs

        return replay


def recorder_for(device: torch.device) -> GraphRecorder | None:
    """Return what records on that device; None where it would not help, or cannot be done."""
    return GraphRecorder(device) if device.type == "cuda" else None
