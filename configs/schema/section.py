"""What a section of the settings is, and what values settings have in common."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ByteSize, ConfigDict, Field, ValidationInfo, field_validator

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


Name = Annotated[str, Field(min_length=1)]
Ratio = Annotated[float, Field(ge=0, le=1)]
PositiveBytes = Annotated[ByteSize, Field(gt=0)]
LanguageCode = Annotated[str, AfterValidator(_language)]
LanguagePair = Annotated[str, AfterValidator(_language_pair)]


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
