"""Reads one source of configuration (a YAML file, a `.env` file, variables, overrides) into flat dotted keys.

Each value keeps where it stands. Unknown keys and unreadable text become problems; whether a value is a good
one is the schema's question, and which source wins is the loader's.

Variables are taken apart here and not by pydantic-settings, which stops at the first problem, does not say
which variable a value came from, and passes over unknown sections.
"""

from __future__ import annotations

import difflib
import io
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from dotenv.parser import parse_stream
from pydantic import SecretStr
from pydantic.fields import FieldInfo

from configs.schema import Section, Settings

VARIABLE_PREFIX = "NLLB__"
# One underscore too few; Kubernetes sets variables like `NLLB_PORT` for a service of that name.
_SLIP = re.compile(r"NLLB_([A-Z]+__.+)", re.IGNORECASE)


def _fields_below(section: type[Section], prefix: str) -> dict[str, FieldInfo]:
    """All fields under a section by dotted key, inner sections included."""
    found: dict[str, FieldInfo] = {}
    for name, info in section.model_fields.items():
        found[prefix + name] = info
        if _is_section(info):
            found |= _fields_below(info.annotation, f"{prefix}{name}.")  # type: ignore[arg-type]
    return found


def _is_section(info: FieldInfo) -> bool:
    return isinstance(info.annotation, type) and issubclass(info.annotation, Section)


_ALL = _fields_below(Settings, "")
SECTIONS = frozenset(key for key, info in _ALL.items() if _is_section(info))
FIELDS: Mapping[str, FieldInfo] = {key: info for key, info in _ALL.items() if key not in SECTIONS}


@dataclass(frozen=True, slots=True)
class Found:
    """A value as its source gives it, and where it stands: `configs/model_config.yaml:7`."""

    value: Any
    origin: str


@dataclass(frozen=True, slots=True)
class Layer:
    """What one source says: its values by dotted key, and what could not be read."""

    values: dict[str, Found] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)


def read_yaml(path: Path, label: str, sections: Collection[str]) -> Layer:
    """Read one YAML file.

    Args:
        path: The file.
        label: Its name in messages.
        sections: The top-level keys that this file may hold.
    """
    layer = Layer()
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        try:
            root = loader.get_single_node()
        except RecursionError:
            layer.problems.append(f"{label}:{loader.get_mark().line + 1}: not valid YAML: nested too deeply")
            return layer
        if root is not None:
            _walk(layer, loader, root, "", label, sections)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        layer.problems.append(f"{label}{line}: not valid YAML: {error.problem or error.context}")
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        layer.problems.append(f"{label}: cannot be read: {error}")
    return layer


def _walk(
    layer: Layer, loader: yaml.SafeLoader, node: yaml.Node, section: str, label: str, allowed: Collection[str]
) -> None:
    origin = f"{label}:{node.start_mark.line + 1}"
    if not isinstance(node, yaml.MappingNode):
        layer.problems.append(f"{origin}: {section or 'the file'} should hold keys, as `key: value` lines")
        return
    for key_node, value_node in node.value:
        key = f"{section}.{key_node.value}" if section else str(key_node.value)
        origin = f"{label}:{key_node.start_mark.line + 1}"
        if not section and key in SECTIONS and key not in allowed:
            layer.problems.append(f"{origin}: {key}: does not belong here; accepted: {', '.join(allowed)}")
        elif key in layer.values:
            layer.problems.append(f"{origin}: {key}: given twice, first at {layer.values[key].origin}")
        elif key in FIELDS:
            _take(layer, loader, value_node, key, origin)
        elif key not in SECTIONS:
            layer.problems.append(_unknown(key, origin))
        elif value_node.tag != "tag:yaml.org,2002:null":  # a section whose every key is commented out
            _walk(layer, loader, value_node, key, label, allowed)


def _take(layer: Layer, loader: yaml.SafeLoader, node: yaml.Node, key: str, origin: str) -> None:
    try:
        layer.values[key] = Found(loader.construct_object(node, deep=True), origin)
    except yaml.constructor.ConstructorError as error:
        layer.problems.append(f"{origin}: {key}: not valid YAML: {error.problem}")
    except RecursionError:
        layer.problems.append(f"{origin}: {key}: not valid YAML: nested too deeply")
    except (AttributeError, LookupError, ValueError):
        # PyYAML lets through what Python says of a value that has the form or the tag of a number, a date and so on.
        problem = f"{origin}: {key}: a value in it is not what its form or tag says"
        if isinstance(node, yaml.ScalarNode):
            kind = node.tag.rpartition(":")[2]
            problem = f"{origin}: {key} = {shown(key, node.value)}: not the {kind} that its form or tag says"
        layer.problems.append(f"{problem}; text is written in quotes")


class _Loader(yaml.SafeLoader):
    """Refuses a key that is given twice, of which YAML's own loaders take the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = set()
        for key_node, _ in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                continue
            if key_node.value in keys:
                problem = f"key {key_node.value!r} is given twice, again in line {key_node.start_mark.line + 1}"
                raise yaml.constructor.ConstructorError(problem=problem)
            keys.add(key_node.value)
        return super().construct_mapping(node, deep=deep)


def read_env_file(path: Path) -> tuple[dict[str, Found], list[str]]:
    """Read the variables of a `.env` file (which need not exist), and the lines that are none."""
    variables: dict[str, Found] = {}
    problems: list[str] = []
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return variables, problems
    except (OSError, UnicodeDecodeError) as error:
        return variables, [f".env: cannot be read: {error}"]
    for binding in parse_stream(io.StringIO(text)):
        part = binding.original.string  # begins with the blank lines before it
        num_blank_lines = part[: -len(part.lstrip()) or None].count("\n")
        origin = f".env:{binding.original.line + num_blank_lines}"
        if binding.error:
            problems.append(f"{origin}: not a `NAME=value` line")
        elif binding.key is not None:
            variables[binding.key] = Found(binding.value or "", f"{origin} {binding.key}")
    return variables, problems


def read_variables(variables: Mapping[str, Found]) -> Layer:
    """Read variables such as `NLLB__CACHE__TYPE=redis`.

    Lists and mappings are JSON; `null` is null; an empty variable counts as not set, because compose files
    pass unset ones on as empty.
    """
    layer = Layer()
    for name, found in variables.items():
        if slip := _SLIP.fullmatch(name):
            layer.problems.append(
                f"{found.origin}: settings begin with {VARIABLE_PREFIX}; did you mean {VARIABLE_PREFIX}{slip[1]}?"
            )
        if not name.upper().startswith(VARIABLE_PREFIX):
            continue
        key = name[len(VARIABLE_PREFIX) :].lower().replace("__", ".")
        if key not in FIELDS:
            layer.problems.append(_unknown(key, found.origin))
        elif found.value == "null":
            layer.values[key] = Found(None, found.origin)
        elif get_origin(FIELDS[key].annotation) in (Mapping, tuple) and found.value:
            try:
                layer.values[key] = Found(json.loads(found.value, object_pairs_hook=_with_keys_once), found.origin)
            except (RecursionError, ValueError) as error:
                value = shown(key, found.value)
                layer.problems.append(f"{found.origin}: {key} = {value}: should be JSON: {error}")
        elif found.value:
            layer.values[key] = found
    return layer


def _with_keys_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Read a JSON object; a key that is given twice is refused, where `json` would take the last."""
    values: dict[str, Any] = {}
    for key, value in pairs:
        if key in values:
            raise ValueError(f"key {key!r} is given twice")
        values[key] = value
    return values


def read_overrides(overrides: Mapping[str, Any]) -> Layer:
    """Read values that a program gives, by dotted key."""
    layer = Layer()
    for key, value in overrides.items():
        origin = f"override {key}"
        if key in FIELDS:
            layer.values[key] = Found(value, origin)
        else:
            layer.problems.append(_unknown(key, origin))
    return layer


def shown(key: str, value: Any) -> str:
    """Return a value as a message may show it."""
    return "**********" if _holds_secret(FIELDS[key].annotation) else repr(value)


def _holds_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _unknown(key: str, origin: str) -> str:
    """Say that no such key exists. The value is left out: it may be a secret under a misspelt name."""
    if key in SECTIONS:
        return f"{origin}: {key}: is a section; set one of its keys: {_listed(_children(key))}"
    section = key.rpartition(".")[0]
    siblings = _children(section)
    # Siblings are compared by their last name alone: the section they share would make any two look near.
    names = {sibling.rpartition(".")[2]: sibling for sibling in siblings}
    near = [names[name] for name in difflib.get_close_matches(key.rpartition(".")[2], names, n=1)]
    near += difflib.get_close_matches(key, _ALL, n=1, cutoff=0.85)
    hint = f"did you mean {near[0]}?" if near else f"accepted: {_listed(siblings or _children(''))}"
    return f"{origin}: {key}: unknown key; {hint}"


def _children(section: str) -> list[str]:
    return [key for key in _ALL if key.rpartition(".")[0] == section]


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))
