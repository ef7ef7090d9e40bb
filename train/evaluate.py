"""Measure translations on a dev set, before and after: `python -m train.evaluate --data-file dev.tsv --adapter FOLDER`.

Translates with the engine that serves, as the service is configured. With `--adapter` (a folder, or a version of the
registry such as medical@3) the base model is compared with it; without, the base model alone is scored.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

from configs.errors import ConfigError
from configs.loader import load_settings
from configs.schema import Settings
from pipelines.adapters.configured import open_registry
from pipelines.adapters.manifest import split_version
from pipelines.errors import StartupError, TranslationError
from pipelines.text.languages import resolve_language
from train.data.read import read_pairs
from train.evaluation import Comparison, compare
from train.serving import ServingEngine


def main(arguments: Sequence[str] | None = None) -> int:
    """Read the command line and print the report; return the exit status."""
    options = _parse(arguments)
    try:
        overrides = {} if options.model is None else {"model.name": options.model}
        settings = load_settings(options.environment, overrides)
        comparison = _evaluate(options, settings)
    except (TranslationError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(comparison.as_json(), ensure_ascii=False) if options.json else comparison.as_text())
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train.evaluate", description="Score translations of a dev set.")
    parser.add_argument("--data-file", required=True, help="parallel text: file, folder or URI")
    parser.add_argument("--source-lang", required=True, help="FLORES-200 code")
    parser.add_argument("--target-lang", required=True, help="FLORES-200 code")
    parser.add_argument("--adapter", help="a folder in peft's format, or a version in the registry (medical@3)")
    parser.add_argument("--baseline", help="likewise; default: the base model")
    parser.add_argument("--model", help="the base model; default: the configuration's")
    parser.add_argument("--environment", help="name of an overlay in configs/environments")
    parser.add_argument("--max-pairs", type=int, default=2000, help="only the first so many; default: %(default)s")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args(arguments)
    if options.max_pairs < 1:
        parser.error(f"--max-pairs is {options.max_pairs}; a whole number from 1 is accepted")
    return options


def _evaluate(options: argparse.Namespace, settings: Settings) -> Comparison:
    languages = (resolve_language(options.source_lang).code, resolve_language(options.target_lang).code)
    sound = (
        (line.source.strip(), line.target.strip())
        for line in read_pairs(options.data_file, *languages)
        if not line.problem and line.source.strip() and line.target.strip()
    )
    pairs = list(islice(sound, options.max_pairs))
    if not pairs:
        raise StartupError(f"{options.data_file} holds no pair", field="data_file")
    with ServingEngine(settings) as engine:
        baseline, candidate = (
            _load(engine, settings, name, role)
            for name, role in ((options.baseline, "baseline@1"), (options.adapter, "candidate@1"))
        )
        return compare(engine, pairs, languages, dev_set="given", baseline=baseline, candidate=candidate)


def _load(engine: ServingEngine, settings: Settings, name: str | None, role: str) -> str | None:
    """Load a folder or a version into the engine, and return what it is called there."""
    if name is None:
        return None
    if Path(name).is_dir():
        engine.load(role, Path(name))
        return role
    adapter, version = split_version(name)
    registry = open_registry(settings.adapters)
    if version is None or registry is None:
        raise StartupError(f"{name!r} is neither a folder nor a version such as medical@3", field="adapter")
    with tempfile.TemporaryDirectory() as folder:
        engine.load(name, registry.fetch(adapter, version, Path(folder)))
    return name


if __name__ == "__main__":
    sys.exit(main())
