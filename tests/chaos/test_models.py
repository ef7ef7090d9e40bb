"""Another model under a steady load: no cache keeps what one translated as the other's."""

from __future__ import annotations

import asyncio
import shutil
from copy import deepcopy
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.chaos.conftest import ENGINE, LoadOn, Settled
from tests.chaos.harness import TEXTS, ClusterProcess
from tests.chaos.table import record

pytestmark = [
    pytest.mark.chaos,
    pytest.mark.skipif(ENGINE == "identity", reason="the identity engine has no model: make chaos"),
]


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """What is kept stays, so that it can be looked at."""
    return {"cache.redis.ttl_seconds": 3600}


async def test_a_cache_keeps_what_its_own_model_says(
    cluster: ClusterProcess,
    load: LoadOn,
    config: dict[str, Any],
    settled: Settled,
    tmp_path: Path,
    demo_model_path: Path,
) -> None:
    """While another model is rolled out translators of both answer, and while the one before is brought back, too."""
    other = deepcopy(config)
    other["applications"][0]["args"]["settings"]["model.name"] = str(_other_model(demo_model_path, tmp_path / "other"))
    said = []
    for name, deployed in (("another model", other), ("the model before", config)):
        async with load() as running:
            running.fault()
            await asyncio.to_thread(cluster.do, "deploy", config=deepcopy(deployed))
            await settled()
            await running.until(30)
        running.report.wrong.clear()  # it may say something else
        record(f"`serve deploy` of {name}", running.report)
        assert not running.report.first_try_errors
        said.append(await _answers(cluster))
        await _clear(cluster)
        assert said[-1] == await _answers(cluster)
    assert len({model for _, model in said[0].values()} | {model for _, model in said[1].values()}) == 2
    assert said[0] != said[1]


def _other_model(path: Path, folder: Path) -> Path:
    """A copy whose weights differ enough to say something else."""
    shutil.copytree(path, folder)
    weights = load_file(folder / "model.safetensors")
    changed = weights["model.decoder.layers.0.fc1.weight"]
    changed *= 1 + 3 * torch.randn(changed.shape, generator=torch.manual_seed(0)).to(changed.dtype)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


async def _answers(cluster: ClusterProcess) -> dict[str, tuple[str, str]]:
    """What is answered to every text of the load, and by which model."""
    answers = {}
    async with _client(cluster) as client:
        for text in TEXTS:
            body = {"text": text, "source_lang": "eng_Latn", "target_lang": "spa_Latn"}
            answer = (await client.post("/translate", json=body)).raise_for_status().json()
            answers[text] = (answer["translation"], answer["model"])
    return answers


async def _clear(cluster: ClusterProcess) -> None:
    async with _client(cluster) as client:
        (await client.delete("/cache")).raise_for_status()


def _client(cluster: ClusterProcess) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{cluster.do('ports')[0]}/api/v1", timeout=60)
