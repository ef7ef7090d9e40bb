"""The systems that `benchmarks.adapters` compares; each in a process of its own, see `benchmarks.workers`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from benchmarks.workers import NUM_THREADS, Run, serve

NUM_ADAPTERS = 16
_JOINING = 8  # rows at a time, so that an adapter's rows lie scattered in the batch, as in a service


def _ours(dtype: str) -> Run:
    import torch

    from benchmarks.synthetic import DEVICE, LANGUAGE_ID, synthetic_adapters, synthetic_batch
    from pipelines.engine.adapter_weights import read_adapter
    from pipelines.engine.backends import choose_backend
    from pipelines.engine.device import pick_device
    from pipelines.engine.live import Request
    from pipelines.types import DecodingOptions

    torch.set_num_threads(NUM_THREADS)
    batch, shape = synthetic_batch(dtype)
    device = pick_device(DEVICE)
    compute_dtype = choose_backend(dtype, device).compute_dtype
    loaded = [
        read_adapter(folder, shape=shape, dtype=compute_dtype, device=device, base=dict)
        for folder in synthetic_adapters(NUM_ADAPTERS)
    ]

    def run(sources: list[list[int]], num_beams: int, num_tokens: int, adapters: list[int | None]) -> int:
        options = DecodingOptions(num_beams=num_beams, min_new_tokens=num_tokens)
        requests = [
            Request(
                key=key,
                source=tuple(source),
                target_lang_id=LANGUAGE_ID + 1,
                max_new_tokens=num_tokens,
                options=options,
                adapter=None if adapter is None else loaded[adapter],
            )
            for key, (source, adapter) in enumerate(zip(sources, adapters, strict=True))
        ]
        for first in range(0, len(requests), _JOINING):
            batch.join(requests[first : first + _JOINING])
        count = 0
        while batch.keys:
            count += sum(len(finished.outputs[0].tokens) for finished in batch.step())
        return count

    return run


def _peft(dtype: str) -> Run:
    import torch
    from peft import PeftModel
    from transformers import M2M100ForConditionalGeneration

    from benchmarks.synthetic import DEVICE, LANGUAGE_ID, synthetic_adapters, synthetic_checkpoint

    torch.set_num_threads(NUM_THREADS)
    weights = getattr(torch, dtype)
    base = M2M100ForConditionalGeneration.from_pretrained(synthetic_checkpoint(), dtype=weights)
    first, *others = synthetic_adapters(NUM_ADAPTERS)
    model: Any = PeftModel.from_pretrained(base, first, adapter_name="0", autocast_adapter_dtype=False)
    for name, folder in enumerate(others, start=1):
        model.load_adapter(folder, adapter_name=str(name), autocast_adapter_dtype=False)
    model = model.to(DEVICE, weights).eval()

    def run(sources: list[list[int]], num_beams: int, num_tokens: int, adapters: list[int | None]) -> int:
        longest = max(map(len, sources))
        ids = torch.tensor([source + [1] * (longest - len(source)) for source in sources], device=DEVICE)
        arguments = {
            "input_ids": ids,
            "attention_mask": (ids != 1).long(),
            "forced_bos_token_id": LANGUAGE_ID + 1,
            "num_beams": num_beams,
            "do_sample": False,
            "min_new_tokens": num_tokens + 1,
            "max_new_tokens": num_tokens + 1,
        }
        with torch.inference_mode():
            if any(adapter is not None for adapter in adapters):
                names = ["__base__" if adapter is None else str(adapter) for adapter in adapters]
                output = model.generate(**arguments, adapter_names=names)
            else:
                with model.disable_adapter():
                    output = model.generate(**arguments)
        output = output.cpu()
        return int((output.shape[1] - 2) * output.shape[0])

    return run


SYSTEMS: dict[str, Callable[[], Run]] = {
    "ours-int8": lambda: _ours("int8"),
    "ours-bfloat16": lambda: _ours("bfloat16"),
    "ours-float16": lambda: _ours("float16"),
    "ours-float32": lambda: _ours("float32"),
    "peft-float32": lambda: _peft("float32"),
    "peft-bfloat16": lambda: _peft("bfloat16"),
    "peft-float16": lambda: _peft("float16"),
}


def main() -> None:
    """Serve one of this module's systems."""
    serve(SYSTEMS[sys.argv[1]])


if __name__ == "__main__":
    main()
