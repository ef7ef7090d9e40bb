"""Which pairs are kept for evaluation? A hash of the source decides, so none moves when lines are added.

Texts that differ in case, spacing or Unicode form alone count as one.
"""

from __future__ import annotations

import unicodedata
from hashlib import blake2b

HASH_RANGE = 2**64


def text_hash(*texts: str) -> int:
    """Return 64 bits that name texts, whatever their case, spacing and Unicode form."""
    normal = "\0".join(" ".join(unicodedata.normalize("NFC", text).casefold().split()) for text in texts)
    return int.from_bytes(blake2b(normal.encode("utf-8", "replace"), digest_size=8).digest())


def is_held_out(source_hash: int, dev_ratio: float) -> bool:
    """Whether a source belongs to the dev split. A larger ratio keeps all that a smaller one had.

    Args:
        source_hash: `text_hash` of the source alone.
        dev_ratio: Share of sources that are held out.
    """
    return source_hash < dev_ratio * HASH_RANGE
