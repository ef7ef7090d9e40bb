"""What translator replicas say of their batches, and what they do together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

_SUMMED = ("num_batches", "num_rows", "num_waiting", "num_decoding", "num_refused", "backlog_tokens", "tokens_per_s")


@dataclass(frozen=True, slots=True)
class TranslatorStats:
    """One replica; what is counted is counted since its start.

    Attributes:
        replica: Its id.
        num_batches: Encoder batches.
        num_rows: Rows of these.
        num_waiting: Segments that wait for a decoder row.
        num_decoding: Rows that are being decoded.
        num_refused: Calls that could not have been done in time.
        backlog_tokens: Weighed tokens (`pipelines.admission`) that are promised and not done.
        tokens_per_s: Of these under full load; 0 while unknown.
        padded_token_budget: Most tokens of one encoder batch, padding included.
        warmup: See `pipelines.engine.warmup.WarmupReport`; None without one.
    """

    replica: str
    num_batches: int
    num_rows: int
    num_waiting: int
    num_decoding: int
    num_refused: int
    backlog_tokens: float
    tokens_per_s: float
    padded_token_budget: int
    warmup: dict[str, Any] | None


def summed(replicas: Sequence[TranslatorStats]) -> dict[str, Any]:
    """Return what all replicas do together, and under `replicas` each of them."""
    total: dict[str, Any] = {name: sum(getattr(each, name) for each in replicas) for name in _SUMMED}
    total["mean_batch_rows"] = total["num_rows"] / max(1, total["num_batches"])
    return total | {"replicas": [asdict(each) for each in replicas]}
