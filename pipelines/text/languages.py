"""Which language does a code mean? One table (`languages.tsv`), read once, and the way into it.

Knows codes and names alone; not what the loaded model can do (see `ModelInfo.languages`).
"""

from __future__ import annotations

import csv
import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Literal

from pipelines.errors import UnknownLanguageError

FLORES_CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
_TABLE = Path(__file__).with_name("languages.tsv")
_MAX_CODE_CHARS = 35  # RFC 5646, section 4.4.1: what an implementation should at least hold
_NUM_NEAREST = 3
# What a BCP-47 tag may have behind the part that names a language: script, region, variants, extensions.
_REST_OF_TAG = re.compile(r"(-(?P<script>[a-z]{4}))?(-([a-z]{2}|\d{3}))?(-([a-z\d]{5,8}|\d[a-z\d]{3}))*(-[a-z\d]-.+)?")


@dataclass(frozen=True, slots=True)
class Language:
    """One language in one script, as the model knows it.

    Attributes:
        code: FLORES-200 code, such as `eng_Latn`.
        english_name: Name in English.
        native_name: Name in the language itself.
        script: ISO 15924 code of the script its text is written in.
        direction: In which direction the script runs.
        iso639_1: Two letters, or None.
        iso639_2: Three letters (terminological; the macro language's if it stands for that), or None.
        iso639_3: Three letters.
        bcp47: The shortest usual BCP-47 tag.
        deepl: DeepL's code, or None.
        libretranslate: LibreTranslate's code, or None.
        google: Google Translate's code, or None.
        wikipedia: The subdomain of its Wikipedia, or None.
        aliases: Other codes that are accepted for it.
    """

    code: str
    english_name: str
    native_name: str
    script: str
    direction: Literal["ltr", "rtl"]
    iso639_1: str | None
    iso639_2: str | None
    iso639_3: str
    bcp47: str
    deepl: str | None
    libretranslate: str | None
    google: str | None
    wikipedia: str | None
    aliases: tuple[str, ...]


@cache
def all_languages() -> tuple[Language, ...]:
    """Every language of NLLB-200, by code."""
    lines = (line for line in _TABLE.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return tuple(_language(row) for row in csv.DictReader(lines, delimiter="\t", quoting=csv.QUOTE_NONE))


def resolve_language(code: str, *, field: str | None = None) -> Language:
    """Find the language of a FLORES-200, ISO 639 or BCP-47 code, or of another service's code.

    Case and the choice between `_` and `-` do not matter. A region or variant that the table does not tell
    apart is dropped (`en-US`); a script never is: text in another script is no answer (`sr-Latn` is refused).

    Args:
        code: What the caller wrote.
        field: The request's field that it came from, for the error.

    Raises:
        UnknownLanguageError: No such language; the message names the nearest ones by code and by name.
    """
    language = find_language(code)
    if language is None:
        raise UnknownLanguageError(_unknown(code[:_MAX_CODE_CHARS]), field=field)
    return language


def find_language(code: str) -> Language | None:
    """As `resolve_language`, for a code that may well be none: nothing is looked for to name in an error."""
    return _find(code) if len(code) <= _MAX_CODE_CHARS else None


def find_languages_named(name: str) -> tuple[Language, ...]:
    """The languages whose name it is, in English or their own, with or without what English has in brackets.

    `Chinese` names two and `Chinese (Traditional)` one. Case does not matter; none is an answer, too.
    """
    return _by_name().get(name.strip().lower(), ())


@lru_cache(maxsize=1024)  # asked for several times per sentence
def _find(code: str) -> Language | None:
    subtags = code.strip().lower().replace("_", "-").split("-")
    for num_kept in range(len(subtags), 0, -1):
        found = _by_code().get("-".join(subtags[:num_kept]))
        rest = _REST_OF_TAG.fullmatch("".join(f"-{tag}" for tag in subtags[num_kept:]))
        if found is not None and rest is not None:
            written = _in_script(found, rest["script"])
            if written is not None:
                return written
    return None


def _language(row: dict[str, str]) -> Language:
    return Language(
        code=row["code"],
        english_name=row["english"],
        native_name=row["native"],
        script=row["script"],
        direction="rtl" if row["direction"] == "rtl" else "ltr",
        iso639_1=row["iso639_1"] or None,
        iso639_2=row["iso639_2"] or None,
        iso639_3=row["iso639_3"],
        bcp47=row["bcp47"],
        deepl=row["deepl"] or None,
        libretranslate=row["libretranslate"] or None,
        google=row["google"] or None,
        wikipedia=row["wikipedia"] or None,
        aliases=tuple(row["aliases"].split()),
    )


@cache
def _by_code() -> dict[str, Language]:
    index: dict[str, Language] = {}
    for language in all_languages():
        _claim(index, language, own_codes(language))
    # ISO codes name no script: of a language's several scripts the one whose BCP-47 tag needs none has them.
    for language in sorted(all_languages(), key=lambda each: "-" in each.bcp47):
        _claim(index, language, (language.iso639_3, language.iso639_2, language.iso639_1))
    return index


@cache
def _by_name() -> dict[str, tuple[Language, ...]]:
    index: dict[str, tuple[Language, ...]] = {}
    for language in all_languages():
        english, own = language.english_name.lower(), language.native_name.lower()
        for name in {english, english.partition(" (")[0], own}:
            index[name] = (*index.get(name, ()), language)
    return index


def own_codes(language: Language) -> tuple[str, ...]:
    """The codes that mean this language and no other, in lower case with `-`."""
    named = (
        language.code,
        language.bcp47,
        language.deepl,
        language.libretranslate,
        language.google,
        language.wikipedia,
    )
    return tuple(dict.fromkeys(_normal(code) for code in (*named, *language.aliases) if code))


def _claim(index: dict[str, Language], language: Language, codes: Iterable[str | None]) -> None:
    for code in codes:
        if code:
            index.setdefault(_normal(code), language)


def _normal(code: str) -> str:
    return code.lower().replace("_", "-")


def _in_script(language: Language, script: str | None) -> Language | None:
    if script is None or script == language.script.lower():
        return language
    siblings = (each for each in all_languages() if each.iso639_3 == language.iso639_3)
    return next((each for each in siblings if each.script.lower() == script), None)


def _unknown(code: str) -> str:
    wanted = _normal(code.strip())
    words = dict(_by_code())
    for language in all_languages():
        words.setdefault(language.english_name.lower(), language)
        words.setdefault(language.native_name.lower(), language)
    # The whole word first, then its first subtag (`sr-latn` means Serbian in some way).
    near = [words[wanted.split("-")[0]]] if wanted.split("-")[0] in words else []
    near += [words[word] for word in difflib.get_close_matches(wanted, words, n=2 * _NUM_NEAREST)]
    listed = [f"{each.code} ({each.english_name})" for each in dict.fromkeys(near)][:_NUM_NEAREST]
    nearest = f"nearest: {', '.join(listed)}; " if listed else ""
    return f"unknown language {code!r}; {nearest}FLORES-200, ISO 639 and BCP-47 codes are accepted"
