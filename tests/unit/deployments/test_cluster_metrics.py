"""`GET /metrics` over real nodes' stand-ins: small HTTP servers on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from pydantic import SecretStr

from deployments.api import create_api
from deployments.cluster_metrics import ClusterMetrics
from tests.http_api import client_of, make_service


class Nodes:
    """Two agents that count how often they are asked, and one address where nobody listens."""

    def __init__(self) -> None:
        self.num_asked = 0
        self.addresses: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        """Expose one counter."""
        self.num_asked += 1
        text = "# HELP ray_nllb_x_total X.\n# TYPE ray_nllb_x_total counter\n"
        return web.Response(text=f'{text}ray_nllb_x_total{{replica="{request.url.port}"}} 1.0\n')


@pytest.fixture
async def nodes() -> AsyncIterator[Nodes]:
    """Agents that run."""
    nodes = Nodes()
    servers = []
    for _ in range(2):
        app = web.Application()
        app.router.add_get("/metrics", nodes.answer)
        server = TestServer(app)
        await server.start_server()
        servers.append(server)
        nodes.addresses.append(f"{server.host}:{server.port}")
    yield nodes
    for server in servers:
        await server.close()


def _client(page: ClusterMetrics | None, token: str | None = None) -> httpx.AsyncClient:
    api = create_api(make_service(), metrics_page=page, metrics_token=SecretStr(token) if token else None)
    return client_of(api, "")


def _page(addresses: list[str], cache_s: float = 60.0) -> ClusterMetrics:
    async def list_addresses() -> list[str]:
        return addresses

    return ClusterMetrics(list_addresses, cache_s=cache_s)


async def test_all_nodes_in_one_text_asked_once(nodes: Nodes) -> None:
    """Whoever asks again within the time gets the same answer."""
    async with _client(_page(nodes.addresses)) as client:
        answers = [await client.get("/metrics") for _ in range(3)]
    assert {answer.text.count("ray_nllb_x_total{") for answer in answers} == {2}
    assert answers[0].headers["content-type"].startswith("text/plain")
    assert nodes.num_asked == 2


async def test_a_dead_node_takes_nothing_from_the_others(nodes: Nodes) -> None:
    """Its series are missing; the rest is there. With none left it is 503."""
    async with _client(_page([*nodes.addresses, "127.0.0.1:1"])) as client:
        assert (await client.get("/metrics")).text.count("ray_nllb_x_total{") == 2
    for page in (_page(["127.0.0.1:1"]), None):
        async with _client(page) as client:
            assert (await client.get("/metrics")).status_code == 503


@pytest.mark.parametrize(
    ("header", "status"), [(None, 401), ("Bearer wrong", 401), ("secret", 401), ("Bearer secret", 200)]
)
async def test_a_token_is_asked_for(nodes: Nodes, header: str | None, status: int) -> None:
    """With a token configured, only who shows it reads; the answer has the one shape of errors."""
    async with _client(_page(nodes.addresses), "secret") as client:
        response = await client.get("/metrics", headers={"Authorization": header} if header else {})
    assert response.status_code == status
    if status == 401:
        assert response.json()["error"]["code"] == "unauthenticated"
        assert response.headers["www-authenticate"] == "Bearer"
        assert nodes.num_asked == 0
