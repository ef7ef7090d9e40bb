"""Shows the configuration that is in force, or checks all of it.

    python -m configs show [--environment prod] [--json]
    python -m configs check

Both read what the service reads: the YAML files, `.env` and the variables of this shell.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.loader import ROOT, Loaded, environments, load_with_origins
from configs.sources import FIELDS


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT, environ: Mapping[str, str] = os.environ) -> int:
    """Run one command; return the exit status: 0 good, 1 a problem in the configuration."""
    parser = argparse.ArgumentParser(prog="python -m configs", description="Show or check the configuration.")
    commands = parser.add_subparsers(dest="command", required=True)
    show = commands.add_parser("show", help="print every value and where it came from")
    show.add_argument("--environment", help="name of an overlay; default: NLLB_ENV, then dev")
    show.add_argument("--json", action="store_true", help="print JSON")
    commands.add_parser("check", help="validate all files, in every environment")
    options = parser.parse_args(arguments)
    try:
        if options.command == "check":
            print(_check(root, environ))
        else:
            loaded = load_with_origins(options.environment, root=root, environ=environ)
            print(_as_json(loaded) if options.json else _as_table(loaded))
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _check(root: Path, environ: Mapping[str, str]) -> str:
    names = environments(root)
    problems: dict[str, None] = {}  # a set in order: most problems are the same in every environment
    for name in [None, *names]:  # None: the environment that NLLB_ENV names
        try:
            load_with_origins(name, root=root, environ=environ)
        except ConfigError as error:
            problems |= dict.fromkeys(error.problems)
    if problems:
        raise ConfigError(*problems)
    return f"configuration is valid in every environment: {', '.join(names)}"


def _as_table(loaded: Loaded) -> str:
    rows = [("KEY", "VALUE", "FROM")]
    rows += [(key, _as_text(value), origin) for key, value, origin in _entries(loaded)]
    key_width, value_width = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines = [f"{key:<{key_width}}  {value:<{value_width}}  {origin}" for key, value, origin in rows]
    return "\n".join([f"environment: {loaded.environment}", *lines])


def _as_json(loaded: Loaded) -> str:
    settings = {key: {"value": value, "from": origin} for key, value, origin in _entries(loaded)}
    shown = {"environment": loaded.environment, "settings": settings}
    return json.dumps(shown, indent=2, ensure_ascii=False)


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _entries(loaded: Loaded) -> list[tuple[str, Any, str]]:
    """Key, value and origin of every setting; secrets come masked out of pydantic's JSON mode."""
    dumped = loaded.settings.model_dump(mode="json")
    return [(key, _value_at(dumped, key), loaded.origins.get(key, "default")) for key in FIELDS]


def _value_at(dumped: Mapping[str, Any], key: str) -> Any:
    value: Any = dumped
    for name in key.split("."):
        value = value[name]
    return value


if __name__ == "__main__":
    sys.exit(main())
