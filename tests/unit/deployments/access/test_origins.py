"""What a page of another site can make a browser send without asking is not done."""

from __future__ import annotations

import pytest

from configs.schema import AccessSettings
from deployments.access.configured import configured_access
from deployments.api import create_api
from tests.http_api import client_of, make_service
from tests.unit.deployments.access.conftest import GOOD

OURS = "https://www.example.org"
PROFILE = "/admin/profile?seconds=0.5"


async def _status(path: str, headers: dict[str, str], body: bytes = b"") -> int:
    """What a service without keys, which knows one site, answers to a POST."""
    access = configured_access(AccessSettings(cors_origins=(OURS,)))
    async with client_of(create_api(make_service(), access=access)) as client:
        return (await client.post(path, content=body, headers=headers)).status_code


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain"},
        {"Origin": "https://evil.example", "Content-Type": "text/plain; a=application/json"},
        {"Origin": "null"},
        {"Origin": "http://test:81"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
async def test_a_page_of_another_site_is_refused(headers: dict[str, str]) -> None:
    """By its origin, by what the browser says of it, or where it hides its origin."""
    assert await _status(PROFILE, headers) == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "http://test"},
        {"Origin": "https://test"},  # what ends TLS is in front
        {"Origin": "https://public.example", "Sec-Fetch-Site": "same-origin"},  # and so is what hides the host
        {"Origin": OURS, "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
async def test_programs_own_pages_and_sites_that_are_named_are_not(headers: dict[str, str]) -> None:
    """Nothing changes for `curl`, for the page of the documentation, and for `access.cors_origins`."""
    assert await _status(PROFILE, headers) == 200


async def test_what_a_browser_asks_about_first_is_left_to_its_answer() -> None:
    """JSON from another site has had its preflight: what answers that, maybe a proxy, has decided."""
    headers = {"Origin": "https://evil.example", "Content-Type": "application/json; charset=utf-8"}
    body = b'{"text": "Hello.", "source_lang": "en", "target_lang": "es"}'
    assert await _status("/translate", headers, body) == 200
    assert await _status("/translate", {**headers, "Content-Type": "text/plain"}, body) == 403


async def test_a_refusal_is_an_error_like_all_others() -> None:
    """One JSON shape that names the origin and the setting, with the id that the answer has."""
    async with client_of(create_api(make_service())) as client:
        response = await client.post("/translate", content=str(GOOD), headers={"Origin": "https://evil.example"})
    error = response.json()["error"]
    assert (error["code"], error["request_id"]) == ("forbidden", response.headers["x-request-id"])
    assert "https://evil.example" in error["message"]
    assert "access.cors_origins" in error["message"]
