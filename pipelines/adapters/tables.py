"""Adapters as text for a person: aligned columns, no wider than what they hold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipelines.adapters.alias import Alias
from pipelines.adapters.manifest import Manifest

_TIME = "%Y-%m-%d %H:%M:%S"


def adapters(uri: str, entries: Sequence[tuple[str, Sequence[int], Alias | None]]) -> str:
    """Return all adapters of a registry: name, versions, alias."""
    if not entries:
        return f"no adapters in {uri}"
    rows = [("ADAPTER", "LIVE", "CANARY", "VERSIONS", "RETIRED", "CHANGED (UTC)")]
    for name, versions, alias in entries:
        retired = alias.retired if alias else ()
        changed = alias.history[-1].at.strftime(_TIME) if alias else ""
        live = str(alias.live) if alias and alias.live else ""
        rows.append((name, live, _trial(alias), _numbers(versions), _numbers(retired), changed))
    return _columns(rows)


def versions(name: str, manifests: Sequence[Manifest], damaged: Mapping[str, str], alias: Alias | None) -> str:
    """Return one adapter: its versions, what is wrong with others, and the changes of its alias, the latest first."""
    rows = [("VERSION", "STATE", "PUBLISHED (UTC)", "LANGUAGES", "RANK", "SIZE", "SCORES", "BASE MODEL")]
    for each in manifests:
        rows.append(
            (
                each.full_name,
                _state(each.version, alias),
                each.created_at.strftime(_TIME),
                " ".join(each.language_pairs),
                str(each.rank),
                f"{each.num_bytes / 1e6:.1f} MB",
                " ".join(f"{key} {value:.4g}" for key, value in each.scores.items()),
                f"{each.base_model} {each.base_revision[:12]}",
            )
        )
    table = "\n".join([_columns(rows), *(f"{version}  damaged: {reason}" for version, reason in damaged.items())])
    if alias is None:
        return f"{table}\n\n{name} points to no version"
    history = [("CHANGED (UTC)", "CHANGE", "LIVE", "CANARY")]
    for record in reversed(alias.history):
        change = record.action if record.version is None else f"{record.action} {record.version}"
        trial = _share(record.canary, record.canary_percent, record.shadow_percent)
        history.append((record.at.strftime(_TIME), change, str(record.live or ""), trial))
    return f"{table}\n\n{_columns(history)}"


def manifest(shown: Manifest) -> str:
    """Return one version with all that is known of it."""
    fields = shown.model_dump(mode="json", exclude={"files", "name", "version", "format"})
    rows = [("version", shown.full_name)]
    rows += [(key, _value(value)) for key, value in fields.items() if value not in (None, {})]
    rows += [(file, f"{entry.num_bytes} bytes, sha256 {entry.sha256}") for file, entry in shown.files.items()]
    return _columns(rows)


def state(alias: Alias) -> str:
    """Return in one line what a name points to."""
    live = f"{alias.name} is {alias.name}@{alias.live}" if alias.live else f"{alias.name} points to no version"
    trial = _trial(alias)
    return f"{live}; canary {trial}" if trial else live


def _state(version: int, alias: Alias | None) -> str:
    if alias is None:
        return ""
    if version == alias.live:
        return "live"
    if version == alias.canary:
        return f"canary {_trial(alias).partition(' ')[2]}"
    return "retired" if version in alias.retired else ""


def _trial(alias: Alias | None) -> str:
    return "" if alias is None else _share(alias.canary, alias.canary_percent, alias.shadow_percent)


def _share(canary: int | None, percent: float, shadow_percent: float) -> str:
    if canary is None:
        return ""
    shadow = f", shadow {shadow_percent:g} %" if shadow_percent else ""
    return f"{canary} at {percent:g} %{shadow}"


def _numbers(numbers: Sequence[int]) -> str:
    return " ".join(map(str, numbers))


def _value(value: object) -> str:
    if isinstance(value, list):
        return " ".join(map(str, value))
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_value(each)}" for key, each in value.items())
    return str(value)


def _columns(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)
