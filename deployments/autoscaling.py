"""How many translators? As many as do what is promised in the time that a caller should wait.

Runs in Serve's controller. Serve's own policy counts requests, but a request may be a word or a book. Delays, factors,
bounds and the first replica after none are Serve's (`ray/serve/autoscaling_policy.py`, `_apply_autoscaling_config`).
"""

from __future__ import annotations

from typing import Any

from ray.serve.config import AutoscalingContext

BACKLOG_TOKENS = "backlog_tokens"
TOKENS_PER_S = "tokens_per_s"


class TokenBacklogPolicy:
    """Aims at a time in which the backlog of weighed tokens (`pipelines.admission`) is done.

    `serve_config.yaml` names it as `policy_function`, with the arguments as `policy_kwargs`.

    Args:
        target_wait_s: Time that all replicas together need for what is under way; more of them where it takes longer.
    """

    def __init__(self, target_wait_s: float = 2.0) -> None:
        if not target_wait_s > 0:
            raise ValueError(f"target_wait_s is {target_wait_s}; more than 0 is accepted")
        self._target_wait_s = target_wait_s

    def __call__(self, ctx: AutoscalingContext) -> tuple[float, dict[str, Any]]:
        """Return the wanted number of replicas, and no state."""
        metrics = ctx.aggregated_metrics or {}
        backlogs = list(metrics.get(BACKLOG_TOKENS, {}).values())
        speeds = [speed for speed in metrics.get(TOKENS_PER_S, {}).values() if speed > 0]
        num_requests = ctx.total_num_requests
        if num_requests <= 0 and sum(backlogs) <= 0:
            return 0, {}
        if not speeds or sum(backlogs) <= 0:
            # No replica was ever fully loaded, so none is known to be slow: count requests.
            return max(1.0, num_requests / _target_ongoing_requests(ctx)), {}
        num_running = max(1.0, num_requests - ctx.total_queued_requests)
        # What waits at the handles has no tokens yet; it is taken to be like what is under way.
        tokens = sum(backlogs) * (1 + ctx.total_queued_requests / num_running)
        speed = sum(speeds) / len(speeds)
        return max(1.0, tokens / (speed * self._target_wait_s)), {}


def _target_ongoing_requests(ctx: AutoscalingContext) -> float:
    config: Any = ctx.config
    return float(config.get_target_ongoing_requests())
