"""`GET /metrics`: the metrics of the whole application, from all nodes of the cluster."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import aiohttp
import ray
from prometheus_client.metrics_core import Metric

from deployments.shared_answer import SharedAnswer
from monitoring.exposition import encode, merge
from pipelines.errors import UnavailableError

_LOGGER = logging.getLogger(__name__)
_TIMEOUT_S = 5.0


class MetricsPage(Protocol):
    """What `GET /metrics` answers with."""

    async def render(self, accept: str) -> tuple[bytes, str]:
        """Return the text and its media type for a client that accepts these.

        Raises:
            UnavailableError: No node can be asked.
        """
        ...


class ClusterMetrics:
    """Asks every node's agent, and gives the same answer to all who ask within a few seconds.

    Args:
        list_addresses: Returns `host:port` of each node's agent.
        cache_s: How long an answer is good for.
    """

    def __init__(
        self, list_addresses: Callable[[], Awaitable[Sequence[str]]] | None = None, *, cache_s: float = 3.0
    ) -> None:
        self._list_addresses = list_addresses or node_addresses
        self._families = SharedAnswer(self._ask_all, cache_s)

    async def render(self, accept: str) -> tuple[bytes, str]:
        """See `MetricsPage`."""
        return encode(await self._families.get(), accept)

    async def _ask_all(self) -> list[Metric]:
        addresses = await self._list_addresses()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=_TIMEOUT_S)) as session:
            texts = await asyncio.gather(*(_ask(session, address) for address in addresses))
        answered = [text for text in texts if text is not None]
        if not answered:
            raise UnavailableError("no node of the cluster answers with its metrics", retry_after_s=1.0)
        return await asyncio.to_thread(merge, answered)


async def node_addresses() -> list[str]:
    """Return where the living nodes of this Ray cluster expose their metrics."""
    nodes = await asyncio.to_thread(ray.nodes)  # it blocks on the cluster's store
    return [f"{node['NodeManagerAddress']}:{node['MetricsExportPort']}" for node in nodes if node["Alive"]]


async def _ask(session: aiohttp.ClientSession, address: str) -> str | None:
    try:
        async with session.get(f"http://{address}/metrics") as response:
            response.raise_for_status()
            return await response.text()
    except (aiohttp.ClientError, TimeoutError) as error:
        # Its counters are missing from this answer; `rate` takes that for a restart, and it is better than none.
        _LOGGER.warning("the metrics of node %s cannot be read: %r", address, error)
        return None
