"""Each system of a comparison in a process of its own: its settings, its memory, its threads.

A worker loads its system, prints one line of JSON, and then answers each line of JSON on its standard input with the
time that the batch took. Run by `benchmarks.decode`; by hand: `python -m benchmarks.workers ours-int8`.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

NUM_THREADS = int(os.environ.get("OMP_NUM_THREADS", "2"))
Run = Callable[..., int]
"""Decodes `sources` with `num_beams` to `num_tokens` tokens each; returns the tokens generated."""


class Worker:
    """A running worker process.

    Args:
        system: One of `SYSTEMS`, CTranslate2's with one of `CTRANSLATE2_SWITCHES` behind it.
        num_threads: Of one operation.
        module: Whose `main` serves the system.
    """

    def __init__(self, system: str, num_threads: int, module: str = "benchmarks.workers") -> None:
        self.system = system
        self.load_s = math.nan
        """From the start of the process until `wait` found it ready."""
        base = next((name for name in sorted(SYSTEMS, key=len, reverse=True) if system.startswith(name)), system)
        environment = HUGE_PAGES if base.startswith("ours") else CTRANSLATE2_SWITCHES[system.removeprefix(base)]
        self._started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, base],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": str(num_threads), **environment},
        )

    def wait(self) -> None:
        """Return when the system is loaded."""
        if math.isnan(self.load_s):
            self._read()
            self.load_s = time.perf_counter() - self._started

    def tokens_per_s(self, sources: list[list[int]], num_beams: int, num_tokens: int, **more: Any) -> float:
        """Decode once and return the target tokens per second; `more` is what the system's `Run` takes besides."""
        reply = self._ask({"sources": sources, "num_beams": num_beams, "num_tokens": num_tokens, **more})
        return float(reply["tokens"] / reply["seconds"])

    def memory_bytes(self) -> tuple[int, int]:
        """Return resident and peak memory, so far."""
        reply = self._ask({})
        return reply["resident"], reply["peak"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _ask(self, question: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        print(json.dumps(question), file=self._process.stdin, flush=True)
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the worker of {self.system} ended early")
        return dict(json.loads(line))


def _ours(dtype: str, vocabulary: str = "full") -> Run:
    from benchmarks.synthetic import DEVICE, script_vocabulary, synthetic_engine, synthetic_row
    from pipelines.types import Translation

    engine = synthetic_engine(
        dtype,
        NUM_THREADS,
        script_vocabulary() if vocabulary == "script" else None,
        max_rows=32 if DEVICE == "cpu" else 128,
    )

    def run(sources: list[list[int]], num_beams: int, num_tokens: int) -> int:
        outcomes = [
            future.result()
            for future in engine.submit([synthetic_row(source, num_tokens, num_beams) for source in sources])
        ]
        return sum(outcome.num_target_tokens for outcome in outcomes if isinstance(outcome, Translation))

    return run


def _transformers(dtype: str) -> Run:
    import torch
    from transformers import M2M100ForConditionalGeneration

    from benchmarks.synthetic import DEVICE, LANGUAGE_ID, synthetic_checkpoint

    torch.set_num_threads(NUM_THREADS)
    weights = torch.float32 if dtype == "int8" else getattr(torch, dtype)
    model: Any = M2M100ForConditionalGeneration.from_pretrained(synthetic_checkpoint(), dtype=weights).eval()
    model = model.to(DEVICE)
    if dtype == "int8":
        model = torch.ao.quantization.quantize_dynamic(model, {torch.nn.Linear}, dtype=torch.qint8)

    def run(sources: list[list[int]], num_beams: int, num_tokens: int) -> int:
        longest = max(map(len, sources))
        ids = torch.tensor([source + [1] * (longest - len(source)) for source in sources], device=DEVICE)
        with torch.inference_mode():
            output = model.generate(
                input_ids=ids,
                attention_mask=(ids != 1).long(),
                forced_bos_token_id=LANGUAGE_ID + 1,
                num_beams=num_beams,
                do_sample=False,
                min_new_tokens=num_tokens + 1,
                max_new_tokens=num_tokens + 1,
            ).cpu()
        return int((output.shape[1] - 2) * output.shape[0])

    return run


def _ctranslate2(compute_type: str) -> Run:
    import ctranslate2

    from benchmarks.synthetic import DEVICE, LANGUAGE_ID, VOCAB_SIZE, converted_checkpoint

    converted = converted_checkpoint()
    num_workers = NUM_THREADS if _WORKERS in os.environ else 1
    translator = ctranslate2.Translator(
        str(converted),
        device=DEVICE,
        compute_type=compute_type,
        inter_threads=num_workers,
        intra_threads=NUM_THREADS // num_workers,
    )
    tokens = json.loads((Path(converted) / "shared_vocabulary.json").read_text(encoding="utf-8"))
    assert len(tokens) == VOCAB_SIZE

    def run(sources: list[list[int]], num_beams: int, num_tokens: int) -> int:
        results = translator.translate_batch(
            [[tokens[token] for token in source] for source in sources],
            target_prefix=[[tokens[LANGUAGE_ID + 1]]] * len(sources),
            beam_size=num_beams,
            min_decoding_length=num_tokens,
            max_decoding_length=num_tokens,
            max_batch_size=math.ceil(len(sources) / num_workers),
        )
        return sum(len(result.hypotheses[0]) - 1 for result in results)

    return run


SYSTEMS: dict[str, Callable[[], Run]] = {
    "ours-int8": lambda: _ours("int8"),
    "ours-int8-script": lambda: _ours("int8", "script"),
    "ours-bfloat16": lambda: _ours("bfloat16"),
    "ours-float16": lambda: _ours("float16"),
    "ours-float16-script": lambda: _ours("float16", "script"),
    "ours-float32": lambda: _ours("float32"),
    "transformers-float32": lambda: _transformers("float32"),
    "transformers-bfloat16": lambda: _transformers("bfloat16"),
    "transformers-float16": lambda: _transformers("float16"),
    "transformers-int8": lambda: _transformers("int8"),
    "ctranslate2-int8": lambda: _ctranslate2("int8"),
    "ctranslate2-int8_float32": lambda: _ctranslate2("int8_float32"),
    "ctranslate2-float16": lambda: _ctranslate2("float16"),
    "ctranslate2-bfloat16": lambda: _ctranslate2("bfloat16"),
    "ctranslate2-int8_float16": lambda: _ctranslate2("int8_float16"),
}
HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""What `make serve` and the image start our replicas with; one of CTranslate2's switches, since it may gain as well."""
_WORKERS = "BENCHMARK_WORKERS"  # splits each batch among workers of one thread, as our engine does among its lanes
CTRANSLATE2_SWITCHES: dict[str, dict[str, str]] = {
    "": {},
    "-mkl": {"CT2_USE_MKL": "1"},
    "-no-mkl": {"CT2_USE_MKL": "0"},
    "-avx2": {"CT2_FORCE_CPU_ISA": "AVX2"},
    "-huge-pages": HUGE_PAGES,
    "-workers": {_WORKERS: "1"},
    "-no-mkl-workers": {_WORKERS: "1", "CT2_USE_MKL": "0"},
}
"""What chooses its kernels, https://opennmt.net/CTranslate2/environment_variables.html, and its workers."""


def main() -> None:
    """Serve one of this module's systems."""
    serve(SYSTEMS[sys.argv[1]])


def serve(load: Callable[[], Run]) -> None:
    """Load a system and serve it on standard input and output."""
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # libraries that print must not break the protocol
    run = load()
    print("{}", file=answers, flush=True)
    for line in sys.stdin:
        question = json.loads(line)
        if question:
            started = time.perf_counter()
            tokens = run(**question)
            reply = {"tokens": tokens, "seconds": time.perf_counter() - started}
        else:
            reply = {"resident": _status_bytes("VmRSS"), "peak": _status_bytes("VmHWM")}
        print(json.dumps(reply), file=answers, flush=True)


def _status_bytes(name: str) -> int:
    """Return a line of what the kernel tells of this process; `getrusage` would tell the peak of its parent as well."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split(f"{name}:")[1].split()[0]) * 1024


if __name__ == "__main__":
    main()
