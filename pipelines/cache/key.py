"""The content-addressed name of a segment's translation: all that decides the output, and nothing else.

Priority and deadline say when a segment is translated, not how, so they are no part of it. Nothing ever has to be
invalidated: whatever changes the output changes the key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import fields

from pipelines.types import DecodingOptions, Segment

TEXT_RULES_VERSION = 1
"""Raise it with every change of what an engine does with a segment's text that no other part of the key shows."""
_FORM = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"))
_DECODING = tuple(field.name for field in fields(DecodingOptions))  # `asdict` copies deeply: ten times as slow


def segment_key(segment: Segment, model_revision: str) -> str:
    """Return the key, 64 hexadecimal digits.

    Args:
        segment: What is translated; its adapter is a resolved version.
        model_revision: Names everything of the base model that decides its output.
    """
    parts = {
        "text_rules": TEXT_RULES_VERSION,
        "model": model_revision,
        "adapter": segment.adapter,
        "source": segment.source_lang,
        "target": segment.target_lang,
        "decoding": {name: getattr(segment.decoding, name) for name in _DECODING},
        "text": segment.text,
    }
    # JSON quotes every part, so no two segments share a form. Escaped to ASCII, a pair of lone surrogates would read
    # as the character that it encodes in UTF-16; `surrogatepass` keeps the two apart.
    return hashlib.blake2b(_FORM.encode(parts).encode("utf-8", "surrogatepass"), digest_size=32).hexdigest()
