"""What users of other translation servers suffer, row by row, and that it does not happen here.

The numbers are those of the table in docs/quality.md, which says where each was reported.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from configs.schema import LimitSettings
from deployments.api import create_api
from pipelines.cache.key import segment_key
from pipelines.cache.memory import MemoryStore
from pipelines.cache.read_through import ReadThroughCache
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.identity import IdentityEngine
from pipelines.engine.inflight import InflightEngine
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.errors import StartupError, TextTooLongError, UndetectedLanguageError, UnknownLanguageError
from pipelines.protocols import EncodedSegment
from pipelines.station import EngineStation
from pipelines.text.detect import LanguageDetector
from pipelines.text.languages import resolve_language
from pipelines.translate import TranslationPipeline
from pipelines.types import DecodingOptions, Failure, Segment, TranslationRequest, TranslationResult
from tests.fakes import FakeFleet, ManualEngine, ShoutingStation
from tests.fakes_text import BeamStation, DictionaryStation, MangleStation, SmallVocabularyStation
from tests.http_api import client_of, make_service
from tests.tiny_model import make_tiny_checkpoint

STRONG = DecodingOptions(num_beams=4)
WAIT_S = 60


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny checkpoint with NLLB's architecture and tokens."""
    torch.set_num_threads(1)
    return make_tiny_checkpoint(tmp_path_factory.mktemp("tiny"))


async def _translate(station: Any, text: str, pair: str = "en es", **more: Any) -> TranslationResult:
    source, target = pair.split()
    return await TranslationPipeline(station).translate(TranslationRequest(text, source, target, **more))


def _client(station: Any = None, fleet: FakeFleet | None = None, **limits: Any) -> httpx.AsyncClient:
    pipeline = TranslationPipeline(station or ShoutingStation())
    return client_of(create_api(make_service(pipeline, fleet, limits=LimitSettings(**limits))))


async def test_pain_01_no_sentence_is_dropped() -> None:
    """Every sentence is asked for by itself; one that is swallowed is tried by clauses; what stays is flagged."""
    text = "One. Two.\n\nThree. " * 50
    station = ShoutingStation()
    assert (await _translate(station, text)).text == text.upper()
    assert len(station.calls[0]) == 150
    long = "This is the first part of a long sentence, and this is the second part of the very same sentence"
    swallowing = DictionaryStation({long: "Uno"}, make=lambda part: "Uno" if part == long else f"ES {part}")
    fixed = await _translate(swallowing, long, second_try=STRONG)
    assert "first part" in fixed.text
    assert "second part" in fixed.text
    flagged = await _translate(DictionaryStation({}, make=lambda _: "Uno"), long, second_try=STRONG)
    assert [each.code for each in flagged.notices] == ["length_ratio"]


async def test_pain_02_loops_are_decoded_again_and_flagged() -> None:
    """A repetition loop gives way to the second try's output, or to a warning."""
    source, loop = "I am very well, thank you", "muy muy muy muy muy muy"
    fixed = await _translate(BeamStation({source: loop}, {source: "Muy bien, gracias"}), source, second_try=STRONG)
    assert (fixed.text, fixed.notices) == ("Muy bien, gracias", ())
    flagged = await _translate(DictionaryStation({source: loop}), source, second_try=STRONG)
    assert "repetition" in [each.code for each in flagged.notices]


async def test_pain_03_nothing_is_truncated() -> None:
    """Too many tokens for the model: halved. Over the limit of a request: refused, never cut."""
    text = "one two three four five six seven eight nine ten"
    assert (await _translate(ShoutingStation(max_chars=12), text)).text == text.upper()
    with pytest.raises(TextTooLongError, match="at most 100"):
        await TranslationPipeline(ShoutingStation(), max_text_chars=100).translate(
            TranslationRequest("x" * 101, "en", "es")
        )


def test_pain_04_threads_of_many_languages_do_not_race(checkpoint: Path) -> None:
    """What threads encode together is what each would have encoded alone."""
    tokenizer = SegmentTokenizer.from_checkpoint(checkpoint)
    segments = [Segment("good morning", source, "spa_Latn") for source in ("eng_Latn", "fra_Latn", "hin_Deva") * 40]
    alone = [_ids(tokenizer.encode([segment])[0]) for segment in segments]
    together: list[list[tuple[int, ...]]] = [[] for _ in range(4)]

    def encode(results: list[tuple[int, ...]]) -> None:
        results += [_ids(tokenizer.encode([segment])[0]) for segment in segments]

    threads = [threading.Thread(target=encode, args=(results,)) for results in together]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_S)
    assert together == [alone] * 4


def _ids(row: EncodedSegment | Failure) -> tuple[int, ...]:
    assert isinstance(row, EncodedSegment)
    return row.token_ids


def test_pain_05_the_language_token_is_where_the_model_expects_it(tmp_path: Path) -> None:
    """`[language, tokens, </s>]`, and a checkpoint that orders them in the old way does not start."""
    folder = make_tiny_checkpoint(tmp_path)
    tokenizer = SegmentTokenizer.from_checkpoint(folder)
    first, *_, last = _ids(tokenizer.encode([Segment("good morning", "fra_Latn", "eng_Latn")])[0])
    assert (first, last) == (tokenizer.target_prefix("fra_Latn")[1], tokenizer.eos_id)
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"legacy_behaviour": True}))
    with pytest.raises(StartupError, match="legacy_behaviour"):
        SegmentTokenizer.from_checkpoint(folder)


async def test_pain_06_characters_without_a_token_are_carried() -> None:
    """鸡, 鹰 and 《 》 are in the output, and `<unk>` is not."""
    result = await _translate(SmallVocabularyStation("鸡鹰《》"), "see 《鸡 and 鹰》 now")
    assert result.text == "SEE 《鸡 AND 鹰》 NOW"


async def test_pain_07_placeholders_survive() -> None:
    """Addresses, placeholders, code and emoji are there as often as in the source, whatever the model does."""
    kept = ["https://a.org/b?c=d&e", "jo@a.org", "{name}", "{{count}}", "%s", "%(n)d", "${x}", "$t(a.b)", "`a b`",
            '<x id="1"/>', "#tag", "@me", "/etc/hosts", "👩🏽‍🚀"]  # fmt: skip
    text = " and then ".join(kept) + " end"
    for station in (ShoutingStation(), MangleStation()):
        result = await _translate(station, text)
        assert result.text == " AND THEN ".join(kept) + " END"


async def test_pain_08_tags_come_back_whole() -> None:
    """The same tags, properly nested, and the white space between blocks."""
    source = "<ul>\n  <li>One <b>two <i>three</i></b> four</li>\n  <li><a href='x'>Five</a></li>\n</ul>\n"
    expected = "<ul>\n  <li>ONE <b>TWO <i>THREE</i></b> FOUR</li>\n  <li><a href='x'>FIVE</a></li>\n</ul>\n"
    assert (await _translate(ShoutingStation(), source, format="html")).text == expected
    unplaceable = DictionaryStation({"One two three four": "A B C"})
    result = await _translate(unplaceable, "<li>One <b>two <i>three</i></b> four</li>", format="html")
    assert result.text == "<li>ONE <b>TWO <i>THREE</i></b> FOUR</li>"
    assert "tags_split" in [each.code for each in result.notices]


async def test_pain_09_newlines_and_repeated_paragraphs_stay() -> None:
    """Four paragraphs of which two are equal are four paragraphs; blank lines and tabs stay."""
    text = "Yes.\r\n\r\nNo.\n\n\n\tYes.\n \nNo. \n"
    assert (await _translate(ShoutingStation(), text)).text == text.upper()


@pytest.mark.parametrize("text", ["hello handsome", "ok", "123", ""])
def test_pain_10_short_text_is_not_guessed(text: str) -> None:
    """An error that names the candidates, not Bengali; a script of one language is enough."""
    detector = LanguageDetector()
    with pytest.raises(UndetectedLanguageError, match="cannot be told"):
        detector.detect(text)
    assert detector.detect("สวัสดี").language == "tha_Thai"


async def test_pain_11_each_item_has_its_own_language() -> None:
    """A batch in three languages is translated from three."""
    texts = [
        "Où est la pharmacie, s'il vous plaît ?",
        "कृपया मुझे बताइए कि अस्पताल कहाँ है।",
        "Wo ist bitte die nächste Apotheke?",
    ]
    results = await TranslationPipeline(ShoutingStation()).translate_many(
        [TranslationRequest(text, "auto", "en") for text in texts]
    )
    found = [each.source_lang for each in results if isinstance(each, TranslationResult)]
    assert found == ["fra_Latn", "hin_Deva", "deu_Latn"]


def test_pain_12_codes_of_all_kinds_are_understood() -> None:
    """ISO 639-1 and -3, BCP-47, other services'; an unknown one is answered with the nearest."""
    pairs = {"en": "eng_Latn", "ENG": "eng_Latn", "zh-CN": "zho_Hans", "zh-TW": "zho_Hant", "pt_BR": "por_Latn",
             "sr-Cyrl": "srp_Cyrl", "iw": "heb_Hebr", "nb": "nob_Latn"}  # fmt: skip
    assert {code: resolve_language(code).code for code in pairs} == pairs
    with pytest.raises(UnknownLanguageError, match="nearest: eng_Latn"):
        resolve_language("englsh")


def test_pain_13_out_of_memory_halves_the_batch(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that do not fit together are translated a few at a time; none fails."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(checkpoint / "cache"))
    engine = InflightEngine.from_checkpoint(locate_checkpoint(str(checkpoint)), device=torch.device("cpu"), max_rows=8)
    batch = engine._lanes[0]._batch
    join = batch.join

    def join_two_at_most(requests: list[Any]) -> None:
        if len(requests) > 2:
            raise torch.OutOfMemoryError
        join(requests)

    batch.join = join_two_at_most  # type: ignore[method-assign]
    try:
        rows = engine.encode([Segment("good morning", "eng_Latn", "fra_Latn")] * 8)
        outcomes = [
            future.result(WAIT_S) for future in engine.submit([r for r in rows if isinstance(r, EncodedSegment)])
        ]
    finally:
        engine.close()
    assert len(outcomes) == 8
    assert not any(isinstance(outcome, Failure) for outcome in outcomes)


async def test_pain_14_memory_is_bounded() -> None:
    """A cache never holds more than its bounds, in entries and in bytes, however much goes through it."""
    store = MemoryStore(max_entries=100, max_bytes=10_000, ttl_s=None)
    for number in range(5_000):
        await store.put_many({f"{number:064}": b"x" * 150})
    stats = await store.stats()
    assert stats.entries is not None
    assert stats.entries <= 100
    assert stats.size_bytes is not None
    assert stats.size_bytes <= 10_000


async def test_pain_14_requests_leave_nothing_behind() -> None:
    """Through all stages, a thousand texts that never were before: not one block of memory for each stays."""
    store = MemoryStore(max_entries=20, max_bytes=100_000, ttl_s=None)
    pipeline = TranslationPipeline(
        ReadThroughCache(store, EngineStation(IdentityEngine(), model_revision="model"), "model")
    )

    async def kept_blocks_after(numbers: range) -> int:
        for number in numbers:
            text = f"<p>Text {number} is <b>here</b>, %s.</p>"
            await pipeline.translate(TranslationRequest(text, "en", "es", format="html"))
        gc.collect()
        return sys.getallocatedblocks()

    before = await kept_blocks_after(range(200))
    assert await kept_blocks_after(range(200, 1200)) - before < 1000


async def test_pain_15_healthy_means_that_a_translation_came_back() -> None:
    """A translator that answers nothing turns the health check red, while the process is alive."""
    fleet = FakeFleet()
    fleet.healthy = False
    async with _client(fleet=fleet) as client:
        assert (await client.get("/health")).status_code == 503
        assert (await client.get("/health/ready")).status_code == 503
        assert (await client.get("/health/live")).status_code == 200


async def test_pain_16_many_small_requests_share_batches() -> None:
    """Requests of many callers that arrive while the model is busy are admitted together."""
    engine = ManualEngine(max_rows=8)
    station = EngineStation(engine)
    requests = [asyncio.create_task(station.translate([Segment(text, "eng_Latn", "spa_Latn")])) for text in "abcdefgh"]
    await _until(lambda: len(engine.rows) == 8)
    engine.finish(8)
    await asyncio.gather(*requests)
    assert len(engine.batches) < 8


async def test_pain_17_an_adapter_in_use_is_not_taken_away(tmp_path: Path) -> None:
    """Versions are counted by the rows that use them; rows of several adapters and of none share a batch."""
    engine = ManualEngine(max_rows=4)
    engine.load_adapter("medical@1", tmp_path)
    engine.load_adapter("legal@2", tmp_path)
    segments = [
        Segment(t, "eng_Latn", "spa_Latn", adapter=a) for t, a in (("a", "medical@1"), ("b", "legal@2"), ("c", None))
    ]
    asked = asyncio.create_task(EngineStation(engine).translate(segments))
    await _until(lambda: len(engine.rows) == 3)
    assert engine.batches == [["a", "b", "c"]]
    assert not engine.unload_adapter("medical@1")
    engine.finish(3)
    await asked
    assert engine.unload_adapter("medical@1")


async def test_pain_18_batches_are_not_split_by_adapter() -> None:
    """Eight rows of eight adapters are one encoder batch, and an unknown adapter fails its row alone."""
    engine = ManualEngine(max_rows=8)
    for number in range(7):
        engine.load_adapter(f"domain@{number}", Path())
    segments = [Segment("a", "eng_Latn", "spa_Latn", adapter=f"domain@{number}") for number in range(8)]
    asked = asyncio.create_task(EngineStation(engine).translate(segments))
    await _until(lambda: len(engine.rows) == 7)
    engine.finish(7)
    outcomes = await asked
    assert len(engine.batches) == 1
    assert [isinstance(outcome, Failure) for outcome in outcomes] == [False] * 7 + [True]


async def test_pain_19_overload_is_refused_at_once() -> None:
    """Over the limit: 503 with Retry-After now, not a time-out later; whoever was let in is answered."""
    gate = asyncio.Event()

    class Waiting(ShoutingStation):
        async def translate(self, segments: list[Segment]) -> list[Any]:
            await gate.wait()
            return await super().translate(segments)

    body = {"text": "Hello.", "source_lang": "en", "target_lang": "es"}
    async with _client(Waiting(), max_ongoing_requests=1) as client:
        asked = [asyncio.create_task(client.post("/translate", json=body)) for _ in range(3)]
        await _until(lambda: sum(task.done() for task in asked) == 2)
        gate.set()
        responses = [await task for task in asked]
    assert sorted(response.status_code for response in responses) == [200, 503, 503]
    assert {r.headers.get("retry-after") for r in responses if r.status_code == 503} == {"1"}


async def test_pain_20_numbers_are_checked_and_keys_tell_settings_apart() -> None:
    """18.10 that became 18h10 is flagged; whatever decides an output is in its cache key."""
    station = DictionaryStation({"The train leaves at 18.10.": "El tren sale a las 18h10."})
    result = await _translate(station, "The train leaves at 18.10.")
    assert [each.code for each in result.notices] == ["numbers_changed"]
    segment = Segment("a", "eng_Latn", "spa_Latn")
    others = [
        Segment("a|b", "eng_Latn", "spa_Latn"),
        Segment("a", "eng_Latn", "fra_Latn"),
        Segment("a", "eng_Latn", "spa_Latn", adapter="medical@1"),
        Segment("a", "eng_Latn", "spa_Latn", decoding=DecodingOptions(num_beams=2)),
    ]
    keys = {segment_key(each, "model") for each in (segment, *others)} | {segment_key(segment, "another model")}
    assert len(keys) == 6


async def _until(condition: Any) -> None:
    async with asyncio.timeout(WAIT_S):
        # Threads of the event loop's executor make it true.
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)
