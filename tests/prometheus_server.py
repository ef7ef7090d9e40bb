"""A real Prometheus for tests: the project's own configuration and rules, scraping every second instead of every ten.

The binaries come with Debian's package `prometheus` (`.ci/run` installs it); where they are not on PATH, the tests
that need them are skipped and say so.
"""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
import yaml

from tests.ports import free_port

_MONITORING = Path(__file__).parents[1] / "monitoring"


def find_binary(name: str) -> str:
    """Return the path of `prometheus` or `promtool`, or skip the test."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on PATH: `apt-get install prometheus`, or https://prometheus.io/download")
    return found


class PrometheusServer:
    """Used with `async with`.

    Args:
        folder: Of its configuration and data.
        targets: `host:port` of what it scrapes, as Ray's service discovery lists them.
    """

    def __init__(self, folder: Path, targets: list[str]) -> None:
        self._folder = folder
        self._log = folder / "prometheus.log"
        self._address = f"127.0.0.1:{free_port()}"
        self._client = httpx.AsyncClient(base_url=f"http://{self._address}/api/v1", timeout=30)
        config = yaml.safe_load((_MONITORING / "prometheus.yml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(_MONITORING / "alerts.yml")]
        config["scrape_configs"][0]["file_sd_configs"] = [{"files": [str(folder / "targets.json")]}]
        (folder / "targets.json").write_text(json.dumps([{"labels": {"job": "ray"}, "targets": targets}]))
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    async def __aenter__(self) -> Self:
        self._process = self._start()
        async with asyncio.timeout(60):
            while not await self._is_ready():
                assert self._process.poll() is None, self._log.read_text()
                await asyncio.sleep(0.1)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()
        self._process.terminate()
        self._process.wait(timeout=30)

    async def query(self, expr: str) -> list[dict[str, Any]]:
        """Return the series that an expression has now.

        Raises:
            AssertionError: Prometheus does not accept it.
        """
        answer = (await self._client.post("/query", data={"query": expr})).json()
        assert answer["status"] == "success", (expr, answer)
        return list(answer["data"]["result"])

    async def names(self) -> set[str]:
        """Return the names of all metrics that have been scraped."""
        return set((await self._client.get("/label/__name__/values")).json()["data"])

    async def rules(self) -> list[dict[str, Any]]:
        """Return all rules with their health."""
        groups = (await self._client.get("/rules")).json()["data"]["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def _start(self) -> subprocess.Popen[bytes]:
        command = [find_binary("prometheus"), f"--config.file={self._folder / 'prometheus.yml'}"]
        command += [f"--storage.tsdb.path={self._folder / 'data'}", f"--web.listen-address={self._address}"]
        with self._log.open("w") as log:
            return subprocess.Popen(command, stderr=log)

    async def _is_ready(self) -> bool:
        try:
            return (await self._client.get(f"http://{self._address}/-/ready")).status_code == 200
        except httpx.TransportError:
            return False
