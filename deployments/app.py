"""Binds the deployments into one application. Which machine runs what, and how often, is in `serve_config.yaml`."""

# No postponed annotations here: Serve reads `build_app`'s to turn `args` into an `AppArgs`.
from typing import Any, cast

import ray
from pydantic import BaseModel, ConfigDict
from ray.serve import Application, Deployment

from configs.loader import load_settings
from configs.schema import Settings
from deployments.cache import CacheDeployment
from deployments.ingress import IngressDeployment
from deployments.translator import TranslatorDeployment
from pipelines.engine.configured import resolve_revision


class AppArgs(BaseModel):
    """`args` of the application in `serve_config.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    environment: str | None = None
    """Which overlay of `configs/environments`; null takes NLLB_ENV, then `dev`."""
    settings: dict[str, Any] = {}
    """Settings by dotted key that win over all files and variables."""


def build_app(args: AppArgs) -> Application:
    """Return the application: ingress -> cache -> translator.

    Raises:
        ConfigError: The configuration is not accepted.
        StartupError: The model cannot be found; the message says what to do.
    """
    settings = load_settings(args.environment, args.settings)
    model_revision = resolve_revision(settings)
    translator = (
        _deployment(TranslatorDeployment, settings)
        .options(ray_actor_options=_translator_resources(settings))
        .bind(settings, model_revision)
    )
    cache = None
    if settings.cache.enabled:
        cache = _deployment(CacheDeployment, settings).bind(settings, model_revision, translator)
    return _deployment(IngressDeployment, settings).bind(settings, model_revision, translator, cache)


def _deployment(decorated: Any, settings: Settings) -> Deployment:
    # Ray's annotations say that its decorator returns the class.
    deployment = cast(Deployment, decorated)
    encoding = "JSON" if settings.logging.format == "json" else "TEXT"
    logging_config = {
        "encoding": encoding,
        "log_level": settings.logging.level,
        # Its lines say less than ours; see `deployments.telemetry`.
        "enable_access_log": False,
    }
    return deployment.options(logging_config=logging_config)


def _translator_resources(settings: Settings) -> dict[str, float]:
    if settings.model.engine == "identity" or settings.model.device not in {"auto", "cuda"}:
        return {}
    # `auto` takes what the cluster has now. Nodes with GPUs may join later, or only because a replica waits for one.
    has_gpu = ray.is_initialized() and ray.cluster_resources().get("GPU", 0) >= 1
    return {"num_gpus": 1} if has_gpu or settings.model.device == "cuda" else {}
