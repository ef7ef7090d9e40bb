"""The policy's answers to Serve's contexts, alone and inside what Serve wraps around it."""

from __future__ import annotations

from typing import Any

import pytest
from ray.serve._private.common import DeploymentID, ReplicaID
from ray.serve.autoscaling_policy import _apply_autoscaling_config
from ray.serve.config import AutoscalingConfig, AutoscalingContext, AutoscalingPolicy

from deployments.autoscaling import BACKLOG_TOKENS, TOKENS_PER_S, TokenBacklogPolicy

_DEPLOYMENT = DeploymentID("Translator", "nllb")


def _context(
    *backlogs: float, speed: float = 100, requests: float = 1, queued: float = 0, **more: Any
) -> AutoscalingContext:
    """A context of one running replica per backlog, each of the same speed."""
    replicas = [ReplicaID(str(index), _DEPLOYMENT) for index in range(len(backlogs))]
    arguments: dict[str, Any] = {
        "deployment_id": _DEPLOYMENT,
        "deployment_name": "Translator",
        "app_name": "nllb",
        "current_num_replicas": len(backlogs),
        "target_num_replicas": len(backlogs),
        "running_replicas": replicas,
        "total_num_requests": requests,
        "total_queued_requests": queued,
        "aggregated_metrics": {
            BACKLOG_TOKENS: dict(zip(replicas, backlogs, strict=True)),
            TOKENS_PER_S: dict.fromkeys(replicas, speed),
        },
        "raw_metrics": {},
        "capacity_adjusted_min_replicas": 0,
        "capacity_adjusted_max_replicas": 10,
        "policy_state": {},
        "last_scale_up_time": None,
        "last_scale_down_time": None,
        "current_time": 0.0,
        "config": AutoscalingConfig(min_replicas=0, max_replicas=10, upscale_delay_s=0, downscale_delay_s=0),
    }
    return AutoscalingContext(**arguments | more)


@pytest.mark.parametrize(
    ("context", "wanted"),
    [
        pytest.param(_context(0, requests=0), 0, id="idle: none"),
        pytest.param(_context(10), 1, id="little: one"),
        pytest.param(_context(200), 1, id="just what one does in two seconds"),
        pytest.param(_context(600), 3, id="three times that"),
        pytest.param(_context(300, 300), 3, id="the same over two replicas"),
        pytest.param(_context(100, 100, speed=50), 2, id="slower replicas"),
        pytest.param(_context(200, requests=10, queued=5), 2, id="as much again waits at the handles"),
        pytest.param(_context(600, speed=0, requests=8), 4, id="speed not known: two requests each"),
        pytest.param(_context(0, requests=8), 4, id="no tokens seen yet: likewise"),
        pytest.param(_context(requests=3), 1.5, id="no replica reports"),
        pytest.param(_context(5, requests=0), 1, id="an old count of requests does not end work under way"),
    ],
)
def test_as_many_as_do_the_backlog_in_the_target_time(context: AutoscalingContext, wanted: float) -> None:
    """By tokens and measured speed; a book counts for more than a word."""
    assert TokenBacklogPolicy(target_wait_s=2)(context) == (wanted, {})


def test_missing_metrics_are_no_error() -> None:
    """Serve passes None before any replica has reported."""
    assert TokenBacklogPolicy()(_context(requests=2, aggregated_metrics=None)) == (1.0, {})


def test_serve_starts_the_first_replica_and_stops_the_last() -> None:
    """From none to one as soon as a request waits; from one to none when idle; never from two to none at once."""
    policy = _apply_autoscaling_config(TokenBacklogPolicy(target_wait_s=2))
    assert policy(_context(requests=1))[0] == 1
    assert policy(_context(0, requests=0))[0] == 0
    assert policy(_context(0, 0, requests=0))[0] == 1


def test_the_configured_policy_is_this_one() -> None:
    """By its import path and arguments, as `serve_config.yaml` names it."""
    configured = AutoscalingPolicy(
        policy_function="deployments.autoscaling:TokenBacklogPolicy", policy_kwargs={"target_wait_s": 2}
    )
    assert configured.get_policy() is TokenBacklogPolicy


@pytest.mark.parametrize("target_wait_s", [0, -1, float("nan")])
def test_a_target_of_no_time_is_refused(target_wait_s: float) -> None:
    """It would ask for endless replicas."""
    with pytest.raises(ValueError, match="more than 0"):
        TokenBacklogPolicy(target_wait_s)
