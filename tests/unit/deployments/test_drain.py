"""What is deployed to let the ingress refuse: the same application, with other limits."""

from __future__ import annotations

from typing import Any

from configs.schema import LimitSettings
from deployments.drain import _refusing


def _limits_of(application: dict[str, Any]) -> LimitSettings:
    (ingress,) = (each for each in application["deployments"] if each["name"] == "Ingress")
    return LimitSettings.model_validate(ingress["user_config"])


def test_only_the_limits_of_the_ingress_change() -> None:
    """Its other options and limits and the other deployments stay, so that nothing is restarted."""
    cache = {"name": "Cache", "num_replicas": 2}
    ingress = {"name": "Ingress", "num_replicas": 3, "user_config": {"max_batch_items": 2}}
    application = {"name": "nllb", "import_path": "a:b", "deployments": [ingress, cache]}
    refusing = _refusing(application)
    assert refusing["import_path"] == "a:b"
    assert cache in refusing["deployments"]
    assert refusing["deployments"][-1]["num_replicas"] == 3
    assert _limits_of(refusing).max_ongoing_requests == 0
    assert _limits_of(refusing).max_batch_items == 2
    assert ingress["user_config"] == {"max_batch_items": 2}


def test_an_application_without_options_gets_the_limits_alone() -> None:
    """As deployed by a file that names no deployments."""
    assert _limits_of(_refusing({"name": "nllb"})).max_ongoing_requests == 0
