"""`make monitoring`: what it starts depends on what the machine has, and a real Prometheus comes up with our rules."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from monitoring.local import grafana_server, prometheus_server
from tests.ports import free_port
from tests.prometheus_server import find_binary

_ROOT = Path(__file__).parents[3]


def _machine_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *programs: str) -> None:
    """Leave nothing on PATH but these, which do nothing."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for program in programs:
        (folder / program).write_text("#!/bin/sh\n")
        (folder / program).chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_binaries_are_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the project's configuration, on loopback, and Grafana with the dashboard as its first page."""
    _machine_with(tmp_path, monkeypatch, "prometheus", "grafana", "docker")
    prometheus = prometheus_server(1, tmp_path)
    grafana = grafana_server(2, tmp_path, "http://127.0.0.1:1")
    assert prometheus is not None
    assert grafana is not None
    assert f"--config.file={_ROOT / 'monitoring' / 'prometheus.yml'}" in prometheus.command
    assert "--web.listen-address=127.0.0.1:1" in prometheus.command
    assert Path(grafana.command[0]).name == "grafana"
    assert grafana.variables["PROMETHEUS_URL"] == "http://127.0.0.1:1"
    assert Path(grafana.variables["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]).is_file()
    assert Path(grafana.variables["GF_PATHS_PROVISIONING"], "dashboards", "nllb.yml").is_file()


@pytest.mark.parametrize("engine", ["docker", "podman"])
def test_containers_come_second(engine: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the host's network, with the same files mounted, read-only."""
    _machine_with(tmp_path, monkeypatch, engine)
    for server in (prometheus_server(1, tmp_path), grafana_server(2, tmp_path, "http://127.0.0.1:1")):
        assert server is not None
        assert Path(server.command[0]).name == engine
        assert "--network=host" in server.command
        mounts = [part for part in server.command if part.startswith("--volume=")]
        assert mounts
        assert all(mount.endswith(":ro") for mount in mounts)


def test_an_engine_whose_daemon_does_not_run_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its program alone starts no container: the next one is tried."""
    _machine_with(tmp_path, monkeypatch, "docker", "podman")
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")
    for server in (prometheus_server(1, tmp_path), grafana_server(2, tmp_path, "http://127.0.0.1:1")):
        assert server is not None
        assert Path(server.command[0]).name == "podman"


def test_with_neither_it_says_so(tmp_path: Path) -> None:
    """One sentence with the way out, and a status that `make` sees."""
    done = subprocess.run(
        [sys.executable, "-m", "monitoring.local"],
        cwd=_ROOT,
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "apt-get install prometheus" in done.stderr


def test_prometheus_runs_with_the_rules_until_it_is_stopped(tmp_path: Path) -> None:
    """A real one, stopped as Ctrl-C does; nothing is left running."""
    (tmp_path / "prometheus").symlink_to(find_binary("prometheus"))  # alone: no containers for what is missing
    ports = [str(free_port()), str(free_port())]
    process = subprocess.Popen(
        [sys.executable, "-m", "monitoring.local"],
        cwd=_ROOT,
        env=os.environ | {"PATH": str(tmp_path), "PROMETHEUS_PORT": ports[0], "GRAFANA_PORT": ports[1]},
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    said = ""
    while "Ctrl-C stops everything" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    with urllib.request.urlopen(f"http://127.0.0.1:{ports[0]}/api/v1/rules", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    process.send_signal(signal.SIGINT)
    process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert [group["name"] for group in groups] == ["nllb", "nllb-recorded"]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(ports[0]))) != 0
