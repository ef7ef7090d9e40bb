"""Runs the text functions of another translation server, from a checkout of it, with a model that returns its input.

    cd CHECKOUT && python .../fidelity_peers.py mint|libretranslate <cases.json

A script of its own, because it runs with the peer's interpreter and libraries. What the peers need to load a model is
replaced by empty modules; of a text everything else is done by their code. Prints a JSON list: the output of each case,
`null` where the peer has no such format, or `{"error": ...}`.
"""

from __future__ import annotations

import json
import logging
import logging.config
import sys
import types
from collections.abc import Callable
from typing import Any

_NEEDED_FOR_MODELS = [
    "ctranslate2",
    "sentencepiece",
    "stanza",
    "spacy",
    "minisbd",
    "argostranslate.sbd",
    "argostranslate.package",
    "argostranslate.apis",
    "argostranslate.fewshot",
    "argostranslate.models",
]
Translate = Callable[[str, str], "str | None"]


def main() -> None:
    """Translate the cases of standard input."""
    translate = {"mint": _mint, "libretranslate": _libretranslate}[sys.argv[1]]()
    outputs: list[Any] = []
    for case in json.load(sys.stdin):
        try:
            outputs.append(translate(case["format"], case["text"]))
        except Exception as error:
            outputs.append({"error": f"{type(error).__name__}: {error}"[:200]})
    sys.__stdout__.write(json.dumps(outputs))


class _Identity:
    MODEL = "identity"

    def translate(self, source_lang: str, target_lang: str, sentences: list[str]) -> list[str]:
        return list(sentences)

    batch_translate = translate


def _mint() -> Translate:
    """MinT: `translator.*Translator` of wikimedia's machinetranslation."""
    sys.path.insert(0, ".")
    models, config = types.ModuleType("translator.models"), types.ModuleType("translator.models.config")
    models.BaseModel, models.ModelNotFoundException = _Identity, RuntimeError  # type: ignore[attr-defined]
    models.ModelFactory = lambda *_: _Identity()  # type: ignore[attr-defined]
    models.ModelConfiguration = config.ModelConfiguration = config.MTModel = object  # type: ignore[attr-defined]
    sys.modules |= {"translator.models": models, "translator.models.config": config}
    logging.config.fileConfig = lambda *_, **__: None  # type: ignore[attr-defined,assignment]
    import translator  # type: ignore[import-not-found]

    kinds = {
        "text": translator.PlainTextTranslator,
        "html": translator.HTMLTranslator,
        "json": translator.JSONTranslator,
        "markdown": translator.MarkdownTranslator,
    }

    def translate(format: str, text: str) -> str | None:
        kind = kinds.get(format)
        return None if kind is None else str(kind(None, "en", "es").translate(text))

    return translate


def _libretranslate() -> Translate:
    """LibreTranslate: what it does to a text by `argostranslate`, to HTML by `translatehtml`."""
    sys.path.insert(0, ".")
    for name in _NEEDED_FOR_MODELS:
        module = types.ModuleType(name)
        module.__getattr__ = lambda _: object  # type: ignore[attr-defined]
        sys.modules[name] = module
    from argostranslate.translate import Hypothesis, ITranslation  # type: ignore[import-not-found]
    from translatehtml import translate_html  # type: ignore[import-not-found]

    class Translation(ITranslation):  # type: ignore[misc]
        def hypotheses(self, input_text: str, num_hypotheses: int = 1) -> list[Any]:
            paragraphs = ITranslation.split_into_paragraphs(input_text)
            return [Hypothesis(ITranslation.combine_paragraphs(paragraphs), 0.0)]

    def translate(format: str, text: str) -> str | None:
        if format == "text":
            return str(Translation().translate(text))
        return str(translate_html(Translation(), text)) if format == "html" else None

    return translate


if __name__ == "__main__":
    main()
