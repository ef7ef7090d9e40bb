"""Shows the adapters of a registry, and changes which versions are served.

    python -m pipelines.adapters list | show NAME | verify NAME[@VERSION]
    python -m pipelines.adapters publish NAME FOLDER --pair eng_Latn-hin_Deva
    python -m pipelines.adapters promote NAME VERSION | rollback NAME | withdraw NAME | retire NAME VERSION
    python -m pipelines.adapters canary NAME VERSION --percent 10 [--shadow-percent 5]

Running services follow by themselves within their `adapters.watch_interval_s`. All commands take --json and
--registry.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from configs.errors import ConfigError
from configs.loader import load_settings
from pipelines.adapters import tables
from pipelines.adapters.alias import ANYTHING, Alias, Anything
from pipelines.adapters.configured import open_registry, resolve_uri
from pipelines.adapters.manifest import check_name, split_version, version_name
from pipelines.adapters.registry import AdapterRegistry
from pipelines.adapters.view import read_manifests
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.errors import InvalidAdapterError, InvalidRequestError, TranslationError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status: 0 done, 1 refused or not as it should be."""
    options = _parser().parse_args(arguments)
    try:
        registry = _open(options.registry)
        status: int = _COMMANDS[options.command](registry, options)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 1
    except TranslationError as error:
        print(error.message, file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--registry", help="folder, s3:// or gs:// address; default: adapters.registry")
    common.add_argument("--json", action="store_true", help="print JSON")
    parser = argparse.ArgumentParser(prog="python -m pipelines.adapters", description="Adapters and their versions.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, description: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=description, description=description, parents=[common])

    def change(name: str, description: str) -> argparse.ArgumentParser:
        added = command(name, description)
        added.add_argument("name", help="adapter, such as medical; or the version, medical@3")
        added.add_argument("version", nargs="?", type=int, help="number of the version")
        return added

    command("list", "all adapters: what is live, what is on trial, what there is")
    command("show", "one adapter with its history, or one version with all of its manifest").add_argument("name")
    publish = command("publish", "make a version of a folder in peft's format, trained elsewhere; no gate looks at it")
    publish.add_argument("name", help="adapter, such as medical")
    publish.add_argument("folder", type=Path, help="with adapter_config.json and adapter_model.safetensors")
    publish.add_argument("--pair", action="append", required=True, help="what it translates; repeatable")
    publish.add_argument("--model", help="that it was trained on; default: the configuration's")
    change("promote", "let the name point to a version").add_argument(
        "--if-live", type=int, metavar="VERSION", help="only if this version is live until now"
    )
    command("rollback", "end the trial of a canary, or return to the version that was live before").add_argument("name")
    command("withdraw", "let the name point to no version; a rollback undoes it").add_argument("name")
    canary = change("canary", "try a version on a share of the requests")
    canary.add_argument("--percent", type=float, required=True, help="share that the canary answers; 0 to 100")
    canary.add_argument(
        "--shadow-percent", type=float, default=0.0, help="share that it also translates, only to compare"
    )
    change("retire", "serve a version no more; its files stay")
    command("verify", "hold a version, or all of an adapter, against its manifest").add_argument("name")
    return parser


def _open(uri: str | None) -> AdapterRegistry:
    if uri is not None:
        return AdapterRegistry(resolve_uri(uri))
    registry = open_registry(load_settings().adapters)
    if registry is None:
        raise InvalidRequestError("adapters.registry is null: set it, or give --registry")
    return registry


def _list(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    listing = registry.listing()
    entries: list[tuple[str, Sequence[int], Alias | None]] = []
    problems: list[str] = []
    for name in listing.names:
        alias = None
        try:
            alias = registry.alias(name)
        except InvalidAdapterError as error:
            problems.append(error.message)
        entries.append((name, listing.versions[name], alias))
    if options.json:
        adapters = [_adapter_json(*entry) for entry in entries]
        _print_json({"registry": registry.uri, "adapters": adapters, "problems": problems})
    else:
        print("\n".join([tables.adapters(registry.uri, entries), *problems]))
    return 0


def _show(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    name, version = split_version(options.name)
    if version is not None:
        manifest = registry.manifest(name, version)
        print(manifest.to_json().decode() if options.json else tables.manifest(manifest))
        return 0
    numbers = registry.versions(name)
    if not numbers:
        raise registry.unknown_name(name)
    found, reasons = read_manifests(registry, name, numbers)
    manifests = list(found.values())
    damaged = {version_name(name, number): reason for number, reason in reasons.items()}
    alias = registry.alias(name)
    if options.json:
        shown = _adapter_json(name, numbers, alias)
        history = [] if alias is None else [record.model_dump(mode="json") for record in alias.history]
        known = [each.model_dump(mode="json") for each in manifests]
        _print_json(shown | {"manifests": known, "damaged": damaged, "history": history})
    else:
        print(tables.versions(name, manifests, damaged, alias))
    return 0


def _verify(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    name, version = split_version(options.name)
    numbers = registry.versions(name) if version is None else [version]
    if not numbers:
        raise registry.unknown_name(name)
    problems: dict[str, str | None] = {}
    for number in numbers:
        try:
            registry.verify(name, number)
            problems[version_name(name, number)] = None
        except InvalidAdapterError as error:
            problems[version_name(name, number)] = error.message
    if options.json:
        _print_json(
            [{"version": each, "ok": problem is None, "problem": problem} for each, problem in problems.items()]
        )
    else:
        print("\n".join(f"{each}: {problem or 'is what its manifest says'}" for each, problem in problems.items()))
    return int(any(problems.values()))


def _promote(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    expected: int | Anything = ANYTHING if options.if_live is None else options.if_live
    return _report(registry.promote(*_target(options), expected_live=expected), options)


def _publish(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    from pipelines.adapters.foreign import draft_of  # it brings torch, which the other commands need not wait for

    check_name(options.name)
    model = load_settings(overrides={} if options.model is None else {"model.name": options.model}).model
    checkpoint = locate_checkpoint(model.name, revision=model.revision, offline=model.offline)
    manifest = registry.publish(options.name, options.folder, draft_of(options.folder, checkpoint, options.pair))
    if options.json:
        print(manifest.to_json().decode())
    else:
        print(f"{manifest.full_name} is published for {manifest.base_model}; `promote {manifest.full_name}` serves it")
    return 0


def _rollback(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    return _report(registry.rollback(options.name), options)


def _withdraw(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    return _report(registry.withdraw(options.name), options)


def _canary(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    name, version = _target(options)
    return _report(
        registry.canary(name, version, options.percent, shadow_percent=options.shadow_percent),
        options,
    )


def _retire(registry: AdapterRegistry, options: argparse.Namespace) -> int:
    return _report(registry.retire(*_target(options)), options)


_COMMANDS: Mapping[str, Callable[[AdapterRegistry, argparse.Namespace], int]] = {
    "list": _list,
    "show": _show,
    "verify": _verify,
    "publish": _publish,
    "promote": _promote,
    "rollback": _rollback,
    "withdraw": _withdraw,
    "canary": _canary,
    "retire": _retire,
}


def _target(options: argparse.Namespace) -> tuple[str, int]:
    name, version = split_version(options.name)
    if options.version is not None and version in {None, options.version}:
        version = options.version
    elif options.version is not None:
        raise InvalidRequestError(f"{options.name} and {options.version} are two versions; name one")
    if version is None:
        raise InvalidRequestError(f"which version of {name}? For example: {options.command} {name} 1")
    return name, version


def _report(alias: Alias, options: argparse.Namespace) -> int:
    if options.json:
        _print_json(alias.model_dump(mode="json"))
    else:
        print(tables.state(alias))
    return 0


def _adapter_json(name: str, versions: Sequence[int], alias: Alias | None) -> dict[str, Any]:
    state = Alias(name=name) if alias is None else alias
    return {**state.model_dump(mode="json", exclude={"history"}), "versions": list(versions)}


def _print_json(shown: Any) -> None:
    print(json.dumps(shown, indent=2, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
