"""`GET /api/v1/adapters`: what is published, what requests get, which replicas hold what, and what is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fastapi import APIRouter

from deployments.adapters import AdapterFollower
from deployments.schemas.adapters import AdapterEntry, AdaptersResponse, AdapterVersion, ShadowEntry
from pipelines.adapters.manifest import Manifest
from pipelines.adapters.report import KeeperReport
from pipelines.adapters.served import Traffic
from pipelines.adapters.shadow import Comparison, Shadows
from pipelines.adapters.view import AdapterView


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
