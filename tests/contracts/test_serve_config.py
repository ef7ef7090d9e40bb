"""`serve_config.yaml` has no key that Ray or the application does not know. Ray itself would ignore it silently."""

from __future__ import annotations

import typing
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, ValidationError
from ray.serve.config import AutoscalingConfig
from ray.serve.schema import ServeDeploySchema

from configs.loader import environments, load_settings
from configs.schema import LimitSettings
from deployments.app import AppArgs
from deployments.cache import CacheDeployment
from deployments.ingress import IngressDeployment
from deployments.translator import TranslatorDeployment, TranslatorUserConfig

_PATH = Path(__file__).parents[2] / "serve_config.yaml"
_RAY_ACTOR_OPTIONS = {"num_cpus", "num_gpus", "memory", "resources", "runtime_env", "accelerator_type"}


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    """The file as Ray reads it."""
    loaded: dict[str, Any] = yaml.safe_load(_PATH.read_text(encoding="utf-8"))
    return loaded


def _unknown_keys(value: Any, annotation: Any, path: str = "") -> list[str]:
    """Keys below `value` that the pydantic models of `annotation` do not declare."""
    models = [each for each in _leaves(annotation) if isinstance(each, type) and issubclass(each, BaseModel)]
    if isinstance(value, list):
        return [key for index, each in enumerate(value) for key in _unknown_keys(each, annotation, f"{path}[{index}]")]
    if not isinstance(value, dict) or not models:
        return []
    (model,) = models
    unknown = []
    for key, inner in value.items():
        if key not in model.model_fields:
            unknown.append(f"{path}.{key}")
        else:
            unknown += _unknown_keys(inner, model.model_fields[key].annotation, f"{path}.{key}")
    return unknown


def _leaves(annotation: Any) -> list[Any]:
    arguments = typing.get_args(annotation)
    return [leaf for argument in arguments for leaf in _leaves(argument)] if arguments else [annotation]


def test_ray_accepts_every_key_and_value(config: dict[str, Any]) -> None:
    """Ray's schema validates the file and declares each of its keys."""
    ServeDeploySchema.model_validate(config)
    assert _unknown_keys(config, ServeDeploySchema) == []
    for deployment in config["applications"][0]["deployments"]:
        assert set(deployment.get("ray_actor_options", {})) <= _RAY_ACTOR_OPTIONS
        assert set(deployment.get("autoscaling_config", {})) <= set(AutoscalingConfig.model_fields)


@pytest.mark.parametrize("environment", environments())
def test_a_late_request_is_answered_by_the_ingress(config: dict[str, Any], environment: str) -> None:
    """Not by the proxy in front of it; and a replica that is to end has the time to answer."""
    longest_s = load_settings(environment, environ={}).limits.request_timeout_s
    assert config["http_options"]["request_timeout_s"] > longest_s
    assert all(each["graceful_shutdown_timeout_s"] > longest_s for each in config["applications"][0]["deployments"])


def test_a_misspelt_key_would_be_seen(config: dict[str, Any]) -> None:
    """The check above can fail."""
    deployments = [{**config["applications"][0]["deployments"][0], "num_replica": 2}]
    broken = {**config, "applications": [{**config["applications"][0], "deployments": deployments}]}
    assert _unknown_keys(broken, ServeDeploySchema) == [".applications[0].deployments[0].num_replica"]


def test_the_application_accepts_the_rest(config: dict[str, Any]) -> None:
    """Deployments exist under these names; `args` and each `user_config` are ours."""
    (application,) = config["applications"]
    AppArgs.model_validate(application["args"])
    bound = {each.name for each in (IngressDeployment, CacheDeployment, TranslatorDeployment)}
    user_configs = {each["name"]: each.get("user_config", {}) for each in application["deployments"]}
    assert set(user_configs) == bound
    LimitSettings.model_validate(user_configs["Ingress"])
    TranslatorUserConfig.model_validate(user_configs["Translator"])
    with pytest.raises(ValidationError):
        TranslatorUserConfig.model_validate({"max_rows": 1})
