"""What the service is compared with: `python -m benchmarks.load_servers echo|ctranslate2|transformers PORT MODEL`.

All read the same body as `/api/v1/translate` at `/translate`, and run the same weights, tokenizer and sentence
splitting as the service on the same number of threads. They have no cache, no batching across requests and no limits.
"""

# No postponed annotations: FastAPI and Serve look at those of routes that are made inside functions.
import asyncio
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel

NUM_THREADS = 2
_MAX_NEW_TOKENS = 256


class Body(BaseModel):
    """The request of all of them."""

    text: str
    source_lang: str
    target_lang: str
    max_length: int | None = None

    @property
    def max_new_tokens(self) -> int:
        """Most tokens of the output of one sentence."""
        return _MAX_NEW_TOKENS if self.max_length is None else self.max_length


def main() -> None:
    """Serve until the process is ended."""
    system, port, model = sys.argv[1:]
    if system == "echo":
        _serve_echo(int(port))
        return
    import uvicorn
    from fastapi import FastAPI

    translate = {"ctranslate2": _ctranslate2, "transformers": _transformers}[system](Path(model))
    api = FastAPI()

    @api.post("/translate")
    async def route(body: Body) -> dict[str, str]:
        return {"translation": await asyncio.to_thread(translate, body)}

    uvicorn.run(api, host="127.0.0.1", port=int(port), log_level="error")


def _serve_echo(port: int) -> None:
    """A FastAPI ingress of Ray Serve that returns the text: what an answer costs at least on this path."""
    os.environ["RAY_AUTH_MODE"] = "disabled"
    import ray
    from fastapi import FastAPI
    from ray import serve

    api = FastAPI()

    @serve.deployment(max_ongoing_requests=1000, ray_actor_options={"num_cpus": 0.1})
    @serve.ingress(api)
    class Echo:
        @api.post("/translate")
        async def translate(self, body: Body) -> dict[str, str]:
            return {"translation": body.text}

    ray.init(address="local", include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Echo.bind())
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        serve.shutdown()  # Ray alone would leave HAProxy behind


def _ctranslate2(model: Path) -> Callable[[Body], str]:
    """As nllb-api does it: int8, one call of the translator per request."""
    import ctranslate2
    from ctranslate2.converters import TransformersConverter

    from pipelines.engine.checkpoint import cache_folder

    converted = cache_folder() / "benchmarks" / f"{model.name}-{os.stat(model / 'config.json').st_mtime_ns}-ct2-int8"
    if not (converted / "model.bin").is_file():
        TransformersConverter(str(model)).convert(str(converted), quantization="int8", force=True)
    translator = ctranslate2.Translator(
        str(converted), device="cpu", compute_type="int8", inter_threads=NUM_THREADS, intra_threads=1
    )
    text_to_ids, ids_to_text, names = _tokenizer(model)
    numbers = {name: token for token, name in names.items()}

    def translate(body: Body) -> str:
        pieces, rows, target = text_to_ids(body)
        results = translator.translate_batch(
            [[names[token] for token in row] for row in rows],
            target_prefix=[[names[target]]] * len(rows),
            beam_size=1,
            max_decoding_length=body.max_new_tokens,
        )
        outputs = [[numbers[name] for name in each.hypotheses[0][1:] if name in numbers] for each in results]
        return _joined(pieces, ids_to_text(outputs))

    return translate


def _transformers(model: Path) -> Callable[[Body], str]:
    """The model's own generate behind a lock: it is not safe to call from two threads."""
    import torch
    from transformers import M2M100ForConditionalGeneration

    torch.set_num_threads(NUM_THREADS)
    loaded: Any = M2M100ForConditionalGeneration.from_pretrained(model).eval()
    text_to_ids, ids_to_text, _ = _tokenizer(model)
    alone = threading.Lock()

    def translate(body: Body) -> str:
        pieces, rows, target = text_to_ids(body)
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[1] * (longest - len(row))] for row in rows])
        with alone, torch.inference_mode():
            output = loaded.generate(
                input_ids=ids,
                attention_mask=(ids != 1).long(),
                forced_bos_token_id=target,
                num_beams=1,
                do_sample=False,
                max_new_tokens=body.max_new_tokens,
            )
        outputs = [[token for token in row if token > 2] for row in output[:, 2:].tolist()]
        return _joined(pieces, ids_to_text(outputs))

    return translate


def _tokenizer(model: Path) -> tuple[Callable[[Body], Any], Callable[[list[list[int]]], list[str]], dict[int, str]]:
    from pipelines.engine.tokenize import SegmentTokenizer
    from pipelines.protocols import EncodedSegment
    from pipelines.text.segment import split_text
    from pipelines.types import Segment

    tokenizer = SegmentTokenizer.from_checkpoint(model)
    names = {token: piece for piece, token in tokenizer.pieces().items()}

    def to_ids(body: Body) -> tuple[list[Any], list[list[int]], int]:
        pieces = split_text(body.text, body.source_lang, max_segment_chars=500)
        segments = [Segment(piece.text, body.source_lang, body.target_lang) for piece in pieces if piece.translatable]
        rows = [list(row.token_ids) for row in tokenizer.encode(segments) if isinstance(row, EncodedSegment)]
        return pieces, rows, tokenizer.target_prefix(body.target_lang)[1]

    return to_ids, tokenizer.decode, names


def _joined(pieces: list[Any], outputs: list[str]) -> str:
    translations = iter(outputs)
    return " ".join(next(translations) if piece.translatable else piece.text for piece in pieces)


if __name__ == "__main__":
    main()
