"""What requests get: the catalog of a running service. An alias moves here only once every replica holds its version.

Knows what the registry says and what the replicas hold; not how either is found out.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from pipelines.adapters.checks import check_base
from pipelines.adapters.manifest import Manifest, split_version, version_name
from pipelines.adapters.view import AdapterView, RegistryView
from pipelines.errors import AdapterLanguageError, InvalidAdapterError, TranslationError, UnknownAdapterError

_LOGGER = logging.getLogger(__name__)
_MAX_SHOWN_CHARS = 80


@dataclass(frozen=True, slots=True)
class Traffic:
    """Which versions the requests for one name get.

    Attributes:
        live: Version of most requests; None if the name points nowhere.
        canary: Version on trial, or None.
        canary_percent: Its share.
        shadow_percent: Share of the others that it also translates.
    """

    live: int | None = None
    canary: int | None = None
    canary_percent: float = 0.0
    shadow_percent: float = 0.0


@dataclass(frozen=True, slots=True)
class _State:
    view: RegistryView
    traffic: Mapping[str, Traffic]
    base_revision: str | None


class ServedAdapters:
    """An `AdapterCatalog` that follows a registry. Safe from any thread: its state is replaced as a whole.

    Args:
        default_adapters: Adapter of requests that name none, by language pair.
    """

    def __init__(self, default_adapters: Mapping[str, str]) -> None:
        self._defaults = dict(default_adapters)
        self._missing_defaults: set[str] = set()
        self._state = _State(RegistryView({}), {}, None)

    @property
    def view(self) -> RegistryView:
        """The registry as it was seen last."""
        return self._state.view

    @property
    def traffic(self) -> Mapping[str, Traffic]:
        """What the requests for each name get."""
        return self._state.traffic

    @property
    def settled(self) -> bool:
        """Whether all names get what the registry wants them to get."""
        return all(
            adapter.problem is None and self._state.traffic.get(name) == _wanted(adapter)
            for name, adapter in self._state.view.adapters.items()
        )

    def update(self, view: RegistryView, held_by_all: frozenset[str], base_revision: str | None) -> None:
        """Let each name move to the version that the registry wants, if every replica holds it.

        Args:
            view: The registry now.
            held_by_all: Versions that every replica has loaded.
            base_revision: Of the model that is served; None if it is not known yet.
        """
        before = self._state.traffic
        traffic = {name: _moved(adapter, before.get(name), held_by_all) for name, adapter in view.adapters.items()}
        for name, now in traffic.items():
            if now != before.get(name):
                _LOGGER.info("adapter %s: %s", name, now, extra={"adapter": name})
        self._state = _State(view, traffic, base_revision or self._state.base_revision)

    def resolve(self, name: str | None, source_lang: str, target_lang: str, *, text: str, field: str) -> str | None:
        """See `AdapterCatalog`. A default that cannot be served leaves its requests to the base model."""
        pair = f"{source_lang}-{target_lang}"
        if name is not None:
            return self._resolve(name, pair, text, field).full_name
        default = self._defaults.get(pair)
        if default is None:
            return None
        try:
            version = self._resolve(default, pair, text, f"model.default_adapters.{pair}").full_name
        except TranslationError as error:
            if pair not in self._missing_defaults:
                _LOGGER.warning("%s; such requests get the base model", error.message)
            self._missing_defaults.add(pair)
            return None
        self._missing_defaults.discard(pair)
        return version

    def candidate(self, name: str, version: str, source_lang: str, target_lang: str, text: str) -> str | None:
        """Return the version that is to translate a text as well, for comparison, after `version` did."""
        traffic = self._state.traffic.get(name, Traffic())
        if traffic.canary is None or traffic.live is None or version != version_name(name, traffic.live):
            return None
        candidate = version_name(name, traffic.canary)
        pair = f"{source_lang}-{target_lang}"
        return candidate if in_share("shadow", candidate, pair, text, traffic.shadow_percent) else None

    def problems(self) -> list[str]:
        """Return what cannot be served as it was meant to."""
        found = [
            reason
            for adapter in self._state.view.adapters.values()
            for reason in (*adapter.damaged.values(), *([adapter.problem] if adapter.problem else []))
        ]
        return found + [f"model.default_adapters.{pair} is not served" for pair in sorted(self._missing_defaults)]

    def _resolve(self, asked: str, pair: str, text: str, field: str) -> Manifest:
        state = self._state
        name, number = split_version(asked)
        adapter = state.view.adapters.get(name)
        if adapter is None:
            exist = ", ".join(state.view.adapters) or "none"
            raise UnknownAdapterError(
                f"{field}: no adapter is called {asked[:_MAX_SHOWN_CHARS]!r}; there are {exist}", field=field
            )
        if number is None:
            manifest = _by_alias(adapter, state.traffic.get(name, Traffic()), pair, text, field)
        else:
            manifest = _by_number(adapter, number, field)
        if state.base_revision is not None:
            check_base(manifest, state.base_revision, field=field)
        if pair not in manifest.language_pairs:
            accepted = ", ".join(manifest.language_pairs)
            raise AdapterLanguageError(
                f"{field}: {manifest.full_name} does not translate {pair}; it was trained for {accepted}", field=field
            )
        return manifest


def in_share(salt: str, version: str, pair: str, text: str, percent: float) -> bool:
    """Whether a request belongs to the share of a version on trial.

    The key is the text with its language pair and the version, and nothing of the caller: the same text is always on
    the same side, and a larger share only adds texts to a smaller one.
    """
    if percent <= 0:
        return False
    key = json.dumps([salt, version, pair, text]).encode()
    place = int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "big") / 2**64
    return place * 100 < percent


def _wanted(adapter: AdapterView) -> Traffic:
    record = adapter.record
    if record is None:
        return Traffic()
    return Traffic(record.live, record.canary, record.canary_percent, record.shadow_percent)


def _moved(adapter: AdapterView, before: Traffic | None, held_by_all: frozenset[str]) -> Traffic:
    """What is wanted, as far as all replicas hold it; else what there was."""
    if adapter.problem is not None and before is not None:
        return before
    wanted = _wanted(adapter)

    def held(version: int | None) -> bool:
        return version is not None and version_name(adapter.name, version) in held_by_all

    live = wanted.live
    if live is not None and not held(live):
        if before is not None and before.live is not None and not adapter.retired(before.live):
            live = before.live
        else:
            # Nothing was served yet, or it was retired since: the latest that can be, or else the one that is wanted,
            # loaded by its first use.
            earlier = adapter.record.earlier if adapter.record is not None else ()
            live = next((version for version in reversed(earlier) if held(version)), live)
    on_trial = before is not None and wanted.canary == before.canary  # a replica that does not answer ends no trial
    if wanted.canary is None or not (on_trial or held(wanted.canary)):
        return Traffic(live)
    return Traffic(live, wanted.canary, wanted.canary_percent, wanted.shadow_percent)


def _by_number(adapter: AdapterView, number: int, field: str) -> Manifest:
    version = version_name(adapter.name, number)
    if adapter.retired(number):
        raise UnknownAdapterError(f"{field}: {version} is retired; there are {_existing(adapter)}", field=field)
    if number in adapter.damaged:
        raise InvalidAdapterError(f"{field}: {adapter.damaged[number]}", field=field)
    if number not in adapter.manifests:
        raise UnknownAdapterError(f"{field}: there is no {version}; there are {_existing(adapter)}", field=field)
    return adapter.manifests[number]


def _by_alias(adapter: AdapterView, traffic: Traffic, pair: str, text: str, field: str) -> Manifest:
    canary = None if traffic.canary is None else adapter.manifests.get(traffic.canary)
    if (
        canary is not None
        and pair in canary.language_pairs
        and in_share("canary", canary.full_name, pair, text, traffic.canary_percent)
    ):
        return canary
    if traffic.live is None:
        raise UnknownAdapterError(
            f"{field}: {adapter.name} points to no version; there are {_existing(adapter)}", field=field
        )
    live = adapter.manifests.get(traffic.live)
    if live is None:
        raise InvalidAdapterError(
            f"{field}: {adapter.damaged.get(traffic.live, 'its live version is not in the registry')}", field=field
        )
    return live


def _existing(adapter: AdapterView) -> str:
    numbers = [number for number in adapter.manifests if not adapter.retired(number)]
    return ", ".join(version_name(adapter.name, number) for number in numbers) or "no others"
