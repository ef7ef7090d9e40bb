"""Keeps the versions of adapters and the aliases that point to them, in a folder or an object store.

    adapters/<name>/<version>/adapter_config.json, adapter_model.safetensors, manifest.json
    aliases/<name>/00000001.json, 00000002.json, ...

Files are only ever created, each whole or not at all, and never changed. The first file of a version is the claim on
its number, the manifest is its publication. The newest record of an alias is its state.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pipelines.adapters import alias as changes
from pipelines.adapters.alias import ANYTHING, Alias, AliasRecord, Anything, alias_of
from pipelines.adapters.alias_log import AliasLog, record_path
from pipelines.adapters.checks import check_folder, describe_files
from pipelines.adapters.copies import copied_manifest, download, keep_copy
from pipelines.adapters.listing import Listing, list_all, list_claimed, list_published
from pipelines.adapters.manifest import (
    MANIFEST_FILE,
    Manifest,
    ManifestDraft,
    check_name,
    complete,
    file_path,
    version_name,
)
from pipelines.adapters.store import CreateOnlyStore
from pipelines.breaker import CircuitBreaker
from pipelines.engine.adapter_config import CONFIG_FILE, WEIGHTS_FILE
from pipelines.errors import (
    AdapterConflictError,
    InvalidAdapterError,
    TranslationError,
    UnavailableError,
    UnknownAdapterError,
)

_MAX_MANIFEST_BYTES = 1 << 20
_MAX_ATTEMPTS = 1000


class AdapterRegistry:
    """A registry at a URI. Usable from any thread and any number of processes and machines at once.

    Args:
        uri: A folder, `file://`, `s3://bucket/prefix` or `gs://bucket/prefix`. It need not exist yet.
        now: Clock of what is written.
        breaker: Leaves the store alone while it does not answer.

    Raises:
        StartupError: The URI's protocol cannot be used.
    """

    def __init__(
        self,
        uri: str,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        breaker: CircuitBreaker | None = None,
    ) -> None:
        self._store = CreateOnlyStore(uri, breaker)
        self._now = now
        self._aliases = AliasLog(self._store, now)
        # A manifest is never changed, so it is read once.
        self._manifests: dict[tuple[str, int], Manifest] = {}

    @property
    def uri(self) -> str:
        """Where it is."""
        return self._store.uri

    @property
    def breaker(self) -> CircuitBreaker:
        """Whether the store is left alone at the moment."""
        return self._store.breaker

    @property
    def num_retries(self) -> int:
        """Reads of the store that were made again after they failed."""
        return self._store.num_retries

    def publish(self, name: str, folder: Path, draft: ManifestDraft) -> Manifest:
        """Make a new version of a folder in peft's format. It has a number of its own; no alias moves.

        Whatever happens on the way, there is a whole version afterwards or none.

        Raises:
            InvalidRequestError: The name is not accepted.
            InvalidAdapterError: The files are not what the draft says; nothing was published.
            AdapterConflictError: Another wrote files of the version that this one had claimed; nothing was published.
            UnavailableError: The store cannot be written.
        """
        check_name(name)
        check_folder(folder, draft)
        files = describe_files(folder)
        version = self._claim(name, (folder / CONFIG_FILE).read_bytes())
        manifest = complete(draft, name, version, self._now(), files)
        contents = {WEIGHTS_FILE: (folder / WEIGHTS_FILE).read_bytes(), MANIFEST_FILE: manifest.to_json()}
        for file, content in contents.items():
            try:
                self._store.create(file_path(name, version, file), content)
            except FileExistsError:
                raise AdapterConflictError(
                    f"{manifest.full_name}: another wrote its {file} meanwhile; publish again, as a new version"
                ) from None
        return manifest

    def listing(self) -> Listing:
        """Return which versions and alias records exist.

        Raises:
            UnavailableError: The store cannot be read.
        """
        return list_all(self._store)

    def names(self) -> list[str]:
        """Return the adapters that have a version, sorted."""
        return list(self.listing().names)

    def versions(self, name: str) -> list[int]:
        """Return the published versions of an adapter, the oldest first; none if it does not exist."""
        return list_published(self._store, check_name(name))

    def manifest(self, name: str, version: int, *, copies: Path | None = None) -> Manifest:
        """Return what is known of a version.

        Args:
            name: Of the adapter.
            version: Its number.
            copies: Folder of copies (see `fetch`) that are believed while the store's cannot be read.

        Raises:
            UnknownAdapterError: There is no such version.
            InvalidAdapterError: Its manifest is damaged, or may not be read.
            UnavailableError: The store cannot be read.
        """
        if (name, version) not in self._manifests:
            try:
                self._manifests[name, version] = self._read_manifest(name, version)
                self._store.rely_on(file_path(name, version, MANIFEST_FILE))
            except (UnavailableError, InvalidAdapterError):
                copied = None if copies is None else copied_manifest(self._store, copies, name, version)
                if copied is None:
                    raise
                self._manifests[name, version] = copied
        return self._manifests[name, version]

    def alias(self, name: str) -> Alias | None:
        """Return what a name points to and how it came to that, or None if it never pointed anywhere.

        Raises:
            InvalidAdapterError: A record is damaged.
        """
        records = self._aliases.records(check_name(name))
        return alias_of(name, records) if records else None

    def alias_record(self, name: str, number: int) -> AliasRecord:
        """Return one record of an alias' log, as `listing` counts them; read once.

        Raises:
            InvalidAdapterError: It is damaged, or may not be read.
        """
        record = self._aliases.record(name, number)
        # A record does not say whose it is: it may be a copy's, which somebody removes again.
        if any(known == name for known, _ in list(self._manifests)):
            self._store.rely_on(record_path(name, number))
        return record

    def promote(self, name: str, version: int, *, expected_live: int | Anything | None = ANYTHING) -> Alias:
        """Let a name point to a version.

        Args:
            name: The alias.
            version: What is to be live.
            expected_live: What must be live until now (None: nothing); left out, anything may.

        Raises:
            UnknownAdapterError: There is no such version.
            AdapterConflictError: It is retired, or another version was live than expected.
        """
        self.manifest(name, version)
        return self._aliases.change(
            name, "promote", version, lambda last: changes.promoted(name, last, version, expected_live)
        )

    def rollback(self, name: str) -> Alias:
        """End the trial of a canary; where there is none, return to the version that was live before.

        Raises:
            UnknownAdapterError: There is no such adapter.
            AdapterConflictError: There is nothing to go back to.
        """
        if not self.versions(name):
            raise self.unknown_name(name)
        return self._aliases.change(name, "rollback", None, lambda last: changes.rolled_back(name, last))

    def withdraw(self, name: str) -> Alias:
        """Let a name point to no version, until one is promoted or rolled back to. Each is still served by its number.

        Raises:
            UnknownAdapterError: There is no such adapter.
            AdapterConflictError: Nothing is live.
        """
        if not self.versions(name):
            raise self.unknown_name(name)
        return self._aliases.change(name, "withdraw", None, lambda last: changes.withdrawn(name, last))

    def canary(self, name: str, version: int, percent: float, *, shadow_percent: float = 0.0) -> Alias:
        """Try a version on a share of the requests; with `percent` 0 and a `shadow_percent`, without serving it.

        Raises:
            UnknownAdapterError: There is no such version.
            InvalidRequestError: A percentage is not within 0 and 100.
            AdapterConflictError: It is retired or live, or nothing is live.
        """
        self.manifest(name, version)
        return self._aliases.change(
            name, "canary", version, lambda last: changes.on_trial(name, last, version, percent, shadow_percent)
        )

    def retire(self, name: str, version: int) -> Alias:
        """Serve a version no more. Its files stay.

        Raises:
            UnknownAdapterError: There is no such version.
            AdapterConflictError: It is live or on trial.
        """
        self.manifest(name, version)
        return self._aliases.change(name, "retire", version, lambda last: changes.retired(name, last, version))

    def verify(self, name: str, version: int) -> Manifest:
        """Read a version again, hold it against its manifest, and return that.

        Raises:
            UnknownAdapterError: There is no such version.
            InvalidAdapterError: It is not what its manifest says; the message says in what.
            UnavailableError: The store cannot be read.
        """
        manifest = self._read_manifest(name, version)
        with tempfile.TemporaryDirectory() as folder:
            download(self._store, manifest, Path(folder))
        return manifest

    def fetch(self, name: str, version: int, folder: Path) -> Path:
        """Return a verified copy of a version below a folder of this machine, `<folder>/<name>@<version>`.

        A copy that is there and still what its manifest says is not fetched again, nor is the store asked for it where
        it cannot be read. Processes may share the folder.

        Raises:
            UnknownAdapterError: There is no such version.
            InvalidAdapterError: It is not what its manifest says.
            UnavailableError: The store cannot be read.
        """
        return keep_copy(self._store, self.manifest(name, version, copies=folder), folder)

    def unknown_name(self, name: str) -> UnknownAdapterError:
        """Return the error that names the adapters there are."""
        exist = ", ".join(self.names()) or "none"
        return UnknownAdapterError(f"no adapter is called {name!r}; there are {exist}", field="adapter")

    def _claim(self, name: str, config: bytes) -> int:
        """Take the next free number by creating the first file of its version."""
        version = 1 + max(list_claimed(self._store, name), default=0)
        for candidate in range(version, version + _MAX_ATTEMPTS):
            with suppress(FileExistsError):
                # Two publishers may have the same configuration: a number that looks claimed is another's.
                self._store.create(file_path(name, candidate, CONFIG_FILE), config, contested=True)
                return candidate
        raise UnavailableError(f"no free version of {name} was found from {version} on", retry_after_s=1.0)

    def _read_manifest(self, name: str, version: int) -> Manifest:
        check_name(name)
        try:
            content = self._store.read(file_path(name, version, MANIFEST_FILE), _MAX_MANIFEST_BYTES)
        except FileNotFoundError:
            raise self._unknown(name, version) from None
        except (PermissionError, ValueError) as error:
            raise InvalidAdapterError(str(error), field=MANIFEST_FILE) from None
        return Manifest.from_json(content, name, version)

    def _unknown(self, name: str, version: int) -> TranslationError:
        found = self.versions(name)
        if not found:
            return self.unknown_name(name)
        if version in found:  # a link to nothing, for example
            return InvalidAdapterError(f"{MANIFEST_FILE}: is listed and cannot be found", field=MANIFEST_FILE)
        exist = ", ".join(version_name(name, each) for each in found)
        return UnknownAdapterError(f"there is no {version_name(name, version)}; there are {exist}", field="adapter")
