"""What the model is asked for, by what a request and the settings say."""

from __future__ import annotations

import time
from typing import Any

import pytest

from configs.schema import DecodingSettings, LimitSettings, QualitySettings
from deployments.api import create_api
from deployments.requests import RequestReader
from deployments.schemas import TranslateRequest
from pipelines.translate import TranslationPipeline
from pipelines.types import BULK_PRIORITY, INTERACTIVE_PRIORITY, DecodingOptions, Segment
from tests.fakes import ShoutingStation
from tests.http_api import client_of, make_service

GOOD = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}
LIMITS = LimitSettings(request_timeout_s=50)
ALONE = ("/translate", GOOD)
IN_A_BATCH = ("/batch-translate", {"items": [GOOD]})


async def _asked(path: str, body: dict[str, Any], decoding: DecodingSettings | None = None) -> Segment:
    """Return the one segment that the station is asked for."""
    station = ShoutingStation()
    service = make_service(TranslationPipeline(station), limits=LIMITS, decoding=decoding or DecodingSettings())
    async with client_of(create_api(service)) as client:
        response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    ((segment,),) = station.calls
    return segment


@pytest.mark.parametrize(("call", "priority"), [(ALONE, INTERACTIVE_PRIORITY), (IN_A_BATCH, BULK_PRIORITY)])
async def test_people_go_before_batches(call: tuple[str, dict[str, Any]], priority: int) -> None:
    """A text alone is urgent; an item of a batch can wait."""
    assert (await _asked(*call)).priority == priority


@pytest.mark.parametrize("call", [ALONE, IN_A_BATCH])
async def test_a_segment_knows_when_nobody_waits_any_more(call: tuple[str, dict[str, Any]]) -> None:
    """Its deadline is when the request's time is over."""
    before_s = time.monotonic()
    segment = await _asked(*call)
    assert segment.deadline_s is not None
    assert before_s <= segment.deadline_s - LIMITS.request_timeout_s <= time.monotonic()


@pytest.mark.parametrize(
    ("options", "settings", "decoding"),
    [
        ({}, {}, DecodingOptions()),
        ({"num_beams": 3}, {}, DecodingOptions(num_beams=3)),
        ({"max_length": 7}, {}, DecodingOptions(max_new_tokens=7)),
        ({"alternatives": 3}, {}, DecodingOptions(num_beams=3, num_hypotheses=3)),
        ({"alternatives": 2, "num_beams": 4}, {}, DecodingOptions(num_beams=4, num_hypotheses=2)),
        ({}, {"num_beams": 2}, DecodingOptions(num_beams=2)),
        ({"num_beams": 1}, {"num_beams": 2}, DecodingOptions(num_beams=1)),
        ({}, {"length_penalty": 1.5}, DecodingOptions(length_penalty=1.5)),
        ({}, {"no_repeat_ngram_size": 5}, DecodingOptions(no_repeat_ngram_size=5)),
        ({}, {"repetition_penalty": 1.25}, DecodingOptions(repetition_penalty=1.25)),
    ],
)
async def test_options_and_settings_reach_the_model(
    options: dict[str, Any], settings: dict[str, Any], decoding: DecodingOptions
) -> None:
    """A request's options go before the settings; there are as many beams as alternatives at least."""
    assert (await _asked("/translate", {**GOOD, **options}, DecodingSettings(**settings))).decoding == decoding


def _second_try(quality: QualitySettings, **options: Any) -> DecodingOptions | None:
    reader = RequestReader(DecodingSettings(), quality)
    return reader.read(TranslateRequest.model_validate({**GOOD, **options}), LIMITS).second_try


def test_a_suspicious_sentence_is_decoded_again_as_the_settings_say() -> None:
    """With their beam, but with no option of the request's lost; not at all where they say so."""
    quality = QualitySettings(second_try_num_beams=3, second_try_no_repeat_ngram_size=2)
    assert _second_try(quality, max_length=7) == DecodingOptions(num_beams=3, no_repeat_ngram_size=2, max_new_tokens=7)
    assert _second_try(QualitySettings(second_try=False)) is None


@pytest.mark.parametrize(("options", "asked"), [({}, "two hearts"), ({"match_inflections": True}, "two")])
async def test_a_glossary_of_a_request_matches_endings_where_it_says_so(options: dict[str, bool], asked: str) -> None:
    """Otherwise `heart` is no `hearts`, and the model is asked for it."""
    body = {**GOOD, "text": "two hearts", "glossary": {"heart": "corazón"}, "glossary_options": options}
    assert (await _asked("/translate", body)).text == asked
