"""A real Ray with its dashboard for the training tests, what it tells Prometheus, and data for the demo model."""

from __future__ import annotations

import logging
import os
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# As `train.workers` has it; here, because Ray reads it when it is first imported.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import pytest

from train.demo_adapter.data import MEDICAL_FILE, write_training_data


class Cluster:
    """A local Ray.

    Attributes:
        dashboard_url: Where jobs are submitted.
        address: What a driver connects to.
    """

    def __init__(self, dashboard_url: str, address: str, metrics_url: str) -> None:
        self.dashboard_url, self.address = dashboard_url, address
        self._metrics_url = metrics_url

    @contextmanager
    def scraped(self) -> Iterator[set[str]]:
        """Ask for metrics as Prometheus does as long as the block runs; give all lines of ours that were ever there."""
        seen: set[str] = set()
        ended = threading.Event()

        def scrape() -> None:
            while not ended.wait(0.5):
                with suppress(OSError), urllib.request.urlopen(self._metrics_url, timeout=30) as response:
                    lines = response.read().decode().splitlines()
                    seen.update(line for line in lines if line.startswith("ray_nllb_"))

        thread = threading.Thread(target=scrape)
        thread.start()
        try:
            yield seen
        finally:
            ended.set()
            thread.join()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A Ray that is gone before other tests run."""
    import ray
    from ray.cluster_utils import Cluster as Nodes

    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("RAY_metrics_report_interval_ms", "1000")
        head = {
            "num_cpus": 3,  # two workers beside a job's driver, also on two cores
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": 0,
            # By default all Rays of a machine want the same port, and those that do not get it take no jobs.
            "dashboard_agent_listen_port": None,
            "object_store_memory": 200 * 1024**2,
        }
        nodes = Nodes(initialize_head=True, head_node_args=head)
        ray.init(address=nodes.address, logging_level=logging.ERROR, log_to_driver=False)
        (node,) = ray.nodes()
        metrics_url = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        yield Cluster(f"http://{nodes.webui_url}", nodes.address, metrics_url)
        ray.shutdown()
        nodes.shutdown()


@pytest.fixture(scope="session")
def everyday_and_medical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences that the demo model knows, and medical ones that it does not."""
    assert MEDICAL_FILE.is_file()
    return write_training_data(tmp_path_factory.mktemp("data") / "medical.tsv")
