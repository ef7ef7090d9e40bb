"""With an engine that returns its input, any document of any format comes back byte for byte, through all stages."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.engine.identity import IdentityEngine
from pipelines.station import EngineStation
from pipelines.translate import TranslationPipeline
from pipelines.types import FORMATS, DecodingOptions, TranslationRequest
from tests.markup_texts import DOCUMENTS

PAIRS = st.sampled_from(
    [("eng_Latn", "spa_Latn"), ("eng_Latn", "zho_Hans"), ("zho_Hans", "eng_Latn"), ("hin_Deva", "arb_Arab")]
)
STRONG = DecodingOptions(num_beams=4, no_repeat_ngram_size=4)


@pytest.mark.parametrize("format", FORMATS)
def test_every_document_comes_back(format: str, num_examples: int) -> None:
    """Well-formed, malformed, anything at all: `--fidelity-examples 10000` for the long run."""

    @given(DOCUMENTS[format], PAIRS, st.sampled_from([None, STRONG]))
    @settings(max_examples=num_examples, deadline=None, database=None)
    def comes_back(text: str, pair: tuple[str, str], second_try: DecodingOptions | None) -> None:
        request = TranslationRequest(text, *pair, format=format, second_try=second_try)  # type: ignore[arg-type]
        assert asyncio.run(_translate(request)) == text

    comes_back()


async def _translate(request: TranslationRequest) -> str:
    pipeline = TranslationPipeline(EngineStation(IdentityEngine()), max_segment_chars=60)
    return (await pipeline.translate(request)).text
