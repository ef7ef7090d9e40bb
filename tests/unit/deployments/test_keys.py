"""`python -m deployments.keys`: what it prints once, what it never prints, and what it says of mistakes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from deployments.access.keys import matches
from deployments.access.store import SqliteKeyStore
from deployments.keys import main


@pytest.fixture
def store(tmp_path: Path) -> SqliteKeyStore:
    """An empty store."""
    return SqliteKeyStore(tmp_path / "keys.sqlite3")


def _created(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert main(["--json", "create", "Ann", *arguments], store) == 0
    created: dict[str, object] = json.loads(capsys.readouterr().out)
    return created


def test_a_key_from_its_making_to_its_end(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Created with limits, listed without its secret, rotated, revoked."""
    created = _created(store, capsys, "--scope", "translate", "--scope", "documents", "--characters-per-month", "1000")
    key_id, text = str(created["id"]), str(created["key"])
    assert created["scopes"] == ["translate", "documents"]
    assert matches(text, asyncio.run(store.get(key_id)))

    assert main(["list"], store) == 0
    shown = capsys.readouterr().out
    assert key_id in shown
    assert text.rsplit("_", 1)[1] not in shown

    assert main(["--json", "rotate", key_id], store) == 0
    rotated = json.loads(capsys.readouterr().out)
    assert not matches(text, asyncio.run(store.get(key_id)))
    assert matches(rotated["key"], asyncio.run(store.get(key_id)))

    assert main(["revoke", key_id], store) == 0
    capsys.readouterr()
    assert main(["--json", "list"], store) == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert record["revoked"]
    assert "secret_sha256" not in record


def test_the_key_alone_is_on_standard_output(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """So that a script can keep it: `key=$(python -m deployments.keys create Ann)`."""
    assert main(["create", "Ann"], store) == 0
    assert capsys.readouterr().out.startswith("nllb_")


def test_an_unknown_id_is_named_with_those_that_exist(
    store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]
) -> None:
    """And nothing is changed."""
    key_id = str(_created(store, capsys)["id"])
    assert main(["revoke", "nobody"], store) == 1
    assert f"there is no key 'nobody'; there are: {key_id}" in capsys.readouterr().err


def test_limits_are_positive(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of nothing is a mistake."""
    with pytest.raises(SystemExit):
        main(["create", "Ann", "--requests-per-second", "0"], store)
    assert "--requests-per-second: '0' is not accepted: a whole number from 1" in capsys.readouterr().err
