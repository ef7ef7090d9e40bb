"""Text to the model's tokens and back, for batches of mixed languages, from any thread.

`NllbTokenizer.src_lang` is state that threads would share, so it is never set while serving: the backend encodes the
plain text, and the language tokens are added here. That this is the model's own order is asserted at start-up.
Knows no torch, and nothing of what a model makes of the tokens.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Encoding, Tokenizer
from transformers import NllbTokenizer

from pipelines.errors import InvalidTextError, SegmentTooLongError, StartupError, UnknownLanguageError
from pipelines.protocols import EncodedSegment
from pipelines.text.languages import FLORES_CODE
from pipelines.text.validity import check_text
from pipelines.types import Failure, Link, Segment

PREFIX_LENGTH = 2
"""Tokens before the first one of a translation: `</s>` and the target language."""


class SegmentTokenizer:
    """Encodes segments and decodes rows of tokens. Immutable after construction, hence thread-safe.

    Args:
        backend: What splits text into pieces; owned by this object from here on.
        config: The model's `config.json`.
    """

    def __init__(self, backend: Tokenizer, config: dict[str, Any]) -> None:
        backend.no_padding()
        backend.no_truncation()
        backend.encode_special_tokens = True  # a user's `</s>` is text like any other
        self._backend = backend
        self.eos_id = _token_id(backend, "</s>")
        self.pad_id = _token_id(backend, "<pad>")
        self.unk_id = _token_id(backend, "<unk>")
        self.max_source_tokens = int(config["max_position_embeddings"])
        self._language_ids = {
            token.content: token_id
            for token_id, token in sorted(backend.get_added_tokens_decoder().items())
            if FLORES_CODE.fullmatch(token.content)
        }

    @classmethod
    def from_checkpoint(cls, path: Path) -> SegmentTokenizer:
        """Load the tokenizer of a checkpoint's folder.

        Raises:
            StartupError: It cannot be read, does not fit the model, or orders its special tokens in another way.
        """
        config = json.loads((path / "config.json").read_text(encoding="utf-8"))
        try:
            tokenizer = cls(_load_backend(path), config)
        except Exception as error:  # the backend raises plain Exception on a malformed file
            raise StartupError(f"the tokenizer in {path} cannot be read: {error}", field="model.name") from error
        tokenizer._assert_ids(path, config)
        _assert_order(path, tokenizer.languages[0])
        return tokenizer

    @property
    def languages(self) -> tuple[str, ...]:
        """FLORES-200 codes that have a token, sorted."""
        return tuple(sorted(self._language_ids))

    @property
    def language_ids(self) -> dict[str, int]:
        """The token of each FLORES-200 code."""
        return dict(self._language_ids)

    @property
    def control_ids(self) -> frozenset[int]:
        """Tokens that stand for no text: special tokens and languages."""
        return frozenset(self._backend.get_added_tokens_decoder())

    def pieces(self) -> dict[str, int]:
        """Return the token id of every piece, `▁` being a space, control tokens included."""
        pieces: dict[str, int] = self._backend.get_vocab()
        return pieces

    def encode_target(self, texts: Sequence[str]) -> list[list[int]]:
        """Return the tokens of texts without any control token, as an output has them."""
        return [encoding.ids for encoding in self._backend.encode_batch(list(texts), add_special_tokens=False)]

    def encode(self, segments: Sequence[Segment]) -> list[EncodedSegment | Failure]:
        """See `Engine.encode`. Also, a text that is not valid Unicode is a `Failure(InvalidTextError)`."""
        refused = [self._refuse(segment) for segment in segments]
        texts = [segment.text for segment, failure in zip(segments, refused, strict=True) if failure is None]
        encodings = iter(self._backend.encode_batch(texts, add_special_tokens=False))
        return [
            self._row(segment, next(encodings)) if failure is None else failure
            for segment, failure in zip(segments, refused, strict=True)
        ]

    def target_prefix(self, language: str) -> tuple[int, int]:
        """Return what every output in this language starts with: `(</s>, language)`."""
        return self.eos_id, self._language_ids[language]

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Return each row's text, special and language tokens left out, spaces as the model set them."""
        return self._backend.decode_batch([list(row) for row in rows], skip_special_tokens=True)

    def links(self, source: str, prefix: Sequence[int], tokens: Sequence[int], attended: Sequence[int]) -> list[Link]:
        """Return what each token of an output attends to, in characters.

        Args:
            source: The segment's text.
            prefix: Tokens of the text that the output begins with.
            tokens: Of the output behind it.
            attended: For each of them the place of a source token, the language being 0.
        """
        offsets = self._backend.encode(source, add_special_tokens=False).offsets
        ends = [len(text) for text in self.decode([[*prefix, *tokens[:num]] for num in range(len(tokens) + 1)])]
        return [
            Link(start, end, *offsets[place - 1])
            for start, end, place in zip(ends, ends[1:], attended, strict=False)
            if start < end and 1 <= place <= len(offsets)
        ]

    def _refuse(self, segment: Segment) -> Failure | None:
        for field, language in (("source_lang", segment.source_lang), ("target_lang", segment.target_lang)):
            if language not in self._language_ids:
                return Failure(UnknownLanguageError(f"the model has no language {language!r}", field=field))
        try:
            check_text(segment.text, "text")
        except InvalidTextError as error:
            return Failure(error)
        return None

    def _row(self, segment: Segment, encoding: Encoding) -> EncodedSegment | Failure:
        token_ids = (self._language_ids[segment.source_lang], *encoding.ids, self.eos_id)
        if len(token_ids) > self.max_source_tokens:
            return Failure(
                SegmentTooLongError(
                    f"the segment has {len(token_ids)} tokens, the model reads at most {self.max_source_tokens}"
                )
            )
        return EncodedSegment(segment, token_ids, self._unknown_spans(encoding))

    def _unknown_spans(self, encoding: Encoding) -> tuple[tuple[int, int], ...]:
        """Join what touches: normalisation may make several unknown tokens of one character."""
        spans: list[tuple[int, int]] = []
        for token_id, (start, end) in zip(encoding.ids, encoding.offsets, strict=True):
            if token_id != self.unk_id:
                continue
            if spans and start <= spans[-1][1]:
                start, end = spans[-1][0], max(spans.pop()[1], end)
            spans.append((start, end))
        return tuple(spans)

    def _assert_ids(self, path: Path, config: dict[str, Any]) -> None:
        if not self._language_ids:
            raise StartupError(
                f"the tokenizer in {path} has no FLORES-200 language tokens such as eng_Latn", field="model.name"
            )
        ids = {"eos_token_id": self.eos_id, "decoder_start_token_id": self.eos_id, "pad_token_id": self.pad_id}
        for key, token_id in ids.items():
            if config.get(key, token_id) != token_id:
                raise StartupError(
                    f"{path}: config.json has {key} {config[key]}, the tokenizer has {token_id}",
                    field="model.name",
                )
        if max(self._language_ids.values()) >= config["vocab_size"]:
            raise StartupError(
                f"{path}: the tokenizer has more tokens than the model's {config['vocab_size']} embeddings",
                field="model.name",
            )


def _load_backend(path: Path) -> Tokenizer:
    """Read the backend's own file where there is one: `NllbTokenizer` would take twice the time and memory."""
    file = path / "tokenizer.json"
    if file.is_file():
        return Tokenizer.from_file(str(file))
    backend: Tokenizer = NllbTokenizer.from_pretrained(path).backend_tokenizer
    return backend


def _assert_order(path: Path, language: str) -> None:
    """Ask an `NllbTokenizer` with this checkpoint's settings, and next to no vocabulary, where it puts the language."""
    file = path / "tokenizer_config.json"
    settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    legacy = bool(settings.get("legacy_behaviour", False))
    reference = NllbTokenizer(src_lang=language, extra_special_tokens=[language], legacy_behaviour=legacy)
    order = reference.convert_ids_to_tokens(reference("?").input_ids)
    if order != [language, "<unk>", "</s>"]:
        raise StartupError(
            f"the tokenizer in {path} orders its tokens as {order}, not as [language, tokens, </s>]; is "
            "`legacy_behaviour` set in its tokenizer_config.json?",
            field="model.name",
        )


def _token_id(backend: Tokenizer, token: str) -> int:
    token_id = backend.token_to_id(token)
    if token_id is None:
        raise ValueError(f"it has no token {token}")
    return int(token_id)
