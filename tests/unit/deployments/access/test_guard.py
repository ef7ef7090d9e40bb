"""The whole door over HTTP: 401, 403, 429, quotas, adapters, headers, slow bodies, CORS."""

from __future__ import annotations

import asyncio
import json
import resource
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from configs.schema import AccessSettings
from deployments.access.configured import key_store
from deployments.access.keys import KeyLimits, Scope, make_key
from deployments.access.routes import requirement_of
from monitoring import metrics
from monitoring.recorder import Recorder
from pipelines.types import Outcome, Segment
from tests.fakes import ShoutingStation
from tests.unit.deployments.access.conftest import GOOD, open_api


async def _key(settings: AccessSettings, *scopes: Scope, limits: KeyLimits | None = None) -> dict[str, str]:
    text, record = make_key("test", scopes or ("translate",), limits)
    await key_store(settings).put(record)
    return {"X-API-Key": text}


async def test_without_a_key_only_health_and_the_documentation_answer(settings: AccessSettings) -> None:
    """401 in the one shape of errors, with the way to show a key; probes need none."""
    async with open_api(settings) as client:
        response = await client.post("/translate", json=GOOD)
        assert (response.status_code, response.json()["error"]["code"]) == (401, "unauthenticated")
        assert response.headers["www-authenticate"] == "Bearer"
        assert response.json()["error"]["request_id"] == response.headers["x-request-id"]
        for path in ("/languages", "/models", "/usage", "/cache/stats", "/nothing"):
            assert (await client.get(path)).status_code == 401
        for path in ("/health", "/health/live", "/health/ready"):
            assert (await client.get(path)).status_code == 200
        assert (await client.get("http://test/openapi.json")).status_code == 200


async def test_a_key_opens_what_its_scopes_say(settings: AccessSettings) -> None:
    """`translate` translates but does not empty the cache; `admin` does both; `documents` neither."""
    statuses = {}
    async with open_api(settings) as client:
        for scope in ("translate", "admin", "documents"):
            headers = await _key(settings, scope)
            translated = await client.post("/translate", json=GOOD, headers=headers)
            emptied = await client.delete("/cache", headers=headers)
            statuses[scope] = (translated.status_code, emptied.status_code)
    assert statuses == {"translate": (200, 403), "admin": (200, 200), "documents": (403, 403)}


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("POST", "/api/v1/translate/stream", "translate"),
        ("POST", "/api/v1/batch-translate", "translate"),
        ("GET", "/api/v1/glossaries/7", "glossaries"),
        ("POST", "/api/v1/documents", "documents"),
        ("GET", "/api/v1/adapters", None),
        ("POST", "/api/v1/adapters/medical/promote", "admin"),
        ("GET", "/api/v1/admin/anything", "admin"),
        ("POST", "/api/v1/not-yet-known", "admin"),
        ("PUT", "/", "admin"),
        ("POST", "/api/v1//translate", "admin"),
    ],
)
def test_what_is_not_listed_needs_most(method: str, path: str, scope: Scope | None) -> None:
    """A new route that changes something is closed to ordinary keys until somebody opens it."""
    needs = requirement_of(method, path)
    assert (needs.scope, needs.public) == (scope, False)


async def test_anonymous_callers_where_keys_are_optional(settings: AccessSettings) -> None:
    """They may what a key with the scope `translate` may, and no more; a wrong key is refused."""
    settings = settings.model_copy(update={"keys": "optional"})
    async with open_api(settings) as client:
        assert (await client.post("/translate", json=GOOD)).status_code == 200
        assert (await client.get("/languages")).status_code == 200
        key = await _key(settings, "translate")
        for method, path in (("DELETE", "/cache"), ("GET", "/glossaries"), ("DELETE", "/glossaries/medical")):
            assert (await client.request(method, path)).status_code == 401
            assert (await client.request(method, path, headers=key)).status_code == 403
        assert (await client.post("/translate", json=GOOD, headers={"X-API-Key": "wrong"})).status_code == 401


async def test_a_rate_limit_says_how_much_is_left_and_when_to_come_back(tmp_path: Path) -> None:
    """The standard headers on every answer; past the limit 429 with Retry-After; another client is not touched."""
    settings = AccessSettings(rate_limits={"translate": "2/hour"}, sqlite_file=str(tmp_path / "keys"))
    recorder = Recorder()
    async with open_api(settings, recorder=recorder) as client:
        answers = [await client.post("/translate", json=GOOD) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["1", "0", "0"]
        assert answers[0].headers["ratelimit-limit"] == "2"
        assert answers[0].headers["ratelimit-policy"] == "2;w=3600"
        assert 0 < int(answers[2].headers["retry-after"]) <= 3600
        assert answers[2].json()["error"]["code"] == "rate_limited"
        other = await client.post("/translate", json=GOOD, headers={"X-Forwarded-For": "198.51.100.7"})
        assert other.status_code == 200
        assert "ratelimit-limit" not in (await client.get("/languages")).headers
    assert recorder.total(metrics.RATE_LIMITED, endpoint="translate") == 1
    assert recorder.total(metrics.ERRORS, code="rate_limited") == 1


async def test_a_client_cannot_forge_its_address_with_a_line_of_its_own(tmp_path: Path) -> None:
    """`X-Forwarded-For` on several lines is one list, and the proxy's word is its last."""
    settings = AccessSettings(rate_limits={"translate": "1/hour"}, sqlite_file=str(tmp_path / "keys"))
    async with open_api(settings) as client:
        lines = [[("X-Forwarded-For", f"6.6.6.{forged}"), ("X-Forwarded-For", "198.51.100.7")] for forged in range(2)]
        statuses = [(await client.post("/translate", json=GOOD, headers=each)).status_code for each in lines]
    assert statuses == [200, 429]


async def test_a_star_limits_each_endpoint_that_is_not_named(tmp_path: Path) -> None:
    """One window per endpoint; probes are never counted."""
    settings = AccessSettings(rate_limits={"*": "1/hour"}, sqlite_file=str(tmp_path / "keys"))
    async with open_api(settings) as client:
        paths = ("/languages", "/models", "/languages", "/health/live", "/health/live")
        assert [(await client.get(path)).status_code for path in paths] == [200, 200, 429, 200, 200]


async def test_a_keys_own_quota(settings: AccessSettings) -> None:
    """Characters per month, with a code of its own; usage shows what is left of it."""
    small = await _key(settings, limits=KeyLimits(characters_per_month=10))
    async with open_api(settings) as client:
        answers = [await client.post("/translate", json=GOOD, headers=small) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 429]
        error = answers[1].json()["error"]
        assert error["code"] == "quota_exceeded"
        assert "10 characters a month; 6 are used, and this request has 6" in error["message"]
        assert int(answers[1].headers["retry-after"]) > 0
        shorter = {**GOOD, "text": "Hey."}
        assert (await client.post("/translate", json=shorter, headers=small)).status_code == 200
        usage = (await client.get("/usage", headers=small)).json()
    assert (usage["characters"], usage["limits"]["characters_per_month"]) == (10, 10)


async def test_a_request_that_failed_is_not_charged(settings: AccessSettings) -> None:
    """What did not translate costs nothing; a batch costs the items that were translated."""
    headers = await _key(settings)
    async with open_api(settings) as client:
        assert (await client.post("/translate", json={**GOOD, "text": "boom"}, headers=headers)).status_code == 500
        items = [GOOD, {**GOOD, "text": 5}, {**GOOD, "text": "boom"}, GOOD]
        await client.post("/batch-translate", json={"items": items}, headers=headers)
        assert (await client.get("/usage", headers=headers)).json()["characters"] == 12


class _Held:
    def __init__(self) -> None:
        self.arrived, self.released = asyncio.Event(), asyncio.Event()

    async def translate(self, segments: list[Segment]) -> list[Outcome]:
        self.arrived.set()
        await self.released.wait()
        return await ShoutingStation().translate(segments)


async def test_a_key_has_only_so_many_requests_under_way(settings: AccessSettings) -> None:
    """The second at the same time is refused; after the first has ended there is room again."""
    headers = await _key(settings, limits=KeyLimits(concurrent_requests=1))
    station = _Held()
    async with open_api(settings, station) as client:
        first = asyncio.create_task(client.post("/translate", json=GOOD, headers=headers))
        await station.arrived.wait()
        assert (await client.post("/translate", json=GOOD, headers=headers)).status_code == 429
        station.released.set()
        assert (await first).status_code == 200
        assert (await client.post("/translate", json=GOOD, headers=headers)).status_code == 200


async def test_a_key_may_name_only_its_adapters(settings: AccessSettings) -> None:
    """403 that names the field and what is allowed, per item in a batch; an allowed one is looked up as always."""
    headers = await _key(settings, limits=KeyLimits(adapters=("medical",)))
    items = [{**GOOD, "adapter": "legal@2"}, {**GOOD, "adapter": "medical@1"}, GOOD]
    async with open_api(settings) as client:
        response = await client.post("/translate", json=items[0], headers=headers)
        assert (response.status_code, response.json()["error"]["field"]) == (403, "adapter")
        assert "allowed: medical" in response.json()["error"]["message"]
        results = (await client.post("/batch-translate", json={"items": items}, headers=headers)).json()["results"]
    assert [each["error"] and each["error"]["code"] for each in results] == ["forbidden", "unknown_adapter", None]


async def test_browsers_of_other_sites_are_refused_unless_configured(settings: AccessSettings) -> None:
    """No CORS header by default; with an origin, its preflight passes without a key, and no other's does."""
    preflight = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,x-api-key"}
    ours = {**preflight, "Origin": "https://www.example.org"}
    async with open_api(settings) as client:
        assert "access-control-allow-origin" not in (await client.options("/translate", headers=ours)).headers
    async with open_api(settings.model_copy(update={"cors_origins": ("https://www.example.org",)})) as client:
        allowed = await client.options("/translate", headers=ours)
        assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, "https://www.example.org")
        foreign = await client.options("/translate", headers={**preflight, "Origin": "https://evil.example"})
        assert foreign.status_code == 400
        assert "access-control-allow-origin" not in foreign.headers


async def test_every_answer_has_the_security_headers(settings: AccessSettings) -> None:
    """Errors too; the page of the documentation may load its own script and no other answer may load anything."""
    async with open_api(settings) as client:
        for path in ("/translate", "/health/live", "http://test/docs"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert "frame-ancestors 'none'" in headers["content-security-policy"]
            assert ("script-src" in headers["content-security-policy"]) == path.endswith("docs")
            assert headers["cache-control"] == "no-store"


async def test_a_body_that_does_not_arrive_is_408(settings: AccessSettings) -> None:
    """A client that opens a request and goes silent holds nothing for long."""

    async def silent() -> AsyncIterator[bytes]:
        yield json.dumps(GOOD).encode()[:5]
        await asyncio.Event().wait()

    async with open_api(settings.model_copy(update={"keys": "none"})) as client:
        response = await client.post("/translate", content=silent(), headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json()["error"]["code"]) == (408, "body_timeout")


async def test_whoever_is_refused_has_no_body_read(settings: AccessSettings) -> None:
    """Without a key not a byte is taken in."""

    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    async with open_api(settings) as client:
        assert (await client.post("/translate", content=unread())).status_code == 401


def _break(file: Path) -> bytes:
    kept = file.read_bytes()
    file.unlink()
    file.mkdir()
    return kept


def _mend(file: Path, kept: bytes) -> None:
    file.rmdir()
    file.write_bytes(kept)


async def test_with_the_store_gone_known_keys_work_and_others_wait(
    settings: AccessSettings, caplog: pytest.LogCaptureFixture
) -> None:
    """Translations go on, uncounted for now; a key never seen gets 503; no log line shows a key."""
    known, unknown = await _key(settings), await _key(settings)
    async with open_api(settings) as client:
        assert (await client.post("/translate", json=GOOD, headers=known)).status_code == 200
        file = Path(settings.sqlite_file)
        kept = _break(file)
        assert (await client.post("/translate", json=GOOD, headers=known)).status_code == 200
        assert (await client.post("/translate", json=GOOD, headers=unknown)).status_code == 503
        _mend(file, kept)
        assert (await client.post("/translate", json=GOOD, headers=known)).status_code == 200
        assert (await client.get("/usage", headers=known)).json()["characters"] == 18
    assert not any(key["X-API-Key"].rsplit("_", 1)[1] in caplog.text for key in (known, unknown))


async def test_usage_without_a_key_is_nobodys(settings: AccessSettings) -> None:
    """Nothing is counted for anonymous callers."""
    async with open_api(settings.model_copy(update={"keys": "optional"})) as client:
        usage = (await client.get("/usage")).json()
    assert (usage["key"], usage["characters"]) == (None, 0)


async def test_a_full_disk_costs_no_request(settings: AccessSettings) -> None:
    """Usage that cannot be written is added when there is room again."""
    headers = await _key(settings)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    async with open_api(settings) as client:
        try:
            resource.setrlimit(resource.RLIMIT_FSIZE, (0, hard))
            full = await client.post("/translate", json=GOOD, headers=headers)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, handler)
        assert full.status_code == 200
        usage = (await client.get("/usage", headers=headers)).json()
        assert usage["characters"] == 0
        assert (await client.post("/translate", json=GOOD, headers=headers)).status_code == 200
        assert (await client.get("/usage", headers=headers)).json()["characters"] == 12
