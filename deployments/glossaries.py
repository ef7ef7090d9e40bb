"""Stored glossaries: what the routes do with the store, and how a request finds the glossary that it names."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from cachetools import LRUCache

from configs.schema import GlossarySettings
from deployments.schemas import TranslateRequest
from deployments.schemas import glossaries as schemas
from pipelines.errors import (
    GlossaryExistsError,
    InvalidRequestError,
    TooManyItemsError,
    TranslationError,
    UnknownGlossaryError,
    UnsupportedOptionError,
)
from pipelines.glossaries.record import GlossaryVersion, check_glossary_id, split_name
from pipelines.glossaries.redis_store import RedisGlossaryStore
from pipelines.glossaries.store import GlossaryStore, SqliteGlossaryStore
from pipelines.glossaries.tables import read_table
from pipelines.shared_redis import SharedRedis
from pipelines.stages.plan import AUTO
from pipelines.text.glossary import Glossary
from pipelines.text.languages import resolve_language

_MAX_READY = 64
_Name: TypeAlias = tuple[str, int | None]
_Known: TypeAlias = GlossaryVersion | list[int]  # what a name stands for, or the versions that there are instead


class Glossaries:
    """The glossaries of a service.

    Args:
        store: Keeps them.
        max_terms: Most terms of one.
    """

    def __init__(self, store: GlossaryStore, *, max_terms: int) -> None:
        self.store = store
        self._max_terms = max_terms
        # A version never changes, so what was made ready of it stays true.
        self._ready: LRUCache[tuple[str, float], Glossary] = LRUCache(_MAX_READY)

    async def create(self, body: schemas.GlossaryCreate) -> GlossaryVersion:
        """Write the first version of a glossary.

        Raises:
            GlossaryExistsError: There is one of that name.
            InvalidRequestError: Something of it is not accepted; the message names the field.
        """
        check_glossary_id(body.id, "id")
        created = await self.store.create(self._version(body.id, body))
        if created is None:
            raise GlossaryExistsError(
                f"id: there is a glossary {body.id!r}; PUT /glossaries/{body.id} writes a new version of it", field="id"
            )
        return created

    async def replace(self, glossary_id: str, body: schemas.GlossaryBody) -> GlossaryVersion:
        """Write a new version of a glossary.

        Raises:
            UnknownGlossaryError: There is none of that name.
            InvalidRequestError: Something of it is not accepted.
        """
        check_glossary_id(glossary_id, "glossary_id")
        added = await self.store.add(self._version(glossary_id, body))
        if added is None:
            raise _unknown(glossary_id)
        return added

    async def get(self, name: str, *, field: str = "glossary_id") -> GlossaryVersion:
        """Return a version, or the newest of a glossary.

        Raises:
            UnknownGlossaryError: There is none of that name.
        """
        return _one_of(await self._look_up(split_name(name, field)), name, field)

    async def delete(self, glossary_id: str) -> int:
        """Remove a glossary and return how many versions it had.

        Raises:
            UnknownGlossaryError: There is none of that name.
        """
        check_glossary_id(glossary_id, "glossary_id")
        num_versions = await self.store.delete(glossary_id)
        if not num_versions:
            raise _unknown(glossary_id)
        return num_versions

    async def find(self, request: TranslateRequest) -> Glossary | TranslationError | None:
        """Return the stored glossary that a request names, ready to be used, or what is wrong with it."""
        return (await self.find_all({"": request}))[""]

    async def find_all(self, requests: Mapping[str, TranslateRequest]) -> dict[str, Glossary | TranslationError | None]:
        """Return what `find` does for each request of a batch; the store is asked once for each name.

        Args:
            requests: By the prefix of their fields, for messages.
        """
        known: dict[_Name, _Known | TranslationError] = {}
        found: dict[str, Glossary | TranslationError | None] = {}
        for prefix, request in requests.items():
            found[prefix] = None
            if request.glossary_id is not None:
                try:
                    found[prefix] = await self._find(request, request.glossary_id, f"{prefix}glossary_id", known)
                except TranslationError as error:
                    found[prefix] = error
        return found

    async def _find(
        self, request: TranslateRequest, asked: str, field: str, known: dict[_Name, _Known | TranslationError]
    ) -> Glossary:
        name = split_name(asked, field)
        if name not in known:
            try:
                known[name] = await self._look_up(name)
            except TranslationError as error:
                known[name] = error
        answer = known[name]
        if isinstance(answer, TranslationError):
            raise answer
        version = _one_of(answer, asked, field)
        _check_languages(version, request, field)
        return self._made_ready(version)

    async def _look_up(self, name: _Name) -> _Known:
        found = await self.store.get(*name)
        return await self.store.versions(name[0]) if found is None else found

    def _made_ready(self, version: GlossaryVersion) -> Glossary:
        # A glossary that was deleted and made again has the same names.
        key = (version.name, version.created_unix_s)
        ready = self._ready.get(key)
        if ready is None:
            ready = Glossary(
                version.entries,
                match_case=version.match_case,
                match_inflections=version.match_inflections,
                name=version.name,
                source_lang=version.source_lang,
            )
            self._ready[key] = ready
        return ready

    def _version(self, glossary_id: str, body: schemas.GlossaryBody) -> GlossaryVersion:
        entries = _entries(body)
        if len(entries) > self._max_terms:
            raise TooManyItemsError(
                f"entries has {len(entries)} terms; at most {self._max_terms} are accepted", field="entries"
            )
        Glossary(entries, field="entries")
        return GlossaryVersion(
            id=glossary_id,
            version=0,
            source_lang=resolve_language(body.source_lang, field="source_lang").code,
            target_lang=resolve_language(body.target_lang, field="target_lang").code,
            entries=entries,
            match_case=body.match_case,
            match_inflections=body.match_inflections,
            created_unix_s=time.time(),
        )


def configured_glossaries(settings: GlossarySettings, root: Path) -> Glossaries:
    """Return what the settings describe; nothing is opened or connected before the first use.

    Args:
        settings: Where glossaries are kept.
        root: What a relative path is relative to.
    """
    store: GlossaryStore = SqliteGlossaryStore(root / settings.sqlite_file)
    if settings.store == "redis" and settings.redis_url is not None:
        timeout_s = settings.redis_timeout_ms / 1000
        url = settings.redis_url.get_secret_value()
        store = RedisGlossaryStore(SharedRedis(url, timeout_s, content="glossaries"))
    return Glossaries(store, max_terms=settings.max_terms)


def _one_of(known: _Known, name: str, field: str) -> GlossaryVersion:
    if isinstance(known, GlossaryVersion):
        return known
    if not known:
        raise _unknown(name, field)
    raise _unknown(name, field, f"its versions are {', '.join(map(str, known))}")


def _unknown(name: str, field: str = "glossary_id", known: str = "GET /glossaries lists them") -> UnknownGlossaryError:
    return UnknownGlossaryError(f"{field}: there is no glossary {name!r}; {known}", field=field)


def _entries(body: schemas.GlossaryBody) -> dict[str, str]:
    if (body.entries is None) == (body.content is None):
        raise InvalidRequestError("either entries, or content with its format, is accepted", field="entries")
    if body.entries is not None:
        return dict(body.entries)
    return read_table(body.content or "", body.format, field="content")


def _check_languages(glossary: GlossaryVersion, request: TranslateRequest, field: str) -> None:
    wanted = [(request.target_lang, glossary.target_lang)]
    if request.source_lang.strip().lower() != AUTO:
        wanted.append((request.source_lang, glossary.source_lang))
    if any(resolve_language(asked).code != has for asked, has in wanted):
        raise UnsupportedOptionError(
            f"{field}: {glossary.name} is for {glossary.source_lang} to {glossary.target_lang}, the request is for "
            f"{request.source_lang} to {request.target_lang}",
            field=field,
        )
