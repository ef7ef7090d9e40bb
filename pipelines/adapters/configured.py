"""From the configuration to a registry. The one place of this package that reads settings."""

from __future__ import annotations

from pathlib import Path

from configs.loader import ROOT
from configs.schema import AdapterSettings
from pipelines.adapters.registry import AdapterRegistry
from pipelines.engine.checkpoint import cache_folder


def open_registry(settings: AdapterSettings) -> AdapterRegistry | None:
    """Return the registry that the settings name, or None if they name none.

    Raises:
        StartupError: Its protocol cannot be used.
    """
    return None if settings.registry is None else AdapterRegistry(resolve_uri(settings.registry))


def resolve_uri(uri: str) -> str:
    """Return a registry's address; a relative folder is one of the checkout, wherever the process runs."""
    return uri if "://" in uri else str(ROOT / Path(uri).expanduser())


def copies_folder(settings: AdapterSettings) -> Path:
    """Return where verified copies are kept; it may always be deleted."""
    if settings.copies_dir is None:
        return cache_folder() / "adapters"
    return ROOT / Path(settings.copies_dir).expanduser()
