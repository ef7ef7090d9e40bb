"""The command line of the trainers: one flag for each setting of `training`, and what a single run needs besides.

Flags win over `--config`, which wins over the files of `configs/`, which win over the schema's defaults.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_origin

from pydantic.fields import FieldInfo
from rich.console import Console
from rich.markup import escape

from configs.errors import ConfigError
from configs.loader import load_settings
from configs.schema import Section, Settings, TrainingSettings
from pipelines.errors import TranslationError
from train.errors import GateRefusedError, TrainingError
from train.options import RunOptions

_LISTS = (tuple, Mapping)
_REFUSED_BY_THE_GATE = 3  # 1 is any other failure, 2 argparse's


def main(kind: Literal["lora", "full"], description: str, arguments: Sequence[str] | None = None) -> int:
    """Read the command line and train; return the exit status: 3 where the gate refused what was trained, 1 for errors.

    Args:
        kind: An adapter, or the whole model.
        description: For `--help`.
        arguments: None takes those of this process.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        options, settings = parse(kind, description, arguments)
        # On its import it says that it would download kernels; it trains without them.
        logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
        from train.run import run_training  # Ray and torch take seconds, which `--help` need not wait for

        run_training(options, settings, console)
    except GateRefusedError as error:
        console.print(f"[red]Not published:[/red] {escape(str(error))}")
        return _REFUSED_BY_THE_GATE
    except (TranslationError, ConfigError, TrainingError) as error:
        console.print(f"[red]Not trained:[/red] {escape(str(error))}")
        return 1
    except KeyboardInterrupt:
        console.print("Stopped. The same command with --resume continues from the last checkpoint.")
        return 130
    return 0


def parse(
    kind: Literal["lora", "full"], description: str, arguments: Sequence[str] | None = None
) -> tuple[RunOptions, Settings]:
    """Return what a run needs and the settings in force.

    Raises:
        ConfigError: A setting is not accepted.
    """
    parser = argparse.ArgumentParser(prog=f"python -m train.{kind}", description=description)
    parser.add_argument("--data-file", required=True, help="TSV, CSV, JSON Lines or Parquet; a file, a folder or a URI")
    parser.add_argument("--dev-file", help="parallel text to evaluate on; default: a share of the data")
    parser.add_argument("--source-lang", required=True, help="FLORES-200 code")
    parser.add_argument("--target-lang", required=True, help="FLORES-200 code")
    parser.add_argument("--config", type=Path, help="a YAML file with settings")
    parser.add_argument("--environment", help="name of an overlay in configs/environments")
    parser.add_argument("--model", help="the base model: demo, a name on the model hub or a path")
    parser.add_argument("--quantize", choices=["4bit"], help="keep the base model in 4 bits (QLoRA, NF4)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint in the output folder")
    parser.add_argument("--publish", metavar="NAME", help="let the adapter pass the gate and publish it")
    parser.add_argument("--force", action="store_true", help="publish what fails the gate; the manifest says so")
    parser.add_argument(
        "--no-promote", action="store_true", help="publish a version, but let the name point to the old"
    )
    group = parser.add_argument_group("settings (section `training` of the configuration)")
    flags = dict(_flags(TrainingSettings, "training.", ""))
    for key, (flag, info) in flags.items():
        group.add_argument(flag, dest=key, help=_help(info), **_kind_of_value(info))
    found = vars(parser.parse_args(arguments))
    given = {key: found.pop(key) for key in flags}
    overrides = {key: value for key, value in given.items() if value is not None}
    model, config, environment = (found.pop(name) for name in ("model", "config", "environment"))
    if model is not None:
        overrides["model.name"] = model
    return RunOptions(kind=kind, **found), load_settings(environment, overrides, file=config)


def _flags(section: type[Section], prefix: str, flag_prefix: str) -> Iterator[tuple[str, tuple[str, FieldInfo]]]:
    """Yield the dotted key of each setting, its flag and what is known of it: `training.lora.r` is `--lora-r`."""
    for name, info in section.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, Section):
            yield from _flags(info.annotation, f"{prefix}{name}.", f"{flag_prefix}{name}-")
        else:
            yield prefix + name, (f"--{flag_prefix}{name}".replace("_", "-"), info)


def _kind_of_value(info: FieldInfo) -> dict[str, Any]:
    if info.annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(info.annotation) in _LISTS:
        return {"type": lambda text: tuple(part.strip() for part in text.split(",")), "metavar": "A,B,..."}
    return {"metavar": "VALUE"}  # the schema reads numbers from text


def _help(info: FieldInfo) -> str:
    return " ".join((info.description or "").split()).replace("%", "%%")
