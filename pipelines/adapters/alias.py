"""Which version of an adapter answers to its name: the alias, what each change makes of it, and its history.

A change is a new record of a log and never a new content of an old one, so the newest record is the alias, all
records are its history, and two who change it at once write for the same number, of whom one wins. Knows no store.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, PositiveInt, model_validator

from pipelines.adapters.manifest import version_name
from pipelines.errors import AdapterConflictError, InvalidRequestError

Action = Literal["promote", "rollback", "canary", "withdraw", "retire"]
Percent = Annotated[float, Field(ge=0, le=100)]
Anything = Literal["anything"]
ANYTHING: Final = "anything"
_MAX_EARLIER = 50
_NO_CANARY: dict[str, Any] = {"canary": None, "canary_percent": 0.0, "shadow_percent": 0.0}


class AliasRecord(BaseModel):
    """The whole state of an alias after one change."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, use_attribute_docstrings=True)

    number: PositiveInt
    """Its place in the log."""
    action: Action
    """What was asked for."""
    version: PositiveInt | None = None
    """The version that it was asked for."""
    at: AwareDatetime
    """When, UTC."""
    live: PositiveInt | None = None
    """Version that answers to the name."""
    canary: PositiveInt | None = None
    """Version that is on trial."""
    canary_percent: Percent = 0.0
    """Share of the requests that the canary answers."""
    shadow_percent: Percent = 0.0
    """Share of the others that the canary also translates, for comparison."""
    earlier: tuple[PositiveInt, ...] = ()
    """Versions that were live before, the latest last: where a rollback goes."""
    retired: tuple[PositiveInt, ...] = ()
    """Versions that are not served any more."""
    nonce: str | None = None
    """Random, so that whoever wrote a record knows it from another's that says the same; older ones have none."""

    @model_validator(mode="after")
    def _percentages_need_a_canary(self) -> Self:
        if self.canary is None and (self.canary_percent or self.shadow_percent):
            raise ValueError("canary_percent and shadow_percent should be 0 without a canary")
        return self


class Alias(BaseModel):
    """An alias as it is now, and how it came to be."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str
    live: int | None = None
    """See `AliasRecord`, as the next four."""
    canary: int | None = None
    canary_percent: float = 0.0
    shadow_percent: float = 0.0
    retired: tuple[int, ...] = ()
    history: tuple[AliasRecord, ...] = ()
    """All changes, the oldest first."""


def alias_of(name: str, records: tuple[AliasRecord, ...]) -> Alias:
    """Return the alias that a log comes to; it has at least one record, the oldest is first."""
    last = records[-1]
    return Alias(
        name=name,
        live=last.live,
        canary=last.canary,
        canary_percent=last.canary_percent,
        shadow_percent=last.shadow_percent,
        retired=last.retired,
        history=records,
    )


def promoted(
    name: str, last: AliasRecord | None, version: int, expected_live: int | Anything | None = ANYTHING
) -> dict[str, Any]:
    """Return what is other once a version goes live; a trial of it ends with that.

    Raises:
        AdapterConflictError: It is retired, or another was live than expected.
    """
    live = last.live if last else None
    if expected_live not in (ANYTHING, live):
        raise AdapterConflictError(f"{name}: live is {live}, not {expected_live} as expected")
    _refuse_retired(name, last, version)
    if version == live:
        return {}
    ends_trial = last is not None and version == last.canary
    return {"live": version, "earlier": _left_behind(last, version), **(_NO_CANARY if ends_trial else {})}


def rolled_back(name: str, last: AliasRecord | None) -> dict[str, Any]:
    """Return what a rollback changes: a trial ends; where there is none, the version that was live before returns.

    Raises:
        AdapterConflictError: There is nothing to go back to.
    """
    if last is not None and last.canary is not None:
        return _NO_CANARY
    if last is None or not last.earlier:
        raise AdapterConflictError(f"{name} has no canary, and no version was live before: nothing to go back to")
    return {"live": last.earlier[-1], "earlier": last.earlier[:-1]}


def withdrawn(name: str, last: AliasRecord | None) -> dict[str, Any]:
    """Return what is other once a name points to no version; a trial ends with that, and a rollback undoes it.

    Raises:
        AdapterConflictError: Nothing is live.
    """
    if last is None or last.live is None:
        raise AdapterConflictError(f"{name} points to no version: nothing to withdraw")
    return {"live": None, "earlier": _left_behind(last, None), **_NO_CANARY}


def on_trial(
    name: str, last: AliasRecord | None, version: int, canary_percent: float, shadow_percent: float
) -> dict[str, Any]:
    """Return what a canary changes.

    Raises:
        InvalidRequestError: A percentage is not within 0 and 100.
        AdapterConflictError: It is retired or live, or nothing is live.
    """
    for field, value in (("percent", canary_percent), ("shadow_percent", shadow_percent)):
        if not 0 <= value <= 100:
            raise InvalidRequestError(f"{field} is {value:g}; accepted is 0 to 100", field=field)
    _refuse_retired(name, last, version)
    if last is None or last.live is None:
        raise AdapterConflictError(f"{name} has no live version to compare a canary with; promote one")
    if version == last.live:
        raise AdapterConflictError(f"{version_name(name, version)} is live already")
    change = {"canary": version, "canary_percent": canary_percent, "shadow_percent": shadow_percent}
    return change if change.items() - last.model_dump(include=set(change)).items() else {}


def retired(name: str, last: AliasRecord | None, version: int) -> dict[str, Any]:
    """Return what retiring a version changes.

    Raises:
        AdapterConflictError: Requests are answered with it.
    """
    if last is not None and version in (last.live, last.canary):
        role = "live" if version == last.live else "on trial"
        raise AdapterConflictError(
            f"{version_name(name, version)} is {role}; promote another, roll back, or withdraw {name} first"
        )
    before = last.retired if last else ()
    if version in before:
        return {}
    earlier = tuple(each for each in (last.earlier if last else ()) if each != version)
    return {"retired": tuple(sorted({*before, version})), "earlier": earlier}


def _left_behind(last: AliasRecord | None, version: int | None) -> tuple[int, ...]:
    """Return where a rollback goes once a version, or none, takes the place of what is live."""
    if last is None:
        return ()
    before = last.earlier if last.live is None else (*last.earlier, last.live)
    return tuple(each for each in before if each != version)[-_MAX_EARLIER:]


def _refuse_retired(name: str, last: AliasRecord | None, version: int) -> None:
    if last is not None and version in last.retired:
        raise AdapterConflictError(f"{version_name(name, version)} is retired; publish it again as a new version")
