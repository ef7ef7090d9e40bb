"""A real Ray cluster of several nodes on this machine that serves the application, in a process of its own.

Run as `python -m tests.chaos.cluster`; takes one JSON command per line on standard input and answers each with one line
of JSON on standard output. The process is the nodes' parent, so what it leaves behind ends with it.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from typing import Any

# Ray reads these when it is imported.
os.environ["RAY_AUTH_MODE"] = "disabled"  # loopback, for minutes
os.environ.setdefault("RAY_DEDUP_LOGS", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # not behind everything else on the machine
warnings.filterwarnings("ignore", message="The `metrics_interval_s` field")

import ray  # noqa: E402
from ray import serve  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from ray.serve.context import _get_global_client  # noqa: E402
from ray.serve.schema import ServeDeploySchema  # noqa: E402

from deployments.drain import drain_node  # noqa: E402
from tests.ports import free_port  # noqa: E402

_START_LIMIT_S = 240.0
_DRAIN_LIMIT_S = 120.0
_REPLICA = "ServeReplica:nllb:"


class ServingCluster:
    """A head and workers, each with its own proxy."""

    def __init__(self) -> None:
        # The head carries the controller and a proxy; replicas are for the workers.
        self._cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        self._workers: list[tuple[Any, int]] = []
        ray.init(address=self._cluster.address, logging_level="ERROR", log_to_driver=False)
        self._head_port = free_port()

    def start(self, config: dict[str, Any], nodes: list[dict[str, str]]) -> dict[str, Any]:
        """Add a worker for each set of variables, deploy, and return the ports once the application runs."""
        for variables in nodes:
            self.add_node(variables)
        http = {"host": "127.0.0.1", "port": self._head_port}
        serve.start(proxy_location="EveryNode", http_options=http)
        return self.deploy(config)

    def deploy(self, config: dict[str, Any]) -> dict[str, Any]:
        """Deploy, and return when the application runs as it should."""
        config["http_options"] = config.get("http_options", {}) | {"host": "127.0.0.1", "port": self._head_port}
        client: Any = _get_global_client()
        client.deploy_apps(ServeDeploySchema.model_validate(config))
        give_up_s = time.monotonic() + _START_LIMIT_S
        while (status := self.status())["status"] != "RUNNING":
            if time.monotonic() > give_up_s or status["status"] == "DEPLOY_FAILED":
                raise RuntimeError(f"the application is {status}")
            time.sleep(0.2)
        return {"ports": self.ports()}

    def ports(self) -> list[int]:
        """Return the ports of the proxies, the head's first."""
        return [self._head_port, *(port for _, port in self._workers)]

    def status(self) -> dict[str, Any]:
        """Return the application's status and the running replicas of each deployment."""
        application = serve.status().applications.get("nllb")
        if application is None:
            return {"status": "NONE", "running": {}, "target": {}}
        running = {
            name: {str(getattr(state, "value", state)): count for state, count in each.replica_states.items()}.get(
                "RUNNING", 0
            )
            for name, each in application.deployments.items()
        }
        messages = [application.message, *(each.message for each in application.deployments.values())]
        return {
            "status": application.status.value,
            "running": running,
            "healthy": all(each.status.value == "HEALTHY" for each in application.deployments.values()),
            "message": " ".join(filter(None, messages))[:500],
        }

    def processes(self) -> dict[str, list[dict[str, Any]]]:
        """Return the processes of what runs: `Translator`, `Cache`, `Ingress`, `proxy`, `controller`."""
        found: dict[str, list[dict[str, Any]]] = {}
        for actor in ray._private.state.actors().values():  # the public listing needs the dashboard
            if actor["State"] != "ALIVE":
                continue
            name = str(actor["ActorClassName"])
            kind = {"ProxyActor": "proxy", "ServeController": "controller"}.get(name)
            kind = name.removeprefix(_REPLICA) if name.startswith(_REPLICA) else kind
            if kind is not None:
                entry = {"pid": actor["Pid"], "node": actor["Address"]["NodeID"]}
                found.setdefault(kind, []).append(entry)
        return found

    def add_node(self, variables: dict[str, str] | None = None) -> dict[str, Any]:
        """Add a worker with a proxy port of its own, and variables for all of its processes."""
        port = free_port()
        own = {"RAY_SERVE_WORKER_PROXY_HTTP_PORT": str(port), **(variables or {})}
        os.environ.update(own)
        self._workers.append((self._cluster.add_node(num_cpus=2), port))
        for name in own:
            del os.environ[name]
        return {"ports": self.ports()}

    def remove_node(self, graceful: bool) -> dict[str, Any]:
        """Take a worker away, by SIGTERM or by SIGKILL."""
        node, port = self._workers.pop(0)
        self._cluster.remove_node(node, allow_graceful=graceful)
        return {"port": port, "ports": self.ports()}

    def drain_node(self) -> dict[str, Any]:
        """Let the worker that `remove_node` takes next be emptied first."""
        node, port = self._workers[0]
        drain_node(node.node_id, _DRAIN_LIMIT_S)
        return {"port": port}

    def stop(self) -> None:
        """End everything."""
        serve.shutdown()
        ray.shutdown()
        self._cluster.shutdown()


def _main() -> None:
    # Ray prints; only answers may reach the parent.
    answers, sys.stdout = sys.stdout, sys.stderr
    cluster = ServingCluster()
    for line in sys.stdin:
        command = json.loads(line)
        name = command.pop("do")
        try:
            answer = {"ok": getattr(cluster, name)(**command)}
        except Exception as error:
            answer = {"error": repr(error)}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        if name == "stop":
            return


if __name__ == "__main__":
    _main()
