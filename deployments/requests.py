"""Turns a wire request into what the pipeline is asked: defaults, limits, and what only this service may refuse."""

from __future__ import annotations

import time

from configs.schema import DecodingSettings, LimitSettings, QualitySettings
from deployments.access.meter import check_adapter
from deployments.schemas import TranslateRequest
from pipelines.errors import TooManyItemsError, TranslationError, UnsupportedOptionError
from pipelines.stages.configured import configured_second_try, wanted_decoding
from pipelines.text.glossary import Glossary
from pipelines.text.markup.pointers import check_pointers
from pipelines.types import BULK_PRIORITY, INTERACTIVE_PRIORITY, TranslationRequest


class RequestReader:
    """Reads wire requests.

    Args:
        decoding: Defaults of decoding, and the widest beam.
        quality: How suspicious sentences are decoded again.
    """

    def __init__(self, decoding: DecodingSettings, quality: QualitySettings) -> None:
        self._decoding = decoding
        self._quality = quality

    def read(
        self,
        request: TranslateRequest,
        limits: LimitSettings,
        prefix: str = "",
        stored: Glossary | TranslationError | None = None,
    ) -> TranslationRequest:
        """Return what the pipeline is asked.

        Args:
            request: Well-formed.
            limits: What one request may ask for.
            prefix: What precedes a field's name in an error, such as `items.3.`.
            stored: The stored glossary that it names, or what is wrong with that.

        Raises:
            UnsupportedOptionError: An option is outside what is allowed; the message names the field.
            TooManyItemsError: A list is over its limit.
        """
        if isinstance(stored, TranslationError):
            raise stored
        _check_sizes(request, limits, prefix)
        check_adapter(request.adapter, f"{prefix}adapter")
        _check_pointers(request, prefix)
        decoding = wanted_decoding(
            self._decoding,
            num_beams=request.num_beams,
            alternatives=request.alternatives,
            max_length=request.max_length,
            field_prefix=prefix,
        )
        return TranslationRequest(
            text=request.text,
            source_lang=request.source_lang,
            target_lang=request.target_lang,
            adapter=request.adapter,
            format=request.format,
            json_include=tuple(request.json_include),
            json_exclude=tuple(request.json_exclude),
            decoding=decoding,
            deadline_s=time.monotonic() + limits.request_timeout_s,
            priority=BULK_PRIORITY if prefix else INTERACTIVE_PRIORITY,
            field_prefix=prefix,
            glossaries=tuple(each for each in (_inline_glossary(request, prefix), stored) if each is not None),
            keep_terms=tuple(request.do_not_translate),
            keep_patterns=tuple(request.protect_patterns),
            second_try=configured_second_try(decoding, self._quality),
        )


def _check_sizes(request: TranslateRequest, limits: LimitSettings, prefix: str) -> None:
    sizes = (
        ("glossary", len(request.glossary or ()), limits.max_glossary_terms),
        ("do_not_translate", len(request.do_not_translate), limits.max_kept_terms),
        ("protect_patterns", len(request.protect_patterns), limits.max_kept_patterns),
        ("json_include", len(request.json_include), limits.max_json_pointers),
        ("json_exclude", len(request.json_exclude), limits.max_json_pointers),
    )
    for field, size, most in sizes:
        if size > most:
            raise TooManyItemsError(
                f"{prefix}{field} has {size} entries; at most {most} are accepted", field=f"{prefix}{field}"
            )


def _check_pointers(request: TranslateRequest, prefix: str) -> None:
    for name, pointers in (("json_include", request.json_include), ("json_exclude", request.json_exclude)):
        check_pointers(pointers, f"{prefix}{name}")
        if pointers and request.format != "json":
            raise UnsupportedOptionError(
                f"{prefix}{name} needs format 'json', not {request.format!r}", field=f"{prefix}{name}"
            )


def _inline_glossary(request: TranslateRequest, prefix: str) -> Glossary | None:
    if not request.glossary:
        return None
    options = request.glossary_options
    return Glossary(
        request.glossary,
        match_case=options.match_case,
        match_inflections=options.match_inflections,
        field=f"{prefix}glossary",
    )
