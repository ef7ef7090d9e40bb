"""Merges all sources of configuration into one frozen `Settings`, and remembers where each value came from.

Later wins: defaults of the schema, YAML files, the environment's overlay, `.env`, variables, overrides.
Lists and mappings that are values (`warmup.samples`, `model.default_adapters`) are replaced whole.
This module does not know what the settings mean, nor who reads them.
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from configs.errors import ConfigError
from configs.schema import Settings
from configs.sources import FIELDS, Found, Layer, read_env_file, read_overrides, read_variables, read_yaml, shown

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_ENVIRONMENT = "dev"
FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "configs/model_config.yaml": ("model",),
        "configs/inference_config.yaml": (
            "cache",
            "adapters",
            "batching",
            "decoding",
            "quality",
            "detection",
            "glossaries",
            "limits",
            "warmup",
        ),
        "configs/access_config.yaml": ("access",),
        "configs/training_config.yaml": ("training",),
        "configs/logging_config.yaml": ("logging",),
        "configs/monitoring_config.yaml": ("metrics", "tracing"),
    }
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings and their history.

    Attributes:
        environment: Whose overlay was applied.
        settings: The merged result.
        origins: Where each value stands, by dotted key; a key that is missing here has its default.
    """

    environment: str
    settings: Settings
    origins: Mapping[str, str]


def load_settings(
    environment: str | None = None,
    overrides: Mapping[str, Any] = _NOTHING,
    *,
    file: Path | None = None,
    root: Path = ROOT,
    environ: Mapping[str, str] = os.environ,
) -> Settings:
    """Return the configuration of one environment.

    Args:
        environment: Name of a file in `configs/environments`; None takes NLLB_ENV, then `dev`.
        overrides: Values that win over all others, by dotted key: `{"model.engine": "identity"}`.
        file: One more YAML file with any sections, such as a user's own; it wins over the files of `configs/`.
        root: Folder that holds `configs/` and, maybe, `.env`.
        environ: Variables; those that begin with `NLLB__` are settings (`NLLB__CACHE__TYPE=redis`).

    Raises:
        ConfigError: Any key is unknown or any value is not accepted; the message lists all of them.
    """
    return load_with_origins(environment, overrides, file=file, root=root, environ=environ).settings


def load_with_origins(
    environment: str | None = None,
    overrides: Mapping[str, Any] = _NOTHING,
    *,
    file: Path | None = None,
    root: Path = ROOT,
    environ: Mapping[str, str] = os.environ,
) -> Loaded:
    """Do what `load_settings` does, and say where each value came from."""
    in_env_file, problems = read_env_file(root / ".env")
    variables = {name: Found(value, f"variable {name}") for name, value in environ.items()}
    chosen, overlay = _read_overlay(environment, in_env_file | variables, root)
    layers = [
        *(read_yaml(root / file, file, sections) for file, sections in FILES.items()),
        overlay,
        *([] if file is None else [read_yaml(file, str(file), tuple(Settings.model_fields))]),
        read_variables(in_env_file),
        read_variables(variables),
        read_overrides(overrides),
    ]
    merged: dict[str, Found] = {}
    for layer in layers:
        merged |= layer.values
        problems += layer.problems
    settings = None
    try:
        settings = Settings.model_validate(_nested(merged))
    except ValidationError as error:
        problems += [_problem(detail, merged) for detail in error.errors(include_url=False)]
    if problems or settings is None:
        raise ConfigError(*problems)
    return Loaded(chosen, settings, {key: found.origin for key, found in merged.items()})


def environments(root: Path = ROOT) -> list[str]:
    """Return the names of all environments, sorted."""
    return sorted(path.stem for path in (root / "configs" / "environments").glob("*.yaml"))


def _read_overlay(argument: str | None, variables: Mapping[str, Found], root: Path) -> tuple[str, Layer]:
    chosen = Found(DEFAULT_ENVIRONMENT, "default environment")
    if argument is not None:
        chosen = Found(argument, "argument environment")
    elif (variable := variables.get("NLLB_ENV")) and variable.value:
        chosen = variable
    name, known = chosen.value, environments(root)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]}?" if near else ""
        problem = f"{chosen.origin}: environment = {name!r}: accepted: {', '.join(known) or 'none'}{hint}"
        return name, Layer(problems=[problem])
    file = f"configs/environments/{name}.yaml"
    return name, read_yaml(root / file, file, tuple(Settings.model_fields))


def _nested(values: Mapping[str, Found]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, found in values.items():
        *sections, name = key.split(".")
        node = nested
        for section in sections:
            node = node.setdefault(section, {})
        node[name] = found.value
    return nested


def _problem(detail: ErrorDetails, values: Mapping[str, Found]) -> str:
    """Turn one of pydantic's findings into a line: where, which key, what value, what is accepted."""
    message = str(detail["ctx"]["error"]) if detail["type"] == "value_error" else detail["msg"]
    message = re.sub(r"^\w+ should", "should", message).replace("Extra inputs are not permitted", "unknown key")
    location = detail["loc"]
    key = _field_of(location)
    if key is None:  # a rule about several keys; its message names them
        return f"configuration: {message}"
    return f"{values[key].origin}: {'.'.join(map(str, location))} = {shown(key, detail['input'])}: {message}"


def _field_of(location: Sequence[int | str]) -> str | None:
    """The field that a place is in: `warmup.samples` for `warmup.samples.0.text`."""
    dotted = (".".join(map(str, location[:length])) for length in range(1, len(location) + 1))
    return next((key for key in dotted if key in FIELDS), None)
