"""The translation that tells whether translating works."""

from __future__ import annotations

import time
from collections.abc import Sequence

from pipelines.types import PROBE_PRIORITY, DecodingOptions, Segment

# Enough to see that the decoder moves; a model that does not stop must not make a probe long.
_DECODING = DecodingOptions(max_new_tokens=8)


def probe_segment(languages: Sequence[str], timeout_s: float) -> Segment:
    """Return a segment that goes before all others and is worth nothing after `timeout_s`.

    Args:
        languages: FLORES-200 codes that the model has, at least one.
        timeout_s: Seconds from now.
    """
    return Segment(
        "Hello.",
        "eng_Latn" if "eng_Latn" in languages else languages[0],
        "spa_Latn" if "spa_Latn" in languages else languages[-1],
        decoding=_DECODING,
        priority=PROBE_PRIORITY,
        deadline_s=time.monotonic() + timeout_s,
    )
