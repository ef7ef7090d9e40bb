"""`make serve`: single-node Ray and the application of `serve_config.yaml` on this machine, until Ctrl-C.

Says that it is ready only after a real translation has come back over HTTP.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Ray reads these when it is imported. Loopback only, but a web page can reach loopback: Ray asks for its token.
os.environ.setdefault("RAY_AUTH_MODE", "token")
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Serve kills a proxy that has not started within 5 s, and with it the deployment; a busy laptop may take longer.
os.environ.setdefault("RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S", "60")

# The `python` of a submitted job is this one, whether or not .venv is activated.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
# Replicas inherit it: weights in large pages are read 10 % faster (docs/benchmarks.md). Nothing outside Linux.
os.environ.setdefault("GLIBC_TUNABLES", "glibc.malloc.hugetlb=1")
# Ray runs replicas at niceness 15, where every other process goes before the model; 9 % of its speed on two cores.
os.environ.setdefault("RAY_worker_niceness", "0")
# Serve's controller looks at its replicas ten times a second, with 6 % of a core that the model needs more.
os.environ.setdefault("RAY_SERVE_CONTROL_LOOP_INTERVAL_S", "0.3")

import psutil
import ray
import yaml
from ray.dashboard.modules.serve.sdk import ServeSubmissionClient
from rich.console import Console
from rich.markup import escape

from configs.errors import ConfigError
from configs.loader import ROOT, load_settings
from configs.ports import read_port
from configs.schema import Settings
from deployments.drain import drain
from pipelines.errors import StartupError

_LOGGER = logging.getLogger(__name__)
_CONFIG = ROOT / "serve_config.yaml"
_HOST = "127.0.0.1"
_START_TIMEOUT_S = 1800.0
_MAX_SUBMISSIONS = 3
_SAMPLE = {"text": "Where is the pharmacy?", "source_lang": "eng_Latn", "target_lang": "spa_Latn"}


def main() -> int:
    """Serve until Ctrl-C or SIGTERM, at PORT on loopback. Returns the exit status; what is wrong is one sentence."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    stop = threading.Event()
    _stop_on_signals(stop)
    try:
        settings, port = load_settings(), read_port("PORT", 8000)
        _check_machine(port)
        _build_demo_model(settings)
        with _running_ray(console) as dashboard_url:
            _stop_on_signals(stop)  # Ray has taken SIGTERM for itself, and would end its processes at once
            _deploy(dashboard_url, _serve_config(settings, port), console, stop)
            if not stop.is_set():
                _announce(port, dashboard_url, settings, console)
                stop.wait()
            console.print("Stopping ...")
            logging.getLogger("ray.serve").setLevel(logging.WARNING)  # it would tell of each thing that it deletes
            drain(settings.limits.request_timeout_s)
    except (StartupError, ConfigError) as error:
        console.print(f"[red]Cannot start:[/red] {escape(str(error))}")
        return 1
    return 0


def _stop_on_signals(stop: threading.Event) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())


def _check_machine(port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((_HOST, port))
        except OSError:
            raise StartupError(
                f"port {port} is in use: stop what listens there, or choose another with `make serve PORT={port + 1}`"
            ) from None
    # Ray's own place.
    current = Path("/tmp/ray/ray_current_cluster")  # nosec B108
    if current.is_file() and _answers(current.read_text().strip()):
        raise StartupError(
            f"Ray is already running on this machine at {current.read_text().strip()}: deploy to it with "
            "`serve deploy serve_config.yaml`, or stop it with `ray stop` and run `make serve` again"
        )


def _answers(address: str) -> bool:
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=1):
            return True
    except (OSError, ValueError):
        return False


def _build_demo_model(settings: Settings) -> None:
    if settings.model.name != "demo" or settings.model.engine == "identity":
        return
    # A process of its own: serving must not carry the trainer's memory, nor depend on its package.
    if subprocess.run([sys.executable, "-m", "train.demo"], cwd=ROOT, check=False).returncode != 0:
        raise StartupError("the demo model could not be built; the lines above say why")


@contextmanager
def _running_ray(console: Console) -> Iterator[str]:
    console.print("Starting Ray ...")
    context = ray.init(
        address="local",
        include_dashboard=True,
        dashboard_host=_HOST,
        configure_logging=True,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    try:
        yield f"http://{context.dashboard_url}"
    finally:
        ray.shutdown()


def _serve_config(settings: Settings, port: int) -> dict[str, Any]:
    has_gpu = bool(ray.cluster_resources().get("GPU"))
    if settings.model.device == "cuda" and not has_gpu:  # a cluster would wait for a node that has one
        raise StartupError("model.device = 'cuda': Ray finds no GPU on this machine; accepted here: auto, cpu")
    config: dict[str, Any] = yaml.safe_load(_CONFIG.read_text(encoding="utf-8"))
    config["http_options"] |= {"host": _HOST, "port": port}
    (application,) = config["applications"]
    if settings.model.name != "demo" and settings.model.num_threads is None and not has_gpu:
        _take_all_cores(application)
    if not settings.cache.enabled:  # Serve refuses options of a deployment that there is not
        application["deployments"] = [each for each in application["deployments"] if each["name"] != "Cache"]
    return config


def _take_all_cores(application: dict[str, Any]) -> None:
    """Let one replica use the whole machine: Ray gives it one core, and a second replica would need the model again.

    The demo model's layers are too small to be shared by threads.
    """
    application["args"]["settings"] = {"model.num_threads": psutil.cpu_count(logical=False) or os.cpu_count()}
    for deployment in application["deployments"]:
        if "autoscaling_config" in deployment:
            deployment["autoscaling_config"]["max_replicas"] = 1


def _deploy(dashboard_url: str, config: dict[str, Any], console: Console, stop: threading.Event) -> None:
    (application,) = config["applications"]
    port = config["http_options"]["port"]
    client = ServeSubmissionClient(dashboard_url)
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    _submit(client, config)
    with console.status("Loading the model and warming up ..."):
        while not stop.wait(0.3):
            details = client.get_serve_details()["applications"].get(application["name"], {})
            if details.get("status") in {"DEPLOY_FAILED", "UNHEALTHY"}:
                raise StartupError(_reason(details))
            if details.get("status") == "RUNNING" and _ask(f"http://{_HOST}:{port}/api/v1/health/ready") is not None:
                return
            if time.monotonic() > deadline_s:
                raise StartupError(f"the application is still {details.get('status')} after {_START_TIMEOUT_S:g} s")


def _submit(client: ServeSubmissionClient, config: dict[str, Any]) -> None:
    """Hand the application to Serve, again where its proxies took longer than it waits: the machine is busy.

    Raises:
        StartupError: Serve cannot be started.
    """
    for attempt in range(_MAX_SUBMISSIONS):
        try:
            client.deploy_applications(config)
        except RuntimeError as error:
            _LOGGER.warning("Ray Serve did not start: %s", error)
            if attempt + 1 == _MAX_SUBMISSIONS:
                reason = str(error).strip().splitlines()[-1]
                raise StartupError(f"Ray Serve did not start, tried {_MAX_SUBMISSIONS} times: {reason}") from error
        else:
            return


def _reason(details: dict[str, Any]) -> str:
    """Find the sentence that the failing process raised, in what Serve reports of it."""
    messages = [details.get("message", "")]
    messages += [deployment.get("message", "") for deployment in details.get("deployments", {}).values()]
    lines = [line.strip() for message in messages for line in message.splitlines()]
    for kind in ("StartupError: ", "ConfigError: "):
        for line in lines:
            if kind in line:
                return str(line.split(kind, 1)[1])
    return "\n".join(message for message in messages if message)


def _announce(port: int, dashboard_url: str, settings: Settings, console: Console) -> None:
    url = f"http://{_HOST}:{port}"
    sample = json.dumps(_SAMPLE)
    if settings.access.keys == "required":
        first = "Callers need an API key, which `.venv/bin/python -m deployments.keys create NAME` makes. "
        key = " -H 'X-API-Key: KEY'"
    else:
        answer = _ask(f"{url}/api/v1/translate", sample)
        first, key = f"“{_SAMPLE['text']}” is “{escape(answer['translation'])}”. " if answer else "", ""
    console.print(
        f"\nServing [bold]{escape(settings.model.name)}[/bold] ({settings.model.engine}) at {url}  "
        f"(API: {url}/docs, health: {url}/api/v1/health)\n"
        f"{first}Try it:\n\n"
        f"  curl -s {url}/api/v1/translate -H 'Content-Type: application/json'{key} \\\n"
        f"    -d '{sample}'\n\n"
        f"Ray dashboard: {dashboard_url} (asks for the token that `.venv/bin/ray get-auth-token` prints)\n"
        "Ctrl-C stops everything.",
        markup=True,
    )


def _ask(url: str, body: str | None = None) -> dict[str, Any] | None:
    """Return the JSON that our own service answers with on loopback; None where it is none, or an error."""
    request = urllib.request.Request(
        url, None if body is None else body.encode(), headers={"Content-Type": "application/json"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:  # nosec B310
            return dict(json.load(response))
    except (urllib.error.URLError, OSError, ValueError):
        return None


if __name__ == "__main__":
    sys.exit(main())
