"""The whole way of a request, with a station that upper-cases."""

from __future__ import annotations

import pytest

from pipelines.errors import (
    EngineError,
    TextTooLongError,
    TranslationError,
    UnknownAdapterError,
    UnknownLanguageError,
)
from pipelines.text.detect import Detection, LanguageDetector
from pipelines.translate import TranslationPipeline
from pipelines.types import DecodingOptions, SegmentProgress, TranslationRequest, TranslationResult
from tests.fakes import ShoutingStation
from tests.fakes_text import DictionaryStation


def _request(text: str, source: str = "eng_Latn", target: str = "spa_Latn", **more: object) -> TranslationRequest:
    return TranslationRequest(text, source, target, **more)  # type: ignore[arg-type]


async def test_separators_come_back_to_the_byte() -> None:
    """Line breaks, blank lines, tabs and trailing spaces are where they were."""
    pipeline = TranslationPipeline(ShoutingStation())
    result = await pipeline.translate(_request("\n\nHello there.  How are you?\r\n\n\tFine, thanks. \n"))
    assert result.text == "\n\nHELLO THERE.  HOW ARE YOU?\r\n\n\tFINE, THANKS. \n"


@pytest.mark.parametrize("text", ["", " \n\t ", "12:30", "…", "\x00", "👍🏽"])
async def test_what_is_no_language_needs_no_model(text: str) -> None:
    """Empty text, white space, digits, controls and emoji are returned as they are, without a call."""
    station = ShoutingStation()
    assert (await TranslationPipeline(station).translate(_request(text))).text == text
    assert station.calls == []


async def test_one_call_carries_all_segments_of_all_items() -> None:
    """A batch of texts is one hop, whatever their languages."""
    station = ShoutingStation()
    requests = [_request("One. Two."), _request("Trois.", "fr", "en"), _request("चार।", "hi", "zh")]
    results = await TranslationPipeline(station).translate_many(requests)
    assert len(station.calls) == 1
    assert [segment.text for segment in station.calls[0]] == ["One.", "Two.", "Trois.", "चार।"]
    assert [(each.source_lang, each.target_lang) for each in results if isinstance(each, TranslationResult)] == [
        ("eng_Latn", "spa_Latn"),
        ("fra_Latn", "eng_Latn"),
        ("hin_Deva", "zho_Hans"),
    ]


async def test_a_bad_item_never_fails_its_neighbours() -> None:
    """Unknown language, over-long text, failing segment: each its own error, the others translated."""
    pipeline = TranslationPipeline(ShoutingStation(), max_text_chars=20)
    requests = [
        _request("Hello."),
        _request("Hello.", "klingon", field_prefix="items.1."),
        _request("x" * 21, field_prefix="items.2."),
        _request("Fine. boom."),
        _request("Bye."),
    ]
    results = await pipeline.translate_many(requests)
    assert [type(each) for each in results] == [
        TranslationResult,
        UnknownLanguageError,
        TextTooLongError,
        EngineError,
        TranslationResult,
    ]
    assert results[1].field == "items.1.source_lang"  # type: ignore[union-attr]
    assert "21 characters; at most 20" in results[2].message  # type: ignore[union-attr]


async def test_what_nobody_foresaw_is_its_own_items_error() -> None:
    """A fault in the planning of one text, here of a detector, leaves the others their translations."""

    class BrokenDetector(LanguageDetector):
        def detect_if_sure(self, text: str) -> Detection | None:
            raise ValueError("a fault")

    pipeline = TranslationPipeline(ShoutingStation(), detector=BrokenDetector())
    good, bad = await pipeline.translate_many([_request("Hello."), _request("Hello.", "auto")])
    assert isinstance(good, TranslationResult)
    assert isinstance(bad, TranslationError)
    assert (bad.code, "a fault" in bad.message) == ("internal", False)


async def test_a_segment_with_too_many_tokens_is_split_never_cut() -> None:
    """What the model cannot read at once is read in parts, and nothing of it is lost."""
    pipeline = TranslationPipeline(ShoutingStation(max_chars=20))
    text = "this sentence has far more tokens than the model can read in one go"
    assert (await pipeline.translate(_request(text))).text == text.upper()


async def test_a_word_that_cannot_be_split_is_an_error() -> None:
    """Splitting ends: a single character over the model's length is a failure, not an endless loop."""
    with pytest.raises(Exception, match="too many tokens"):
        await TranslationPipeline(ShoutingStation(max_chars=0)).translate(_request("word"))


async def test_same_language_is_returned_with_a_warning() -> None:
    """`en` to `eng_Latn` is the same language under two names."""
    station = ShoutingStation()
    result = await TranslationPipeline(station).translate(_request("Hello.", "en", "eng_Latn"))
    assert (result.text, result.notices[0].code, station.calls) == ("Hello.", "same_language", [])


async def test_an_unknown_adapter_is_named() -> None:
    """A service without adapters says so."""
    with pytest.raises(UnknownAdapterError, match="no adapter is called 'medical'"):
        await TranslationPipeline(ShoutingStation()).translate(_request("Hello.", adapter="medical"))


async def test_a_stream_yields_pieces_in_order_and_then_the_whole() -> None:
    """The pieces' texts follow each other; the last has what is behind the last sentence."""
    pipeline = TranslationPipeline(ShoutingStation())
    events = [event async for event in pipeline.stream(_request("One. Two.\n\nThree.\n"))]
    assert [event.text for event in events] == ["ONE.", " TWO.", "\n\nTHREE.", "\n", "ONE. TWO.\n\nTHREE.\n"]
    pieces = [event for event in events if isinstance(event, SegmentProgress)]
    assert [(piece.index, piece.num_source_chars) for piece in pieces] == [(0, 4), (1, 4), (2, 6), (3, 0)]


@pytest.mark.parametrize(
    ("format", "source"),
    [
        ("html", "<p>One two.</p><p>Three.</p></body></html>"),
        ("srt", "1\n00:00:01,000 --> 00:00:02,000\nHello there my\nfriend\n\n"),
        ("markdown", "1986\\. One.\nTwo.\n\n- [three]\n\n[three]: http://x.y\n"),
        ("text", "12:30\n"),
    ],
)
async def test_the_pieces_of_a_stream_are_the_whole(format: str, source: str) -> None:
    """Joined they are the result: what is behind the last sentence, and what a format makes of a whole passage."""
    *pieces, result = [
        event async for event in TranslationPipeline(ShoutingStation()).stream(_request(source, format=format))
    ]
    assert "".join(piece.text for piece in pieces) == result.text


async def test_a_failing_piece_ends_a_stream_with_its_error() -> None:
    """The pieces before it were delivered."""
    events = TranslationPipeline(ShoutingStation()).stream(_request("One. boom. Three."))
    assert (await anext(events)).text == "ONE."
    with pytest.raises(EngineError):
        await anext(events)


async def test_every_segment_is_as_urgent_as_its_request() -> None:
    """Priority and deadline are those of the request, in the second try too."""
    station = DictionaryStation({"Fine.": "muy muy muy muy muy"})
    request = _request("Fine.", priority=3, deadline_s=9e9, second_try=DecodingOptions(num_beams=4))
    await TranslationPipeline(station).translate(request)
    assert [(each.priority, each.deadline_s) for call in station.calls for each in call] == [(3, 9e9)] * 2
