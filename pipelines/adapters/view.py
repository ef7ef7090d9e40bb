"""One look at a registry: all that whoever serves adapters has to know of it, as immutable values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.adapters.alias import AliasRecord
from pipelines.adapters.manifest import Manifest, version_name
from pipelines.adapters.registry import AdapterRegistry
from pipelines.errors import InvalidAdapterError, InvalidRequestError


@dataclass(frozen=True, slots=True)
class AdapterView:
    """One adapter.

    Attributes:
        name: Its alias.
        manifests: Its versions by number, retired ones included.
        damaged: Versions whose manifest cannot be used, and why.
        record: State of its alias; None if it never pointed anywhere or cannot be read.
        problem: Why its alias cannot be read, or None.
    """

    name: str
    manifests: Mapping[int, Manifest]
    damaged: Mapping[int, str]
    record: AliasRecord | None
    problem: str | None = None

    @property
    def served(self) -> tuple[int, ...]:
        """Versions that requests for the name are meant to get: the live one, then the canary."""
        if self.record is None:
            return ()
        return tuple(each for each in (self.record.live, self.record.canary) if each is not None)

    @property
    def spare(self) -> tuple[int, ...]:
        """Versions that may be needed next: where a rollback goes, then the newest."""
        earlier = self.record.earlier[-1:] if self.record is not None else ()
        newest = tuple(sorted(self.manifests)[-1:])
        return tuple(
            dict.fromkeys(each for each in earlier + newest if each not in self.served and not self.retired(each))
        )

    def retired(self, version: int) -> bool:
        """Whether a version is not to be served any more."""
        return self.record is not None and version in self.record.retired


@dataclass(frozen=True, slots=True)
class RegistryView:
    """All adapters, by name."""

    adapters: Mapping[str, AdapterView]

    def manifest(self, name: str, version: int) -> Manifest | None:
        """Return what is known of a version, if it is sound."""
        adapter = self.adapters.get(name)
        return None if adapter is None else adapter.manifests.get(version)


def read_view(registry: AdapterRegistry) -> RegistryView:
    """Look at a registry. What was read before is not read again, so a second look costs two listings.

    Raises:
        UnavailableError: It cannot be read.
    """
    listing = registry.listing()
    return RegistryView(
        {
            name: _read_adapter(registry, name, listing.versions[name], listing.records.get(name))
            for name in listing.names
        }
    )


def read_manifests(
    registry: AdapterRegistry, name: str, versions: Sequence[int]
) -> tuple[dict[int, Manifest], dict[int, str]]:
    """Return what is known of an adapter's versions, and why the others' manifests cannot be used.

    Raises:
        UnavailableError: The registry cannot be read.
    """
    manifests: dict[int, Manifest] = {}
    damaged: dict[int, str] = {}
    for version in versions:
        try:
            manifests[version] = registry.manifest(name, version)
        except InvalidRequestError as error:  # damaged, or gone since it was listed
            damaged[version] = error.message
    return manifests, damaged


def _read_adapter(
    registry: AdapterRegistry, name: str, versions: tuple[int, ...], newest_record: int | None
) -> AdapterView:
    manifests, damaged = read_manifests(registry, name, versions)
    record, problem = None, None
    if newest_record is not None:
        try:
            record = registry.alias_record(name, newest_record)
        except InvalidAdapterError as error:
            problem = error.message
    reasons = {version: f"{version_name(name, version)}: {reason}" for version, reason in damaged.items()}
    return AdapterView(name, manifests, reasons, record, problem)
