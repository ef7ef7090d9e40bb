"""Every error that a caller can act on. Domain errors know no HTTP.

TranslationError
|-- InvalidRequestError         the caller can fix it
|   |-- InvalidTextError        text that is not valid Unicode
|   |-- UnknownLanguageError    no such language code
|   |-- UnknownGlossaryError    no glossary of that name or version
|   |-- GlossaryExistsError     there is one of that name
|   |-- UndetectedLanguageError  the language cannot be told from the text
|   |-- UnsupportedOptionError  an option the model or the configuration does not allow
|   |-- UnknownAdapterError     no adapter of that name or version
|   |-- InvalidAdapterError     an adapter's files cannot be used with the model
|   |-- AdapterLanguageError    the adapter was not trained for this language pair
|   |-- AdapterBaseError        the adapter belongs to another base model
|   |-- AdapterConflictError    the state of an adapter's versions does not allow this
|   |-- TextTooLongError        over the limit of characters
|   |-- TooManyItemsError       over the limit of items in a batch
|   |-- BodyTooLargeError       over the limit of bytes in a body
|   |-- BodyTimeoutError        a body that did not arrive in time
|   `-- MediaTypeError          a body that is not sent as JSON
|-- AccessError                 the caller may not do this, or not now
|   |-- UnauthenticatedError    no key, or one that is not valid
|   |-- ForbiddenError          a key that does not allow this
|   |-- RateLimitedError        too many requests in a short time
|   `-- QuotaExceededError      the key's characters of this month are used up
|-- DeadlineExceededError       not done in time
|-- OverloadedError             refused at once, come back later
|-- UnavailableError            a station cannot be reached now
|-- SegmentTooLongError         more tokens than the model reads; the pipeline splits and tries again
|-- EngineError                 the model failed on this segment
`-- StartupError                configuration or model cannot be used; the process must not start

Every error survives pickling, because it crosses process boundaries as part of an outcome: it can be made of its
message alone, and the rest are plain attributes.
"""

from __future__ import annotations

from dataclasses import dataclass


class TranslationError(Exception):
    """Root of all errors of the project.

    Attributes:
        code: A stable, machine-readable name of the kind of error.
        message: One sentence for the caller: what was wrong, its value, what is accepted.
        field: The request's field at fault, in dotted form (`items.3.text`), or None.
        retry_after_s: When another try may succeed, or None.
    """

    code = "internal"

    def __init__(self, message: str, *, field: str | None = None, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after_s = retry_after_s


class InvalidRequestError(TranslationError):
    """The request cannot be served as it is; the caller can fix it."""

    code = "invalid_request"


class InvalidTextError(InvalidRequestError):
    """The text is not valid Unicode: it holds a lone surrogate."""

    code = "invalid_text"


class UnknownLanguageError(InvalidRequestError):
    """No language has this code; the message names the nearest ones."""

    code = "unknown_language"


class UndetectedLanguageError(InvalidRequestError):
    """The language cannot be told from the text; the message names the candidates."""

    code = "undetected_language"


class UnknownGlossaryError(InvalidRequestError):
    """No glossary has this name or version."""

    code = "unknown_glossary"


class GlossaryExistsError(InvalidRequestError):
    """There is a glossary of this name."""

    code = "glossary_exists"


class UnsupportedOptionError(InvalidRequestError):
    """An option is outside what the model or the configuration allows."""

    code = "unsupported_option"


class UnknownAdapterError(InvalidRequestError):
    """No adapter has this name or version."""

    code = "unknown_adapter"


class InvalidAdapterError(InvalidRequestError):
    """An adapter's files cannot be read, or do not fit the model; the message names the file or key at fault."""

    code = "invalid_adapter"


class AdapterLanguageError(InvalidRequestError):
    """The adapter was not trained for this language pair; the message names those it was trained for."""

    code = "adapter_language"


class AdapterBaseError(InvalidRequestError):
    """The adapter was trained on another base model than the one that is served."""

    code = "adapter_base"


class AdapterConflictError(InvalidRequestError):
    """What is live, on trial or retired does not allow this change."""

    code = "adapter_conflict"


class TextTooLongError(InvalidRequestError):
    """The text has more characters than one request may carry. Nothing is ever cut."""

    code = "text_too_long"


class TooManyItemsError(InvalidRequestError):
    """The batch has more items than one request may carry."""

    code = "too_many_items"


class BodyTooLargeError(InvalidRequestError):
    """The request's body has more bytes than the service reads."""

    code = "body_too_large"


class BodyTimeoutError(InvalidRequestError):
    """The request's body did not arrive in time."""

    code = "body_timeout"


class MediaTypeError(InvalidRequestError):
    """The request's body is not sent as JSON."""

    code = "unsupported_media_type"


class AccessError(TranslationError):
    """The caller may not do this, or not now."""

    code = "access_denied"


class UnauthenticatedError(AccessError):
    """No key was shown, or it is unknown, revoked or expired; which of these is not said."""

    code = "unauthenticated"


class ForbiddenError(AccessError):
    """The key is good, but does not allow this."""

    code = "forbidden"


class RateLimitedError(AccessError):
    """The caller sent more requests than it may in a short time."""

    code = "rate_limited"


class QuotaExceededError(AccessError):
    """The key's characters of this month are used up."""

    code = "quota_exceeded"


class DeadlineExceededError(TranslationError):
    """The translation was not done in the time the request had."""

    code = "deadline_exceeded"


@dataclass(frozen=True, slots=True)
class Full:
    """Who has no room, and for how long.

    Attributes:
        name: Of who has none, among all that a caller may be sent to.
        for_s: As long nothing else is taken that has the same time.
        work_s: What was refused would have taken so long.
    """

    name: str
    for_s: float
    work_s: float


class OverloadedError(TranslationError):
    """The service has more work than it can do in time and refuses this at once.

    Attributes:
        full: Whether other calls will be refused, too; None is not known.
    """

    code = "overloaded"

    def __init__(
        self, message: str, *, field: str | None = None, retry_after_s: float | None = None, full: Full | None = None
    ) -> None:
        super().__init__(message, field=field, retry_after_s=retry_after_s)
        self.full = full


class UnavailableError(TranslationError):
    """A station of the service cannot be reached at the moment."""

    code = "unavailable"


class SegmentTooLongError(TranslationError):
    """The segment has more tokens than the model reads; the pipeline splits it and tries again."""

    code = "segment_too_long"


class EngineError(TranslationError):
    """The model failed on this segment."""

    code = "engine_failed"


class StartupError(TranslationError):
    """The configuration or the model cannot be used; the message says what to do."""

    code = "startup_failed"
