"""A translation as the bytes that a store keeps. Knows no store.

The entry repeats its key: an answer that belongs to another question (a connection out of step, a store that somebody
else writes to) is then a miss and never a wrong translation.
"""

from __future__ import annotations

import json

from pipelines.types import Hypothesis, Link, Translation

_FORMAT_VERSION = 4


def encode(key: str, translation: Translation) -> bytes:
    """Return the entry of a translation; `cached` is not kept, and the model is part of the key."""
    entry = [
        _FORMAT_VERSION,
        key,
        translation.text,
        translation.score,
        translation.num_source_tokens,
        translation.num_target_tokens,
        translation.finish,
        [[hypothesis.text, hypothesis.score] for hypothesis in translation.alternatives],
        [[start, end] for start, end in translation.unknown_spans],
        list(translation.alignment),
        [list(link) for link in translation.links],
    ]
    return json.dumps(entry, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def decode(key: str, entry: bytes, model_revision: str) -> Translation | None:
    """Return the translation, with `cached` and the model set that keys are for; None if it is no entry of this key."""
    try:
        return _translation(key, json.loads(entry.decode("utf-8", "surrogatepass")), model_revision)
    except (ValueError, RecursionError):
        return None


def _translation(key: str, fields: object, model_revision: str) -> Translation:
    match fields:
        case [
            int(version),
            str(owner),
            str(text),
            int() | float() | None as score,
            int(num_source_tokens),
            int(num_target_tokens),
            "stop" | "length" as finish,
            [*pairs],
            [*spans],
            [*alignment],
            [*links],
        ] if version == _FORMAT_VERSION and owner == key:
            return Translation(
                text=text,
                score=score,
                num_source_tokens=num_source_tokens,
                num_target_tokens=num_target_tokens,
                finish=finish,
                cached=True,
                alternatives=tuple(_hypothesis(pair) for pair in pairs),
                unknown_spans=tuple(_span(pair) for pair in spans),
                alignment=tuple(_index(each) for each in alignment),
                links=tuple(_link(each) for each in links),
                model_revision=model_revision,
            )
    raise ValueError("no entry of this key")


def _hypothesis(pair: object) -> Hypothesis:
    match pair:
        case [str(text), int() | float() as score]:
            return Hypothesis(text=text, score=score)
    raise ValueError("no hypothesis")


def _span(pair: object) -> tuple[int, int]:
    match pair:
        case [int(start), int(end)]:
            return start, end
    raise ValueError("no span")


def _index(each: object) -> int:
    if isinstance(each, int):
        return each
    raise ValueError("no index")


def _link(each: object) -> Link:
    match each:
        case [int(start), int(end), int(source_start), int(source_end)]:
            return Link(start, end, source_start, source_end)
    raise ValueError("no link")
