"""Adapters from their publication to a request: versions, aliases, the registry that keeps them. Loads no torch."""

from pipelines.adapters.alias import Alias
from pipelines.adapters.catalog import AdapterCatalog, LoadedAdapters
from pipelines.adapters.manifest import Manifest, ManifestDraft
from pipelines.adapters.registry import AdapterRegistry

__all__ = ["AdapterCatalog", "AdapterRegistry", "Alias", "LoadedAdapters", "Manifest", "ManifestDraft"]
