"""What is known of one version of an adapter: where it comes from, what it fits, and the exact bytes of its files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    ValidationError,
    field_validator,
)

from configs.schema import LanguagePair
from pipelines.errors import InvalidAdapterError, InvalidRequestError

MANIFEST_FILE = "manifest.json"
FileName = Literal["adapter_config.json", "adapter_model.safetensors"]
FILES: tuple[FileName, ...] = ("adapter_config.json", "adapter_model.safetensors")
"""All files of a version beside its manifest, as peft names them; nothing else is ever published, fetched or loaded."""

NAME = "[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?"
"""Pattern of what an adapter may be called."""
_NAME = re.compile(NAME)
_VERSION = re.compile(r"([^@]+)@([1-9][0-9]{0,8})")


def check_name(name: str) -> str:
    """Return an adapter's name if it can be one: it is part of paths, URLs and `name@version`.

    Raises:
        InvalidRequestError: It cannot.
    """
    if not _NAME.fullmatch(name):
        raise InvalidRequestError(
            f"adapter name {name!r} is not accepted: 1 to 64 of a-z, 0-9, - and _, beginning and ending with a "
            "letter or digit",
            field="adapter",
        )
    return name


def version_name(name: str, version: int) -> str:
    """Return how a version is written: `medical@3`."""
    return f"{name}@{version}"


def split_version(text: str) -> tuple[str, int | None]:
    """Return name and number of `medical@3`, or the text and None where it names no version."""
    match = _VERSION.fullmatch(text)
    return (match[1], int(match[2])) if match else (text, None)


def file_path(name: str, version: int, file: str) -> str:
    """Return where a file of a version is in a registry."""
    return f"adapters/{name}/{version}/{file}"


def _name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("should be 1 to 64 of a-z, 0-9, - and _")
    return name


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)


class FileEntry(_Frozen):
    """One file of a version, to the byte."""

    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    num_bytes: NonNegativeInt


class ManifestDraft(_Frozen):
    """What a publisher knows; the registry adds the rest."""

    base_model: Annotated[str, Field(min_length=1)]
    """Name of the model that the adapter was trained on, as it was configured."""
    base_revision: Annotated[str, Field(min_length=1)]
    """`ModelInfo.revision` of that model; the adapter is served on no other."""
    language_pairs: Annotated[tuple[LanguagePair, ...], Field(min_length=1)]
    """What it was trained for, such as `eng_Latn-hin_Deva`; other pairs are refused."""
    rank: PositiveInt
    """`r` of adapter_config.json."""
    alpha: PositiveFloat
    """`lora_alpha` of adapter_config.json."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the layers that are adapted, such as `q_proj`."""
    scores: Mapping[str, float] = {}
    """Measured on the dev set, such as `{"chrf": 61.2}`."""
    gate_report: Mapping[str, JsonValue] | None = None
    """What the gate measured and decided, and whether it was overruled; None if none was asked."""
    data_fingerprint: str | None = None
    """Hash of the training data."""
    seed: int | None = None
    """Of the training."""
    code_version: str | None = None
    """Commit or release of the code that trained it."""


class Manifest(ManifestDraft):
    """A published version. It is written last: what has no manifest was never published."""

    format: Literal[1] = 1
    """Of this file."""
    name: Annotated[str, AfterValidator(_name)]
    """Of the adapter."""
    version: PositiveInt
    """Numbered by the registry."""
    created_at: AwareDatetime
    """When it was published, UTC."""
    files: Mapping[FileName, FileEntry]
    """Each file's content."""

    @field_validator("files")
    @classmethod
    def _both_files(cls, files: Mapping[str, FileEntry]) -> Mapping[str, FileEntry]:
        missing = set(FILES) - set(files)
        if missing:
            raise ValueError(f"should also have {', '.join(sorted(missing))}")
        return files

    @property
    def full_name(self) -> str:
        """How a request names it: `medical@3`."""
        return version_name(self.name, self.version)

    @property
    def num_bytes(self) -> int:
        """Size of its files."""
        return sum(entry.num_bytes for entry in self.files.values())

    def to_json(self) -> bytes:
        """Return the content of `manifest.json`."""
        return self.model_dump_json(indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, content: bytes, name: str, version: int) -> Manifest:
        """Read the manifest of a version.

        Raises:
            InvalidAdapterError: It is damaged, or another version's.
        """
        try:
            manifest = cls.model_validate_json(content)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise _invalid(f"{where}: {first['msg']}" if where else first["msg"]) from None
        if (manifest.name, manifest.version) != (name, version):
            raise _invalid(f"says that it is {manifest.full_name}, and lies where {version_name(name, version)} should")
        return manifest


def complete(
    draft: ManifestDraft, name: str, version: int, created_at: datetime, files: Mapping[FileName, FileEntry]
) -> Manifest:
    """Return the manifest of a draft that has got its number."""
    known: dict[str, Any] = {field: getattr(draft, field) for field in ManifestDraft.model_fields}
    return Manifest.model_validate(
        {**known, "name": name, "version": version, "created_at": created_at, "files": dict(files)}
    )


def _invalid(message: str) -> InvalidAdapterError:
    return InvalidAdapterError(f"{MANIFEST_FILE}: {message}", field=MANIFEST_FILE)
