"""`GET /api/v1/adapters`: what is published, what requests get, which replicas hold what, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from fastapi import APIRouter
from pydantic import Field

from deployments import schemas
from deployments.adapters import AdapterFollower
from pipelines.adapters.manifest import Manifest
from pipelines.adapters.report import KeeperReport
from pipelines.adapters.served import Traffic
from pipelines.adapters.shadow import Comparison, Shadows
from pipelines.adapters.view import AdapterView


class AdapterVersion(schemas.WireModel):
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


class AdapterEntry(schemas.WireModel):
    """One adapter: its alias and its versions."""

    name: str
    live: int | None = Field(description="Version that the registry wants the name to mean.")
    serving: int | None = Field(description="Version that requests get: the live one, once every replica holds it.")
    canary: int | None = Field(description="Version that takes a share of the requests.")
    canary_percent: float
    shadow_percent: float
    versions: list[AdapterVersion]


class ShadowEntry(schemas.WireModel):
    """What this ingress replica found when a candidate translated beside the live version."""

    live: str
    candidate: str
    num_compared: int
    num_identical: int
    num_failed: int
    mean_chrf: float | None = Field(description="Of the candidate's translations against the live version's.")


class AdaptersResponse(schemas.WireModel):
    """All adapters."""

    registry: str | None = Field(description="Where they are published; null: this service has none.")
    adapters: list[AdapterEntry]
    shadows: list[ShadowEntry]
    problems: list[str] = Field(description="What cannot be served as it was meant to.")


def adapter_routes(follower: AdapterFollower | None, shadows: Shadows | None = None) -> APIRouter:
    """Return the routes.

    Args:
        follower: Of this ingress; None where no adapters are served.
        shadows: Of this ingress, if any.
    """
    router = APIRouter()

    @router.get("/adapters", summary="Adapters that are served")
    async def adapters() -> AdaptersResponse:
        if follower is None:
            return AdaptersResponse(registry=None, adapters=[], shadows=[], problems=[])
        return _describe(follower, await follower.reports(), shadows)

    return router


def _describe(follower: AdapterFollower, reports: Sequence[KeeperReport], shadows: Shadows | None) -> AdaptersResponse:
    served = follower.served
    problems = served.problems() + ([follower.problem] if follower.problem else [])
    problems += [f"{each.replica}: {each.registry_problem}" for each in reports if each.registry_problem]
    comparisons = {} if shadows is None else shadows.comparisons
    return AdaptersResponse(
        registry=follower.registry.uri,
        adapters=[
            _entry(adapter, served.traffic.get(name, Traffic()), reports)
            for name, adapter in served.view.adapters.items()
        ],
        shadows=[_shadow(live, candidate, found) for (live, candidate), found in comparisons.items()],
        problems=problems,
    )


def _entry(adapter: AdapterView, traffic: Traffic, reports: Sequence[KeeperReport]) -> AdapterEntry:
    record = adapter.record
    return AdapterEntry(
        name=adapter.name,
        live=None if record is None else record.live,
        serving=traffic.live,
        canary=traffic.canary,
        canary_percent=traffic.canary_percent,
        shadow_percent=traffic.shadow_percent,
        versions=[_version(manifest, adapter, reports) for manifest in adapter.manifests.values()],
    )


def _version(manifest: Manifest, adapter: AdapterView, reports: Sequence[KeeperReport]) -> AdapterVersion:
    name = manifest.full_name
    return AdapterVersion(
        version=name,
        state=_state(manifest.version, adapter),
        language_pairs=list(manifest.language_pairs),
        base_model=manifest.base_model,
        base_revision=manifest.base_revision,
        rank=manifest.rank,
        scores=dict(manifest.scores),
        created_at=manifest.created_at,
        num_bytes=manifest.num_bytes,
        replicas=[each.replica for each in reports if name in each.held],
        problems={each.replica: each.problems[name] for each in reports if name in each.problems},
    )


def _state(version: int, adapter: AdapterView) -> Literal["live", "canary", "retired", "published"]:
    record = adapter.record
    if record is not None and version == record.live:
        return "live"
    if record is not None and version == record.canary:
        return "canary"
    return "retired" if adapter.retired(version) else "published"


def _shadow(live: str, candidate: str, found: Comparison) -> ShadowEntry:
    return ShadowEntry(
        live=live,
        candidate=candidate,
        num_compared=found.num_compared,
        num_identical=found.num_identical,
        num_failed=found.num_failed,
        mean_chrf=found.mean_chrf,
    )
