"""Which engine runs the checkpoint? Heavy imports happen here, and only for the engine that was asked for."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

from pipelines.engine.checkpoint import Checkpoint
from pipelines.engine.vocabulary import Vocabulary, VocabularyKind
from pipelines.protocols import Engine


def load_engine(
    checkpoint: Checkpoint | None,
    *,
    engine: Literal["inflight", "transformers", "identity"],
    device: str = "auto",
    dtype: str = "auto",
    max_rows: int = 32,
    num_threads: int | None = None,
    max_length_ratio: float = 3.0,
    max_length_extra_tokens: int = 32,
    memory_bound_bytes: int | None = None,
    vocabulary: VocabularyKind | Vocabulary = "full",
    shortlist_file: str | None = None,
) -> Engine:
    """Load a checkpoint into an engine that is ready to be warmed up.

    Args:
        checkpoint: What to load; the identity engine takes None.
        engine: Which one.
        device: `auto`, `cpu`, `cuda` or `mps`.
        dtype: Of the weights: `auto`, `float32`, `bfloat16`, `float16`, or `int8` (in-flight engine alone).
        max_rows: The most rows that are ever decoded together.
        num_threads: CPU threads that decode; None takes the cores that this process may use.
        max_length_ratio: See `pipelines.engine.length.LengthBound`.
        max_length_extra_tokens: Likewise.
        memory_bound_bytes: What decoding may take beside the weights (in-flight engine alone); None asks the device.
        vocabulary: Which tokens outputs may have (in-flight engine alone); see `pipelines.engine.vocabulary`.
        shortlist_file: Of a learned vocabulary.

    Raises:
        StartupError: The checkpoint cannot be loaded like that; the message says what is accepted.
    """
    if engine == "identity" or checkpoint is None:
        from pipelines.engine.identity import IdentityEngine

        return IdentityEngine(max_rows=max_rows)

    from pipelines.engine.device import pick_device, pick_float, pin_threads

    pin_threads(num_threads)
    chosen = pick_device(device)
    if engine == "transformers":
        from pipelines.engine.transformers_engine import TransformersEngine

        return TransformersEngine.from_checkpoint(
            checkpoint,
            device=chosen,
            dtype=pick_float(dtype, chosen),
            max_rows=max_rows,
            max_length_ratio=max_length_ratio,
            max_length_extra_tokens=max_length_extra_tokens,
        )

    from pipelines.engine.inflight import InflightEngine

    # In a thread that ends: while another thread keeps a pool of OpenMP's workers, libgomp counts more workers than
    # cores, and those of the first lane sleep between operations instead of spinning (gomp_throttled_spin_count).
    with ThreadPoolExecutor(1, thread_name_prefix="load-engine") as loading:
        return loading.submit(
            InflightEngine.from_checkpoint,
            checkpoint,
            device=chosen,
            dtype=dtype,
            max_rows=max_rows,
            max_length_ratio=max_length_ratio,
            max_length_extra_tokens=max_length_extra_tokens,
            memory_bound_bytes=memory_bound_bytes,
            vocabulary=vocabulary,
            shortlist_file=shortlist_file,
        ).result()
