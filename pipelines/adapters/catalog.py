"""Which adapters exist. Resolves what a request names to one immutable version."""

from __future__ import annotations

from typing import Protocol

from pipelines.errors import UnknownAdapterError


class AdapterCatalog(Protocol):
    """Knows the adapters that may be served."""

    def resolve(self, name: str, source_lang: str, target_lang: str, *, field: str) -> str:
        """Return the version (`medical@3`) that an alias or a version means for a language pair.

        Raises:
            UnknownAdapterError: No such adapter; the message names those that exist.
        """
        ...


class NoAdapters:
    """A catalog without entries: the base model alone is served."""

    def resolve(self, name: str, source_lang: str, target_lang: str, *, field: str) -> str:
        """Refuse every name."""
        raise UnknownAdapterError(
            f"{field}: no adapter is called {name!r}; this service has none, leave the field out", field=field
        )
