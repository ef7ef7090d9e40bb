"""What is kept of a key cannot open the door, and what opens it is compared whole."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from deployments.access.keys import key_id_of, make_key, matches, with_new_secret


def test_a_record_does_not_hold_the_secret() -> None:
    """Neither the text nor any long part of it is in what is kept."""
    text, record = make_key("Ann", ("translate",))
    secret = text.rsplit("_", 1)[1]
    assert secret not in record.model_dump_json()
    assert len(secret) == 64
    assert key_id_of(text) == record.id


def test_only_the_whole_key_matches() -> None:
    """One other character, another id's secret, a hash instead of a secret, no record at all: none of them."""
    text, record = make_key("Ann", ("translate",))
    other, _ = make_key("Bob", ("translate",))
    assert matches(text, record)
    flipped = text[:-1] + ("0" if text[-1] != "0" else "1")
    wrong = [flipped, other, text + "0", text[:-1], "", f"nllb_{record.id}_{record.secret_sha256}"]
    assert not any(matches(each, record) for each in wrong)
    assert not matches(text, None)


def test_rotating_keeps_the_key_and_ends_its_text() -> None:
    """Same id, name and limits; the old text is worth nothing."""
    old, record = make_key("Ann", ("documents",))
    new, rotated = with_new_secret(record)
    assert not matches(old, rotated)
    assert matches(new, rotated)
    assert rotated.model_copy(update={"secret_sha256": record.secret_sha256}) == record


def test_a_key_ends_when_it_expires_or_is_revoked() -> None:
    """From that moment on."""
    now = datetime.now(UTC)
    _, record = make_key("Ann", ("translate",), expires=now + timedelta(days=1))
    assert record.is_valid(now)
    assert not record.is_valid(now + timedelta(days=1))
    assert not record.model_copy(update={"revoked": now}).is_valid(now)


def test_admin_includes_the_other_scopes() -> None:
    """And they do not include each other."""
    _, admin = make_key("Ann", ("admin",))
    _, translator = make_key("Bob", ("translate",))
    assert admin.allows("documents")
    assert translator.allows("translate")
    assert translator.allows(None)
    assert not translator.allows("documents")
