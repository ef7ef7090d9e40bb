"""Which adapters may be asked for. Resolves what a request names to one immutable version."""

from __future__ import annotations

from typing import Protocol

from pipelines.errors import UnknownAdapterError


class AdapterCatalog(Protocol):
    """Knows the adapters that may be served. Quick, and safe from any thread."""

    def resolve(self, name: str | None, source_lang: str, target_lang: str, *, text: str, field: str) -> str | None:
        """Return the version (`medical@3`) that translates a text, or None for the base model.

        Args:
            name: What the request names: an alias, a version, or nothing.
            source_lang: FLORES-200 code.
            target_lang: FLORES-200 code.
            text: The request's text: a trial of a new version takes a share of the texts.
            field: The request's field, for messages.

        Raises:
            UnknownAdapterError: No such adapter; the message names those that exist.
            AdapterLanguageError: It was not trained for these languages.
            AdapterBaseError: It was trained on another base model.
        """
        ...


class NoAdapters:
    """A catalog without entries: the base model alone is served."""

    def resolve(self, name: str | None, source_lang: str, target_lang: str, *, text: str, field: str) -> str | None:
        """Refuse every name."""
        if name is None:
            return None
        raise UnknownAdapterError(
            f"{field}: no adapter is called {name[:80]!r}; this service has none, leave the field out", field=field
        )
