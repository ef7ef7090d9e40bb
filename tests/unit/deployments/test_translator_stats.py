"""What translators do together."""

from __future__ import annotations

from dataclasses import replace

from deployments.translator_stats import TranslatorStats, summed


def test_an_operator_sees_all_replicas_and_each() -> None:
    """Counters and speeds add up; a batch's mean size is over all batches, not over replicas."""
    busy = TranslatorStats(
        replica="busy",
        num_batches=10,
        num_rows=80,
        num_waiting=5,
        num_decoding=32,
        num_refused=3,
        backlog_tokens=900.0,
        tokens_per_s=200.0,
        padded_token_budget=256,
        warmup={"num_samples": 6},
    )
    started = replace(busy, replica="started", num_batches=0, num_rows=0, num_waiting=0, num_decoding=0, num_refused=0)
    total = summed([busy, replace(started, backlog_tokens=0.0, tokens_per_s=100.0)])
    assert (total["num_waiting"], total["num_decoding"], total["num_refused"]) == (5, 32, 3)
    assert (total["backlog_tokens"], total["tokens_per_s"]) == (900.0, 300.0)
    assert total["mean_batch_rows"] == 8.0
    assert [each["replica"] for each in total["replicas"]] == ["busy", "started"]
    assert total["replicas"][0]["warmup"] == {"num_samples": 6}
