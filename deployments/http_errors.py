"""The one map from errors to HTTP. Internals never reach a client: what is not in the map is a plain 500."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.schemas import ErrorDetail, ErrorResponse
from pipelines import errors

_LOGGER = logging.getLogger(__name__)

STATUS: Mapping[type[errors.TranslationError], int] = MappingProxyType(
    {
        errors.InvalidRequestError: 400,
        errors.InvalidTextError: 400,
        errors.UnknownLanguageError: 400,
        errors.UndetectedLanguageError: 400,
        errors.UnknownGlossaryError: 404,
        errors.GlossaryExistsError: 409,
        errors.UnsupportedOptionError: 400,
        errors.UnknownAdapterError: 404,
        errors.InvalidAdapterError: 422,
        errors.AdapterLanguageError: 400,
        errors.AdapterBaseError: 409,
        errors.AdapterConflictError: 409,
        errors.TextTooLongError: 413,
        errors.TooManyItemsError: 413,
        errors.BodyTooLargeError: 413,
        errors.BodyTimeoutError: 408,
        errors.MediaTypeError: 415,
        errors.AccessError: 403,
        errors.UnauthenticatedError: 401,
        errors.ForbiddenError: 403,
        errors.RateLimitedError: 429,
        errors.QuotaExceededError: 429,
        errors.DeadlineExceededError: 504,
        errors.OverloadedError: 503,
        errors.UnavailableError: 503,
        errors.SegmentTooLongError: 500,
        errors.EngineError: 500,
        errors.StartupError: 500,
        errors.TranslationError: 500,
    }
)
_HTTP_CODES = {404: "not_found", 405: "method_not_allowed"}
# A value in a message is for recognising it, not for sending it back whole.
_MAX_VALUE_CHARS = 60


def install_error_handlers(api: FastAPI) -> None:
    """Give every error of the application the one JSON shape.

    The handlers are coroutines: plain functions are run in a thread each, which under load takes longer than they do.
    """
    api.add_exception_handler(errors.TranslationError, _on_translation_error)
    api.add_exception_handler(RequestValidationError, _on_validation_error)
    api.add_exception_handler(HTTPException, _on_http_exception)


class UnexpectedErrorMiddleware:
    """Answers what nobody foresaw with a plain 500. Plain ASGI.

    Stands inside of what adds headers to answers: Starlette's own handler of all exceptions is outside of everything,
    so its answer would have none of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, whatever happens; an answer that has begun can only be broken off."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def send_and_see(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_see)
        except Exception as error:
            detail = unexpected_detail(error, scope["state"]["request_id"])
            if started:
                raise
            note_error(scope, detail.code)
            await _json(500, detail, {})(scope, receive, send)


def note_error(scope: Scope, code: str) -> None:
    """Keep the code of an error that the client is told of, for the metrics and the log."""
    scope.setdefault("state", {}).setdefault("error_codes", []).append(code)


async def refuse(error: errors.TranslationError, scope: Scope, receive: Receive, send: Send) -> None:
    """Answer a request with an error before its route sees it."""
    note_error(scope, error.code)
    await error_response(error, scope["state"]["request_id"])(scope, receive, send)


def error_response(error: errors.TranslationError, request_id: str) -> JSONResponse:
    """Return the answer for an error."""
    headers = {}
    if isinstance(error, errors.UnauthenticatedError):
        headers["WWW-Authenticate"] = "Bearer"
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return _json(STATUS.get(type(error), 500), error_detail(error, request_id), headers)


def error_detail(error: errors.TranslationError, request_id: str) -> ErrorDetail:
    """Return what a client may know of an error."""
    return ErrorDetail(code=error.code, message=error.message, field=error.field, request_id=request_id)


def unexpected_detail(error: Exception, request_id: str) -> ErrorDetail:
    """Log an error that is no `TranslationError`, and return what a client may know of it: nothing."""
    _LOGGER.error("unexpected error in request %s", request_id, exc_info=error)
    message = "the service failed on this request; its log has the cause under the request id"
    return ErrorDetail(code="internal", message=message, field=None, request_id=request_id)


def validation_error(error: ValidationError | RequestValidationError, prefix: str = "") -> errors.InvalidRequestError:
    """Name the first field that is wrong, its value, and what is accepted."""
    details: Sequence[Any] = error.errors()
    first = details[0]
    location = [str(part) for part in first["loc"] if part != "body"]
    if first["type"] == "json_invalid":
        return errors.InvalidRequestError(
            f"the body is not valid JSON: {first.get('ctx', {}).get('error', 'malformed')}"
        )
    field = prefix + ".".join(location)
    message = f"{field or 'body'}: {first['msg']}"
    if first["type"] not in {"missing", "extra_forbidden"}:
        shown = repr(first["input"])
        message += f", got {shown if len(shown) <= _MAX_VALUE_CHARS else shown[:_MAX_VALUE_CHARS] + '...'}"
    return errors.InvalidRequestError(message, field=field or None)


def request_id_of(request: Request) -> str:
    """Return the id that the middleware gave the request."""
    return str(request.scope.get("state", {}).get("request_id", ""))


async def _on_translation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, errors.TranslationError)
    note_error(request.scope, error.code)
    return error_response(error, request_id_of(request))


async def _on_validation_error(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    found, status = validation_error(error), _validation_status(error)
    if isinstance(error.body, bytes):  # FastAPI reads what is sent as JSON, and nothing else
        found, status = _media_type_error(request), STATUS[errors.MediaTypeError]
    note_error(request.scope, found.code)
    return _json(status, error_detail(found, request_id_of(request)), {})


async def _on_http_exception(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code, headers = _HTTP_CODES.get(error.status_code, "http_error"), dict(error.headers or {})
    message = str(error.detail)
    if error.status_code == 405 and "Allow" in headers:
        message = f"{request.method} is not accepted here; {headers['Allow']} is"
    note_error(request.scope, code)
    detail = ErrorDetail(code=code, message=message, field=None, request_id=request_id_of(request))
    return _json(error.status_code, detail, headers)


def _media_type_error(request: Request) -> errors.MediaTypeError:
    sent = request.headers.get("content-type")
    came = "without the header" if sent is None else f"as {sent[:_MAX_VALUE_CHARS]!r}"
    return errors.MediaTypeError(
        f"the body should be JSON, with the header Content-Type: application/json; it came {came}"
    )


def _validation_status(error: RequestValidationError) -> int:
    return 400 if error.errors()[0]["type"] == "json_invalid" else 422


def _json(status: int, detail: ErrorDetail, headers: dict[str, str]) -> JSONResponse:
    return JSONResponse(ErrorResponse(error=detail).model_dump(), status_code=status, headers=headers)
