"""The page of the documentation works without a key and without the internet, and says how a key is shown."""

from __future__ import annotations

import re

from configs.schema import AccessSettings
from tests.unit.deployments.access.conftest import open_api


async def test_the_page_loads_nothing_from_elsewhere(settings: AccessSettings) -> None:
    """`/` leads to it; script, style and icon are the service's own, and are there; so is what it may load."""
    async with open_api(settings) as client:
        page = await client.get("http://test/", follow_redirects=True)
        assert (page.status_code, page.url.path) == (200, "/docs")
        assert "http" not in page.headers["content-security-policy"]
        addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(addresses) == 3
        for address in addresses:
            found = await client.get(page.url.join(address))
            assert page.url.join(address).host == page.url.host
            assert (found.status_code, bool(found.content)) == (200, True), address


async def test_the_document_says_how_a_key_is_shown(settings: AccessSettings) -> None:
    """In either header, or not at all: what makes clients of it, and the page's own requests, can then send one."""
    async with open_api(settings) as client:
        document = (await client.get("http://test/openapi.json")).json()
    schemes = document["components"]["securitySchemes"]
    assert document["security"] == [{}, *({name: []} for name in schemes)]
    assert [(each["type"], each.get("name", each.get("scheme"))) for each in schemes.values()] == [
        ("http", "bearer"),
        ("apiKey", "X-API-Key"),
    ]
