"""What the application asks Ray for."""

from __future__ import annotations

from pathlib import Path

import pytest
from ray.serve import Application, Deployment

from deployments.app import AppArgs, build_app
from tests.tiny_model import make_tiny_checkpoint


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that can be named."""
    return make_tiny_checkpoint(tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize(("device", "num_gpus"), [("cuda", 1), ("auto", None), ("cpu", None)])
def test_a_translator_told_to_use_a_gpu_waits_for_one(checkpoint: Path, device: str, num_gpus: int | None) -> None:
    """Nodes with GPUs may join later, or only because it asks for one; `auto` takes what is there, here none."""
    application = build_app(AppArgs(settings={"model.name": str(checkpoint), "model.device": device}))
    assert (_translator(application).ray_actor_options or {}).get("num_gpus") == num_gpus


def _translator(application: Application) -> Deployment:
    _, _, translator, _ = application._bound_deployment.init_args
    return translator._bound_deployment
