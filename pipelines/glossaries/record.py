"""One version of a stored glossary; immutable. Knows no store."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from pipelines.errors import InvalidRequestError, UnknownGlossaryError

_ID = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")
_MAX_VERSION_DIGITS = 18  # what the stores can count to


@dataclass(frozen=True, slots=True)
class GlossaryVersion:
    """What a glossary was at one time.

    Attributes:
        id: Its name.
        version: Counted from 1.
        source_lang: FLORES-200 code.
        target_lang: FLORES-200 code.
        entries: Translation by source term.
        match_case: See `Glossary`.
        match_inflections: See `Glossary`.
        created_unix_s: When this version was written.
    """

    id: str
    version: int
    source_lang: str
    target_lang: str
    entries: Mapping[str, str]
    match_case: bool = False
    match_inflections: bool = False
    created_unix_s: float = 0.0

    @property
    def name(self) -> str:
        """What a request may call it: `medical@3`."""
        return f"{self.id}@{self.version}"

    def to_json(self) -> str:
        """Its form in a store."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, form: str | bytes) -> GlossaryVersion:
        """Read `to_json`'s form."""
        return cls(**json.loads(form))


def check_glossary_id(glossary_id: str, field: str) -> None:
    """Refuse what cannot name a glossary.

    Raises:
        InvalidRequestError: It is no name; the message says what is.
    """
    if not _ID.fullmatch(glossary_id):
        raise InvalidRequestError(
            f"{field} is {glossary_id!r}; accepted are up to 64 of a-z, 0-9, '_', '.' and '-', beginning with a "
            "letter or digit",
            field=field,
        )


def split_name(name: str, field: str) -> tuple[str, int | None]:
    """What a request names: a glossary (its newest version), or a version of it (`medical@3`).

    Raises:
        InvalidRequestError: It names neither.
        UnknownGlossaryError: There can be no such version.
    """
    glossary_id, at, version = name.partition("@")
    check_glossary_id(glossary_id, field)
    if not at:
        return glossary_id, None
    if not version.isdecimal() or not version.isascii():
        raise InvalidRequestError(f"{field} is {name!r}; a version is a number, such as medical@3", field=field)
    if len(version) > _MAX_VERSION_DIGITS:
        raise UnknownGlossaryError(
            f"{field}: there is no version of {glossary_id!r} whose number has {len(version)} digits", field=field
        )
    return glossary_id, int(version)
