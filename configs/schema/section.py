"""What a section of the settings is, and what values settings have in common."""

from __future__ import annotations

import re
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

MIB = 1024**2
_LANGUAGE = r"[a-z]{3}_[A-Z][a-z]{3}"


def _language(code: str) -> str:
    if not re.fullmatch(_LANGUAGE, code):
        raise ValueError("should be a FLORES-200 code, such as eng_Latn")
    return code


def _language_pair(pair: str) -> str:
    if not re.fullmatch(f"{_LANGUAGE}-{_LANGUAGE}", pair):
        raise ValueError("should be two FLORES-200 codes, such as eng_Latn-hin_Deva")
    return pair


def _redis_url(url: SecretStr) -> SecretStr:
    parts = _split(url.get_secret_value())
    if parts is None or parts.scheme not in {"redis", "rediss"} or not re.fullmatch(r"(/[0-9]*)?", parts.path):
        raise ValueError(
            "should be like redis://user:password@host:6379/1, with the password percent-encoded, or rediss:// for TLS"
        )
    return url


def _http_url(url: str) -> str:
    parts = _split(url)
    if parts is None or parts.scheme not in {"http", "https"}:
        raise ValueError("should be an address such as http://collector:4318/v1/traces")
    return url


def _split(url: str) -> SplitResult | None:
    """Take a URL apart, or return None if it names no host or no possible port."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None


Name = Annotated[str, Field(min_length=1)]
Ratio = Annotated[float, Field(ge=0, le=1)]
PositiveBytes = Annotated[ByteSize, Field(gt=0)]
LanguageCode = Annotated[str, AfterValidator(_language)]
LanguagePair = Annotated[str, AfterValidator(_language_pair)]
RedisUrl = Annotated[SecretStr, AfterValidator(_redis_url)]
HttpUrl = Annotated[str, AfterValidator(_http_url)]


class Section(BaseModel):
    """A group of settings: immutable, and closed to keys that it does not declare."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
    )

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_yes_as_number(cls, value: object, info: ValidationInfo) -> object:
        # YAML reads a bare `yes` or `on` as true, and pydantic reads true as 1.
        if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
            raise ValueError("should not be true or false")
        return value
