"""Manage API keys: `python -m deployments.keys create NAME --scope translate`, then `list`, `rotate ID`, `revoke ID`.

Works on the store that the configuration names (`access.store`); the running service sees a change within
`access.key_lifetime_s`. A key's text is printed once, when it is made; nobody can read it again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from configs.errors import ConfigError
from configs.loader import load_settings
from deployments.access.configured import key_store
from deployments.access.keys import SCOPES, KeyLimits, KeyRecord, make_key, with_new_secret
from deployments.access.meter import month_of
from deployments.access.store import KeyStore
from pipelines.errors import TranslationError

_MAX_DAYS = 36_500  # a hundred years; the calendar of `datetime` ends in 9999


def main(arguments: Sequence[str] | None = None, store: KeyStore | None = None) -> int:
    """Run one command. Returns the exit status.

    Args:
        arguments: Of the command line; None takes the process's.
        store: Of the keys; None takes the configured one.
    """
    parsed = _parser().parse_args(arguments)
    try:
        asyncio.run(parsed.run(parsed, store or key_store(load_settings(parsed.environment).access)))
    except (ConfigError, TranslationError, _RefusedError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


class _RefusedError(Exception):
    pass


async def _create(parsed: argparse.Namespace, store: KeyStore) -> None:
    expires = datetime.now(UTC) + timedelta(days=parsed.days) if parsed.days is not None else None
    limits = KeyLimits(
        requests_per_second=parsed.requests_per_second,
        characters_per_month=parsed.characters_per_month,
        concurrent_requests=parsed.concurrent_requests,
        adapters=tuple(parsed.adapter) if parsed.adapter is not None else None,
    )
    text, record = make_key(parsed.name, tuple(parsed.scope or ["translate"]), limits, expires)
    await store.put(record)
    _print_new(text, record, parsed.json)


async def _list(parsed: argparse.Namespace, store: KeyStore) -> None:
    month = month_of(datetime.now(UTC))
    rows = [(record, await store.usage(record.id, month)) for record in await store.all()]
    if parsed.json:
        shown = [
            record.model_dump(mode="json", exclude={"secret_sha256"}) | {"characters_this_month": usage.num_characters}
            for record, usage in rows
        ]
        print(json.dumps(shown, indent=1))
        return
    table = Table("id", "name", "scopes", "state", "limits", f"characters in {month}")
    for record, usage in rows:
        limits = ", ".join(f"{name}={value}" for name, value in record.limits.model_dump(exclude_none=True).items())
        cells = (record.id, record.name, ", ".join(record.scopes), _state(record), limits, str(usage.num_characters))
        table.add_row(*map(Text, cells))  # a name may hold what would be markup in a plain string
    Console().print(table)


async def _rotate(parsed: argparse.Namespace, store: KeyStore) -> None:
    old = await _existing(parsed.id, store)
    if not old.is_valid(datetime.now(UTC)):
        raise _RefusedError(
            f"key {old.id!r} ({old.name}) is {_state(old)}: only a valid key is rotated; `create` makes another"
        )
    text, record = with_new_secret(old)
    await store.put(record)
    _print_new(text, record, parsed.json)


async def _revoke(parsed: argparse.Namespace, store: KeyStore) -> None:
    record = await _existing(parsed.id, store)
    await store.put(record.model_copy(update={"revoked": record.revoked or datetime.now(UTC)}))
    print(json.dumps({"id": record.id, "revoked": True}) if parsed.json else f"{record.id} ({record.name}) is revoked")


async def _existing(key_id: str, store: KeyStore) -> KeyRecord:
    record = await store.get(key_id)
    if record is None:
        known = ", ".join(each.id for each in await store.all()) or "none"
        raise _RefusedError(f"there is no key {key_id!r}; there are: {known}")
    return record


def _state(record: KeyRecord) -> str:
    if record.revoked is not None:
        return "revoked"
    if not record.is_valid(datetime.now(UTC)):
        return "expired"
    return "valid" if record.expires is None else f"until {record.expires:%Y-%m-%d}"


def _print_new(text: str, record: KeyRecord, as_json: bool) -> None:
    if as_json:
        shown: dict[str, Any] = record.model_dump(mode="json", exclude={"secret_sha256"})
        print(json.dumps(shown | {"key": text}))
    else:
        print(text)
        print(f"key {record.id} for {record.name}; it will not be shown again", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deployments.keys", description=__doc__)
    # Accepted before and behind the command; behind it, what is left out must not undo what was said before.
    common = argparse.ArgumentParser(add_help=False)
    for each, environment, as_json in ((parser, None, False), (common, argparse.SUPPRESS, argparse.SUPPRESS)):
        says = "overlay of configs/environments; default: NLLB_ENV, then dev"
        each.add_argument("--environment", default=environment, help=says)
        each.add_argument("--json", default=as_json, action="store_true", help="answer in JSON")
    commands = parser.add_subparsers(required=True, metavar="create | list | rotate | revoke")
    create = commands.add_parser("create", help="make a key and print it", parents=[common])
    create.add_argument("name", help="whose it is, or what for")
    create.add_argument("--scope", action="append", choices=SCOPES, help="repeatable; default: translate")
    create.add_argument("--requests-per-second", type=_positive, metavar="N")
    create.add_argument("--characters-per-month", type=_positive, metavar="N")
    create.add_argument("--concurrent-requests", type=_positive, metavar="N")
    create.add_argument("--adapter", action="append", metavar="NAME", help="repeatable; default: all")
    create.add_argument("--days", type=_days, metavar="N", help="until it expires; default: never")
    create.set_defaults(run=_create)
    commands.add_parser("list", help="show all keys", parents=[common]).set_defaults(run=_list)
    for name, run, says in (
        ("rotate", _rotate, "give a key a new secret; the old one ends"),
        ("revoke", _revoke, "end a key"),
    ):
        command = commands.add_parser(name, help=says, parents=[common])
        command.add_argument("id")
        command.set_defaults(run=run)
    return parser


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: a whole number from 1")
    return int(text)


def _days(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{text!r} is not accepted: a whole number from 1 to {_MAX_DAYS}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
