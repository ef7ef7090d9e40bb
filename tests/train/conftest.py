"""A real Ray with its dashboard for the training tests, and data for the demo model."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

# As `train.workers` has it; here, because Ray reads it when it is first imported.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

import pytest

from train.demo_adapter.data import MEDICAL_FILE, write_training_data


@pytest.fixture(scope="module")
def ray_dashboard() -> Iterator[str]:
    """A local cluster, gone before other tests run; the address that jobs are submitted to."""
    import ray

    context = ray.init(
        address="local",
        num_cpus=3,  # two workers beside a job's driver, also on two cores
        include_dashboard=True,
        dashboard_host="127.0.0.1",
        dashboard_port=0,
        object_store_memory=200 * 1024**2,
        logging_level=logging.ERROR,
        log_to_driver=False,
    )
    yield f"http://{context.dashboard_url}"
    ray.shutdown()


@pytest.fixture(scope="session")
def everyday_and_medical(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sentences that the demo model knows, and medical ones that it does not."""
    assert MEDICAL_FILE.is_file()
    return write_training_data(tmp_path_factory.mktemp("data") / "medical.tsv")
