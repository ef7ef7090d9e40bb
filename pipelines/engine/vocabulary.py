"""Which tokens may an output consist of? Lists of tokens by target language; knows no weights and no torch.

A *list* has a name and serves one or more languages, so that Hindi and Marathi share one. What a row copies from its
own source is allowed beside the list.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import cache, reduce
from operator import and_
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import regex

from pipelines.errors import StartupError
from pipelines.text.scripts import SCRIPT_CLASSES

if TYPE_CHECKING:
    from pipelines.engine.tokenize import SegmentTokenizer

RULES_VERSION = 1
"""Raise it when a list of the same name holds other tokens: outputs of another vocabulary are no cache hits."""
SHORTLIST_FORMAT = 1

VocabularyKind = Literal["full", "script", "learned"]


class Vocabulary:
    """The tokens that outputs may consist of. Immutable; without lists, all of the model's.

    Args:
        lists: Token ids by the list's name.
        names: The list of each target language, by the language's token id; a language without one has all tokens.
        never_copied: Tokens of a source that no output has: special tokens and languages.
    """

    def __init__(
        self,
        lists: Mapping[str, Iterable[int]] | None = None,
        names: Mapping[int, str] | None = None,
        never_copied: Iterable[int] = (),
    ) -> None:
        self._lists = {name: tuple(sorted(set(ids))) for name, ids in (lists or {}).items()}
        self._names = dict(names or {})
        self._never_copied = frozenset(never_copied)

    def list_name(self, target_lang_id: int) -> str | None:
        """Return the name of a language's list; None allows all tokens."""
        return self._names.get(target_lang_id)

    def token_ids(self, name: str) -> tuple[int, ...]:
        """Return a list's tokens in ascending order."""
        return self._lists[name]

    def copied(self, source: Iterable[int]) -> frozenset[int]:
        """Return the tokens of a source that its output may have, whatever the list says."""
        return frozenset(source) - self._never_copied


def load_vocabulary(
    kind: VocabularyKind, tokenizer: SegmentTokenizer, shortlist_file: str | Path | None = None
) -> Vocabulary:
    """Return the vocabulary of a checkpoint's outputs.

    Args:
        kind: `full`, `script` (what the target's script needs) or `learned` (what the file says).
        tokenizer: Of the checkpoint.
        shortlist_file: Written by `python -m pipelines.engine.shortlist` with the same tokenizer.

    Raises:
        StartupError: The file cannot be read or is of another tokenizer.
    """
    languages = tokenizer.language_ids
    if kind == "full":
        return Vocabulary()
    if kind == "script":
        scripts = {language_id: code.partition("_")[2] for code, language_id in languages.items()}
        lists = script_token_ids(tokenizer)
        known = {language_id: script for language_id, script in scripts.items() if script in lists}
        return Vocabulary(lists, known, tokenizer.control_ids)
    if shortlist_file is None:
        raise StartupError("model.vocabulary = 'learned' needs model.shortlist_file", field="model.shortlist_file")
    learned = read_shortlist(Path(shortlist_file), tokenizer)
    return Vocabulary(learned, {languages[code]: code for code in learned}, tokenizer.control_ids)


def vocabulary_revision(kind: VocabularyKind, shortlist_file: str | Path | None = None) -> str:
    """Return what of the vocabulary decides the outputs, for cache keys.

    Raises:
        StartupError: The file cannot be read.
    """
    if kind == "learned" and shortlist_file is not None:
        content = _read_bytes(Path(shortlist_file))
        return f"learned-{RULES_VERSION}-{hashlib.blake2b(content, digest_size=8).hexdigest()}"
    return kind if kind == "full" else f"{kind}-{RULES_VERSION}"


def script_token_ids(tokenizer: SegmentTokenizer) -> dict[str, list[int]]:
    """Return for each script the tokens without a letter of another one, and `</s>`.

    Digits, punctuation and the like belong to every script. A piece's scripts are those that all its characters
    share, and characters are few: so one pass over the vocabulary serves all scripts.
    """
    scripts = list(SCRIPT_CLASSES)
    classes = [regex.compile(rf"[\p{{Common}}\p{{Inherited}}]|{SCRIPT_CLASSES[script]}") for script in scripts]

    @cache
    def scripts_of(char: str) -> int:
        return sum(1 << bit for bit, pattern in enumerate(classes) if pattern.fullmatch(char))

    lists: dict[str, list[int]] = {script: [tokenizer.eos_id] for script in scripts}
    by_scripts: dict[int, list[int]] = {}
    control, every = tokenizer.control_ids, (1 << len(scripts)) - 1
    for piece, token_id in tokenizer.pieces().items():
        if token_id not in control:
            shared = reduce(and_, map(scripts_of, piece), every)
            by_scripts.setdefault(shared, []).append(token_id)
    for shared, token_ids in by_scripts.items():
        for bit, script in enumerate(scripts):
            if shared >> bit & 1:
                lists[script] += token_ids
    return lists


def read_shortlist(file: Path, tokenizer: SegmentTokenizer) -> dict[str, list[int]]:
    """Read token ids by target language.

    Raises:
        StartupError: It cannot be read, or is not of this tokenizer.
    """
    try:
        document = json.loads(_read_bytes(file))
        tokens, written_for = document["tokens"], document["tokenizer"]
        if document["format"] != SHORTLIST_FORMAT:
            raise ValueError(f"its format is {document['format']!r}, accepted is {SHORTLIST_FORMAT}")
        lists = {str(code): [int(token_id) for token_id in ids] for code, ids in tokens.items()}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise StartupError(f"{file} is not a shortlist: {error}", field="model.shortlist_file") from error
    if written_for != tokenizer_fingerprint(tokenizer):
        raise StartupError(
            f"{file} was counted with another tokenizer; count it again with `python -m pipelines.engine.shortlist`",
            field="model.shortlist_file",
        )
    return {code: [tokenizer.eos_id, *ids] for code, ids in lists.items() if code in tokenizer.language_ids}


def tokenizer_fingerprint(tokenizer: SegmentTokenizer) -> str:
    """Return a hash over all pieces and their ids."""
    pieces = sorted((token_id, piece) for piece, token_id in tokenizer.pieces().items())
    return hashlib.blake2b(repr(pieces).encode(), digest_size=16).hexdigest()


def _read_bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise StartupError(
            f"model.shortlist_file = {str(file)!r} cannot be read: {error.strerror}", field="model.shortlist_file"
        ) from None
