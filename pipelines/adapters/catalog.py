"""Which adapters may be asked for. Resolves what a request names to one immutable version."""

from __future__ import annotations

from collections.abc import Collection, Mapping
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


class LoadedAdapters:
    """A catalog of adapters that an engine has loaded under the names that are asked for, and keeps; or of none.

    Args:
        names: Of the adapters.
        default_adapters: Adapter of requests that name none, by language pair.
    """

    def __init__(self, names: Collection[str] = (), default_adapters: Mapping[str, str] | None = None) -> None:
        self._names = names
        self._defaults = default_adapters or {}

    def resolve(self, name: str | None, source_lang: str, target_lang: str, *, text: str, field: str) -> str | None:
        """See `AdapterCatalog`; what language pairs they were trained for is up to the caller."""
        if name is None:
            return self._defaults.get(f"{source_lang}-{target_lang}")
        if name not in self._names:
            exist = ", ".join(sorted(self._names)) or "none, leave the field out"
            raise UnknownAdapterError(f"{field}: no adapter is called {name[:80]!r}; there are {exist}", field=field)
        return name
