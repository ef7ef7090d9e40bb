"""The first translations of a process, made before anybody waits for one.

They pay for what is done once (kernels, caches, memory), prove that the model answers, and measure how large an
encoder batch is worth forming on this machine and how fast a full one is translated. Knows any `Engine`, and no torch
unless a model is loaded.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice

from pipelines.admission import weighed_tokens
from pipelines.errors import StartupError, TranslationError
from pipelines.protocols import EncodedSegment, Engine
from pipelines.types import DecodingOptions, Failure, Segment

SAMPLES = {
    "eng_Latn": "Good morning, how much is a ticket to the city?",
    "spa_Latn": "Buenos días, ¿cuánto cuesta un billete a la ciudad?",
    "fra_Latn": "Bonjour, combien coûte un billet pour la ville ?",
    "hin_Deva": "नमस्ते, शहर का टिकट कितने का है?",
    "arb_Arab": "صباح الخير، كم سعر التذكرة إلى المدينة؟",
    "zho_Hans": "早上好,去市区的票多少钱?",
}
SAMPLE_DECODING = DecodingOptions(max_new_tokens=32)  # a model that does not stop must not hold up the start
# About as many tokens as a sample is read from; a longer run would measure the same and hold up the start.
FULL_LOAD_DECODING = DecodingOptions(max_new_tokens=16)
PATIENCE_S = 600.0  # a sample that takes longer than this never comes
FIRST_SIZE = (4, 32)  # rows and tokens per row of the smallest batch that is measured
RECORDED_TOKENS = (64, 32, 16)  # of sources and outputs; powers of two, the largest first, for memory to grow once
GOOD_ENOUGH = 0.95  # of the best throughput
MAX_REPEATS = 5  # of one size;
ENOUGH_S = 0.5  # none follows once they took this long
LONGEST_WAIT_S = 1.0  # rows that are being decoded wait for an encoder batch: none is larger than one of this length
# What an encoder batch takes per token: activations, and keys and values for the decoder's cross-attention. In
# float32 about 160 KB of 600M parameters and 510 KB of 3.3B, so it grows as their square root; rounded up.
BYTES_PER_TOKEN_AND_ROOT_OF_PARAMETERS = 12


@dataclass(frozen=True, slots=True)
class WarmupReport:
    """What the warm-up did and found.

    Attributes:
        num_samples: Segments that were translated, built-in and custom.
        first_request_s: Latency of the very first one, alone.
        warm_request_s: Latency of the same one, alone, at the end.
        tokenize_s: Time to tokenise all samples.
        translate_s: Time to translate all samples, `max_rows` at a time.
        sizes_s: Time to have the engine record what it does with common sizes of batches, which it does on a GPU.
        budget_s: Time to choose the budget.
        padded_token_budget: Most tokens of one encoder batch, padding included.
        full_load_s: Time to translate as many rows as the engine decodes at once.
        tokens_per_s: Weighed tokens (`pipelines.admission`) per second while it did.
    """

    num_samples: int
    first_request_s: float
    warm_request_s: float
    tokenize_s: float
    translate_s: float
    sizes_s: float
    budget_s: float
    padded_token_budget: int
    full_load_s: float
    tokens_per_s: float


def warm_up(
    engine: Engine,
    samples: Sequence[Segment] = (),
    *,
    memory_bound_bytes: int | None = None,
    padded_token_budget: int | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> WarmupReport:
    """Translate samples, choose a token budget, measure full load.

    The samples are the built-in ones for the model's languages, then the given ones.

    Args:
        engine: With no other work.
        samples: Of the user; a sample that fails is as fatal as a built-in one.
        memory_bound_bytes: What an encoder batch may take beside the weights; None asks the device.
        padded_token_budget: Takes this budget instead of measuring.
        clock: Seconds; differences count.

    Raises:
        StartupError: A sample was not translated.
    """
    all_samples = [*_built_in_samples(engine.info.languages), *samples]
    started = clock()
    _translate(engine, _encode(engine, all_samples[:1]))
    first_done = clock()
    rows = _encode(engine, all_samples)
    tokenized = clock()
    for i in range(0, len(rows), engine.max_rows):
        _translate(engine, rows[i : i + engine.max_rows])
    translated = clock()
    if engine.info.engine == "inflight" and engine.info.device.startswith("cuda"):
        _visit_sizes(engine)
    visited = clock()
    if padded_token_budget is None:
        padded_token_budget = choose_token_budget(
            engine, memory_bound_bytes=memory_bound_bytes or _free_memory_bytes(engine), clock=clock
        )
    chosen = clock()
    full_load = [replace(sample, decoding=FULL_LOAD_DECODING) for sample in _built_in_samples(engine.info.languages)]
    rows = _encode(engine, list(islice(cycle(full_load), engine.max_rows)))
    encoded = clock()
    _translate(engine, rows)
    loaded = clock()
    _translate(engine, _encode(engine, all_samples[:1]))
    return WarmupReport(
        num_samples=len(all_samples),
        first_request_s=first_done - started,
        warm_request_s=clock() - loaded,
        tokenize_s=tokenized - first_done,
        translate_s=translated - tokenized,
        sizes_s=visited - translated,
        budget_s=chosen - visited,
        padded_token_budget=padded_token_budget,
        full_load_s=loaded - encoded,
        tokens_per_s=sum(map(weighed_tokens, rows)) / max(loaded - encoded, 1e-9),
    )


def _visit_sizes(engine: Engine) -> None:
    """Translate batches of all rows there can be, and of each power of two below, from and into all lengths."""
    longest = max(RECORDED_TOKENS) - 2  # the prefix is read as well
    decoding = DecodingOptions(min_new_tokens=longest, max_new_tokens=longest)
    powers = {1 << power for power in range(engine.max_rows.bit_length())}
    for num_rows in sorted({engine.max_rows, *powers}, reverse=True):
        for num_tokens in RECORDED_TOKENS:
            rows = _rows_of_size(engine, num_rows, min(num_tokens, engine.info.max_source_tokens), decoding)
            _translate(engine, rows)


def choose_token_budget(
    engine: Engine, *, memory_bound_bytes: float, clock: Callable[[], float] = time.perf_counter
) -> int:
    """Return the smallest size of an encoder batch, in padded tokens, whose throughput is about the best.

    Small batches keep the wait of rows that are being decoded short; what is larger than needed only delays them.
    Batches grow until they no longer gain, keep others waiting, or would not fit into memory.

    Args:
        engine: Warm, with no other work.
        memory_bound_bytes: What an encoder batch may take beside the weights.
        clock: Seconds; differences count.

    Raises:
        StartupError: A batch was not translated.
    """
    sizes = _batch_sizes(engine, memory_bound_bytes)
    if engine.info.num_parameters == 0:  # costs nothing, so there is nothing to measure
        return math.prod(sizes[-1])
    # A static batch stays together while it is decoded; in-flight rows only share, and wait for, the encoder's batch.
    num_new_tokens, longest_s = (16, math.inf) if engine.info.engine == "transformers" else (1, LONGEST_WAIT_S)
    best = 0.0
    num_without_gain = 0
    throughputs: dict[int, float] = {}
    for num_rows, num_tokens in sizes:
        duration_s = _shortest_s(engine, num_rows, num_tokens, num_new_tokens, clock)
        if throughputs and duration_s > longest_s:
            break
        throughput = throughputs[num_rows * num_tokens] = num_rows * num_tokens / max(duration_s, 1e-9)
        num_without_gain = 0 if throughput * GOOD_ENOUGH > best else num_without_gain + 1
        best = max(best, throughput)
        if num_without_gain == 2:
            break
    return min(size for size, throughput in throughputs.items() if throughput >= GOOD_ENOUGH * best)


def _built_in_samples(languages: Sequence[str]) -> list[Segment]:
    """Each language that the model has into the next one."""
    known = [language for language in SAMPLES if language in languages]
    if len(known) < 2:
        return [Segment(SAMPLES["eng_Latn"], languages[0], languages[-1], decoding=SAMPLE_DECODING)]
    return [
        Segment(SAMPLES[source], source, target, decoding=SAMPLE_DECODING)
        for source, target in zip(known, known[1:] + known[:1], strict=True)
    ]


def _encode(engine: Engine, samples: Sequence[Segment]) -> list[EncodedSegment]:
    rows = []
    for sample, row in zip(samples, engine.encode(samples), strict=True):
        if isinstance(row, Failure):
            raise _failed(sample, row.error)
        rows.append(row)
    return rows


def _translate(engine: Engine, rows: Sequence[EncodedSegment]) -> None:
    futures = engine.submit(rows)
    for row, future in zip(rows, futures, strict=True):
        try:
            outcome = future.result(timeout=PATIENCE_S)
        except TimeoutError as error:
            raise _failed(row.segment, error) from None
        if isinstance(outcome, Failure):
            raise _failed(row.segment, outcome.error)


def _failed(sample: Segment, error: Exception) -> StartupError:
    why = error.message if isinstance(error, TranslationError) else f"no answer within {PATIENCE_S:.0f} s"
    return StartupError(
        f"the warm-up failed on {sample.text!r} from {sample.source_lang} to {sample.target_lang}: {why}",
        field="warmup",
    )


def _free_memory_bytes(engine: Engine) -> float:
    if engine.info.num_parameters == 0:
        return math.inf
    import torch

    from pipelines.engine.device import decoding_memory_bytes

    return decoding_memory_bytes(torch.device(engine.info.device))


def _batch_sizes(engine: Engine, memory_bound_bytes: float) -> list[tuple[int, int]]:
    """Return rows and tokens per row of growing batches: more rows first, then longer ones. Never empty."""
    bytes_per_token = BYTES_PER_TOKEN_AND_ROOT_OF_PARAMETERS * math.sqrt(engine.info.num_parameters)
    num_rows = min(FIRST_SIZE[0], engine.max_rows)
    num_tokens = min(FIRST_SIZE[1], engine.info.max_source_tokens)
    sizes = [(num_rows, num_tokens)]
    while True:
        if num_rows < engine.max_rows:
            num_rows = min(2 * num_rows, engine.max_rows)
        else:
            num_tokens *= 2
        fits = num_rows * num_tokens * bytes_per_token <= memory_bound_bytes
        if num_tokens > engine.info.max_source_tokens or not fits:
            return sizes
        sizes.append((num_rows, num_tokens))


def _shortest_s(
    engine: Engine, num_rows: int, num_tokens: int, num_new_tokens: int, clock: Callable[[], float]
) -> float:
    rows = _rows_of_size(engine, num_rows, num_tokens, DecodingOptions(max_new_tokens=num_new_tokens))
    durations_s: list[float] = []
    while len(durations_s) < MAX_REPEATS and sum(durations_s) < ENOUGH_S:
        started = clock()
        _translate(engine, rows)
        durations_s.append(clock() - started)
    return min(durations_s)


def _rows_of_size(engine: Engine, num_rows: int, num_tokens: int, decoding: DecodingOptions) -> list[EncodedSegment]:
    segment = replace(_built_in_samples(engine.info.languages)[0], decoding=decoding)
    (row,) = _encode(engine, [segment])
    language, *tokens, end = row.token_ids
    padded = (language, *islice(cycle(tokens), num_tokens - 2), end)
    return [replace(row, token_ids=padded)] * num_rows
