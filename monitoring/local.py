"""`make monitoring`: Prometheus and Grafana on this machine, beside `make serve`, until Ctrl-C.

Takes the binaries where they are on PATH, else containers by docker or podman. With Prometheus alone it goes on and
says how Grafana comes in; without either it says so and ends.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from configs.errors import ConfigError
from configs.ports import read_port

_MONITORING = Path(__file__).parent
_DASHBOARDS = _MONITORING / "grafana"
_DISCOVERY = Path("/tmp/ray/prom_metrics_service_discovery.json")  # nosec B108
_HOST = "127.0.0.1"
_START_TIMEOUT_S = 60.0
_INFO_TIMEOUT_S = 15.0
_PROMETHEUS_IMAGE = "docker.io/prom/prometheus:v3.5.0"
_GRAFANA_IMAGE = "docker.io/grafana/grafana:12.2.0"


@dataclass(frozen=True, slots=True)
class Server:
    """A server to be started.

    Attributes:
        name: For messages.
        command: Program and arguments.
        variables: Added to the environment.
        url: Where it answers.
        ready_path: Answers 200 once it is ready.
    """

    name: str
    command: tuple[str, ...]
    variables: Mapping[str, str]
    url: str
    ready_path: str


def main() -> int:
    """Run until Ctrl-C or SIGTERM, at PROMETHEUS_PORT and GRAFANA_PORT on loopback. Returns the exit status.

    What is missing or wrong is said in one sentence.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        prometheus_port, grafana_port = read_port("PROMETHEUS_PORT", 9090), read_port("GRAFANA_PORT", 3000)
    except ConfigError as error:
        console.print(f"[red]Cannot start:[/red] {escape(str(error))}")
        return 1
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with tempfile.TemporaryDirectory(prefix="nllb-monitoring-") as folder:
        prometheus = prometheus_server(prometheus_port, Path(folder))
        grafana = grafana_server(grafana_port, Path(folder), f"http://{_HOST}:{prometheus_port}")
        if prometheus is None:
            console.print(
                "[red]Cannot start:[/red] there is no `prometheus` on PATH, and no docker or podman that runs: install "
                "one of them (Debian: apt-get install prometheus; Mac: brew install prometheus grafana)"
            )
            return 1
        if grafana is None:
            console.print(
                "There is no `grafana` on PATH, and no docker or podman that runs: going on with Prometheus alone. "
                "With Grafana from https://grafana.com/grafana/download, import "
                f"{_DASHBOARDS}/translation_dashboard.json"
            )
        servers = [server for server in (prometheus, grafana) if server is not None]
        return _run(servers, Path(folder), console, stop)


def prometheus_server(port: int, folder: Path) -> Server | None:
    """Return how Prometheus is started on this machine, or None."""
    url = f"http://{_HOST}:{port}"
    options = (f"--web.listen-address={_HOST}:{port}", "--storage.tsdb.retention.time=2d")
    program = shutil.which("prometheus")
    if program is not None:
        config = f"--config.file={_MONITORING / 'prometheus.yml'}"
        command: tuple[str, ...] = (program, config, f"--storage.tsdb.path={folder / 'prometheus'}", *options)
        return Server("Prometheus", command, {}, url, "/-/ready")
    engine = _container_engine()
    if engine is None:
        return None
    mounts = _mounts((_MONITORING, Path("/etc/prometheus")), (_DISCOVERY.parent, _DISCOVERY.parent))
    places = ("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus")
    command = (*engine, *mounts, _PROMETHEUS_IMAGE, *places, *options)
    return Server("Prometheus", command, {}, url, "/-/ready")


def grafana_server(port: int, folder: Path, prometheus_url: str) -> Server | None:
    """Return how Grafana is started on this machine, or None."""
    url = f"http://{_HOST}:{port}"
    variables = {
        "PROMETHEUS_URL": prometheus_url,
        "NLLB_DASHBOARDS": str(_DASHBOARDS),
        "GF_PATHS_PROVISIONING": str(_DASHBOARDS / "provisioning"),
        "GF_SERVER_HTTP_ADDR": _HOST,
        "GF_SERVER_HTTP_PORT": str(port),
        # Loopback only, and nothing to change: looking needs no password.
        "GF_AUTH_ANONYMOUS_ENABLED": "true",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(_DASHBOARDS / "translation_dashboard.json"),
    }
    program = shutil.which("grafana")
    if program is not None:
        home = _grafana_home(Path(program).resolve())
        variables |= {"GF_PATHS_DATA": str(folder / "grafana"), "GF_PATHS_LOGS": str(folder / "grafana")}
        return Server("Grafana", (program, "server", "--homepath", str(home)), variables, url, "/api/health")
    engine = _container_engine()
    if engine is None:
        return None
    passed = tuple(f"--env={name}={value}" for name, value in variables.items())
    command = (*engine, *passed, *_mounts((_DASHBOARDS, _DASHBOARDS)), _GRAFANA_IMAGE)
    return Server("Grafana", command, {}, url, "/api/health")


def _container_engine() -> tuple[str, ...] | None:
    for engine in ("docker", "podman"):
        program = shutil.which(engine)
        if program is not None and _works(program):
            # The host's network: Ray's nodes are found by their own addresses.
            return (program, "run", "--rm", "--network=host")
    return None


def _works(program: str) -> bool:
    """Whether a container could be started: the program alone is not enough, its daemon may not run."""
    try:
        return (
            subprocess.run((program, "info"), capture_output=True, timeout=_INFO_TIMEOUT_S, check=False).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def _mounts(*folders: tuple[Path, Path]) -> tuple[str, ...]:
    return tuple(f"--volume={outside}:{inside}:ro" for outside, inside in folders)


def _grafana_home(program: Path) -> Path:
    """Return the folder with Grafana's own files: beside `bin` of an unpacked archive, else where packages put it."""
    candidates = (program.parents[1], program.parents[1] / "share" / "grafana", Path("/usr/share/grafana"))
    return next((each for each in candidates if (each / "public").is_dir()), candidates[-1])


def _run(servers: list[Server], folder: Path, console: Console, stop: threading.Event) -> int:
    if not _DISCOVERY.is_file():
        console.print("No Ray has run on this machine so far: start the service with `make serve`")
    processes: list[subprocess.Popen[bytes]] = []
    try:
        for server in servers:
            processes.append(_start(server, folder))
            if not _wait_until_ready(server, processes[-1], stop):
                if not stop.is_set():
                    console.print(
                        f"[red]Cannot start:[/red] {server.name} does not answer at {server.url}; its output:"
                    )
                    console.print((folder / f"{server.name}.log").read_text(errors="replace")[-2000:], markup=False)
                return 0 if stop.is_set() else 1
            console.print(f"{server.name}: {server.url}")
        console.print("Ctrl-C stops everything.")
        while not stop.wait(1.0):
            for server, process in zip(servers, processes, strict=True):
                if process.poll() is not None:
                    console.print(f"[red]{server.name} has ended[/red] with status {process.returncode}")
                    return 1
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(timeout=30)
    return 0


def _start(server: Server, folder: Path) -> subprocess.Popen[bytes]:
    with (folder / f"{server.name}.log").open("wb") as log:
        # A session of its own: Ctrl-C reaches this process alone, which stops the others in order.
        return subprocess.Popen(
            server.command,
            env=os.environ | server.variables,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _wait_until_ready(server: Server, process: subprocess.Popen[bytes], stop: threading.Event) -> bool:
    deadline_s = time.monotonic() + _START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s and not stop.wait(0.2):
        try:
            # A server that was started here, on loopback.
            with urllib.request.urlopen(server.url + server.ready_path, timeout=5) as answer:  # nosec B310
                if answer.status == 200:
                    return True
        except (urllib.error.URLError, OSError):
            continue
    return False


if __name__ == "__main__":
    sys.exit(main())
