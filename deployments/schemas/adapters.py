"""What is published, what requests get, and which replicas hold what."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from deployments.schemas.wire import WireModel


class AdapterVersion(WireModel):
    """One published version."""

    version: str = Field(description="How a request names it: `medical@3`.")
    state: Literal["live", "canary", "retired", "published"] = Field(description="What the registry wants it to be.")
    language_pairs: list[str]
    base_model: str
    base_revision: str
    rank: int
    scores: dict[str, float] = Field(description="Measured on the dev set when it was published.")
    created_at: datetime
    num_bytes: int = Field(description="Of its files.")
    replicas: list[str] = Field(description="Translators that hold it in memory.")
    problems: dict[str, str] = Field(description="By replica: why it could not be loaded.")


class AdapterEntry(WireModel):
    """One adapter: its alias and its versions."""

    name: str
    live: int | None = Field(description="Version that the registry wants the name to mean.")
    serving: int | None = Field(description="Version that requests get: the live one, once every replica holds it.")
    canary: int | None = Field(description="Version that takes a share of the requests.")
    canary_percent: float
    shadow_percent: float
    versions: list[AdapterVersion]


class ShadowEntry(WireModel):
    """What this ingress replica found when a candidate translated beside the live version."""

    live: str
    candidate: str
    num_compared: int
    num_identical: int
    num_failed: int
    mean_chrf: float | None = Field(description="Of the candidate's translations against the live version's.")


class AdaptersResponse(WireModel):
    """All adapters."""

    registry: str | None = Field(description="Where they are published; null: this service has none.")
    adapters: list[AdapterEntry]
    shadows: list[ShadowEntry]
    problems: list[str] = Field(description="What cannot be served as it was meant to.")
