"""One look at a registry."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pipelines.adapters import AdapterRegistry
from pipelines.adapters.view import read_view
from tests.adapter_files import draft


def test_what_an_alias_names_is_known_while_others_publish(registry: AdapterRegistry, adapter: Path) -> None:
    """A version that is published and goes live during a look is seen with its manifest, or not at all."""

    def publish() -> None:
        publisher = AdapterRegistry(registry.uri)
        for _ in range(60):
            publisher.promote("medical", publisher.publish("medical", adapter, draft()).version)

    with ThreadPoolExecutor(1) as thread:
        publishing = thread.submit(publish)
        while not publishing.done():
            for seen in read_view(registry).adapters.values():
                assert set(seen.served) <= set(seen.manifests)
        publishing.result()
