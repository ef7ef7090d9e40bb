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
    assert main(["list", "--json"], store) == 0  # as well as before it
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


def test_a_key_that_has_ended_is_not_rotated(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """A new secret would not bring it back: its state is named, and nothing is changed."""
    revoked, expired = (str(_created(store, capsys)["id"]) for _ in range(2))
    main(["revoke", revoked], store)
    record = asyncio.run(store.get(expired))
    assert record is not None
    asyncio.run(store.put(record.model_copy(update={"expires": record.created})))
    for key_id, state in ((revoked, "revoked"), (expired, "expired")):
        before = asyncio.run(store.get(key_id))
        assert main(["rotate", key_id], store) == 1
        assert f"key '{key_id}' (Ann) is {state}" in capsys.readouterr().err
        assert asyncio.run(store.get(key_id)) == before


def test_a_name_is_shown_as_it_is(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """Square brackets are no markup: the list comes, with all of the name."""
    main(["create", "a[/x]"], store)
    main(["create", "b [red]"], store)
    capsys.readouterr()
    assert main(["list"], store) == 0
    shown = capsys.readouterr().out
    assert "a[/x]" in shown
    assert "b [red]" in shown


@pytest.mark.parametrize("days", ["0", "36501", "9999999", "99999999999999"])
def test_a_lifetime_has_bounds(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str], days: str) -> None:
    """What no calendar has is refused with what is accepted."""
    with pytest.raises(SystemExit):
        main(["create", "Ann", "--days", days], store)
    assert f"--days: '{days}' is not accepted: a whole number from 1 to 36500" in capsys.readouterr().err


def test_limits_are_positive(store: SqliteKeyStore, capsys: pytest.CaptureFixture[str]) -> None:
    """A limit of nothing is a mistake."""
    with pytest.raises(SystemExit):
        main(["create", "Ann", "--requests-per-second", "0"], store)
    assert "--requests-per-second: '0' is not accepted: a whole number from 1" in capsys.readouterr().err
