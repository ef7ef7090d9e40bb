"""Metrics, dashboard, alerts and runbook say the same: nothing is undefined, nothing unused, nothing undocumented."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve._private.common import DeploymentStatus

from monitoring import metrics
from monitoring.dashboard import dashboard
from monitoring.exposition import SERVE_METRICS
from monitoring.metrics import ALL, Counter, Histogram
from monitoring.prometheus_rule import prometheus_rule
from tests.prometheus_server import find_binary

ROOT = Path(__file__).parents[2]
_MONITORING = ROOT / "monitoring"
_DASHBOARD = _MONITORING / "grafana" / "translation_dashboard.json"
_SUFFIXES = r"(?:_bucket|_count|_sum)?"
_OWN_NAMES = {metric.name for metric in ALL}


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((_MONITORING / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _dashboard_exprs() -> list[str]:
    return [target["expr"] for panel in dashboard()["panels"] for target in panel.get("targets", [])]


def _exprs() -> list[str]:
    return _dashboard_exprs() + [rule["expr"] for rule in _rules()]


def test_the_dashboard_file_is_current() -> None:
    """Made by `python -m monitoring.dashboard`, never by hand."""
    assert json.loads(_DASHBOARD.read_text()) == dashboard()


def test_every_metric_that_is_asked_for_exists() -> None:
    """Queries name our own metrics, recorded rules, and those of Ray Serve that `GET /metrics` shows as well."""
    recorded = {rule["record"] for rule in _rules() if "record" in rule}
    histograms = {metric.name for metric in ALL if isinstance(metric, Histogram)}
    for expr in _exprs():
        for name in re.findall(r"\b(?:ray_)?nllb[_:][a-z0-9_:]+|\bray_serve_\w+", expr):
            if name.startswith("ray_serve_"):
                assert name in SERVE_METRICS, expr
            elif ":" in name:
                assert name in recorded, expr
            else:
                assert name.startswith("ray_"), f"Ray's prefix is missing from {name}"
                own = name.removeprefix("ray_")
                base = re.sub(r"_(bucket|count)$", "", own)
                assert own in _OWN_NAMES or base in histograms, expr


@pytest.mark.parametrize("metric", ALL, ids=lambda metric: metric.name)
def test_every_metric_is_shown(metric: metrics.Metric) -> None:
    """On the dashboard or in an alert; a counter of an exact sum with its histogram."""
    assert any(re.search(rf"ray_{metric.name}{_SUFFIXES}\b", expr) for expr in _exprs())


def test_every_metric_is_recorded() -> None:
    """Some code outside of the declarations names each one."""
    sources = [*ROOT.glob("deployments/**/*.py"), *ROOT.glob("train/**/*.py"), _MONITORING / "process.py"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    sums = {metric.total for metric in ALL if isinstance(metric, Histogram)}
    unused = [
        name
        for name, metric in vars(metrics).items()
        if metric in ALL and metric not in sums and not re.search(rf"\bmetrics\.{name}\b", code)
    ]
    assert unused == []


def test_labels_that_are_asked_for_are_declared() -> None:
    """`by (...)` and `{...}` name labels of the metric, or those that Ray adds."""
    added = {"deployment", "replica", "application", "NodeAddress", "le"}
    labels = {metric.name: {*metric.labels, *added} for metric in ALL}
    for expr in _exprs():
        for name, matchers in re.findall(r"ray_(nllb_[a-z_]+?)(?:_bucket|_count)?\{([^}]*)\}", expr):
            assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) <= labels[name], expr


def test_panels_do_not_overlap_and_fill_their_rows() -> None:
    """Every place of the grid is taken once; ids are unique; each panel says what it answers."""
    panels = dashboard()["panels"]
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        assert place["x"] + place["w"] <= 24
        assert panel["type"] == "row" or panel["description"]
    assert taken == {(x, y) for x in range(24) for y in range(max(y for _, y in taken) + 1)}
    assert len({panel["id"] for panel in panels}) == len(panels)


def test_states_are_called_as_those_call_them_who_set_them() -> None:
    """Ray Serve's numbers of a deployment's state, and ours of a circuit breaker's."""
    words = {
        panel["title"]: {int(value): word["text"] for value, word in mapping["options"].items()}
        for panel in dashboard()["panels"]
        for mapping in panel.get("fieldConfig", {}).get("defaults", {}).get("mappings", ())
    }
    of_serve = {status.to_numeric(): status.value.replace("_", " ").lower() for status in DeploymentStatus}
    assert words.pop("State of deployments") == {0: "unknown", **of_serve}
    assert ", ".join(f"{value} {word}" for value, word in words.pop("Circuits").items()) in metrics.CIRCUIT_STATE.help
    assert words == {"Available": {0: "no", 1: "yes"}}


def test_every_alert_has_its_entry_in_the_runbook() -> None:
    """The annotation points to a heading that exists, and the runbook has no entry without an alert."""
    alerts = [rule for rule in _rules() if "alert" in rule]
    headings = re.findall(r"^## (\w+)$", (ROOT / "docs" / "runbook.md").read_text(), flags=re.MULTILINE)
    assert headings == [rule["alert"] for rule in alerts]
    for rule in alerts:
        assert rule["annotations"]["runbook"] == f"docs/runbook.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in {"page", "ticket"}


def test_every_metric_is_documented() -> None:
    """The table of docs/monitoring.md has a line for each, with its labels."""
    text = (ROOT / "docs" / "monitoring.md").read_text()
    for metric in ALL:
        labels = f"{{{','.join(metric.labels)}}}" if metric.labels else ""
        assert f"`{metric.name.removeprefix('nllb_')}{labels}`" in text, metric.name


def test_counters_are_read_as_rates() -> None:
    """A counter's own value says nothing: it is inside of `rate` or `increase`, or asked whether it is there."""
    counters = "|".join(metric.name for metric in ALL if isinstance(metric, Counter))
    for expr in _dashboard_exprs():
        bare = re.sub(r"(?:rate|increase)\(\w+(?:{[^}]*})?\[[^\]]*\]\)", "", expr)
        bare = re.sub(r"(\w+) unless \1 offset \w+", "", bare)
        assert not re.search(rf"ray_(?:{counters})\b", bare), expr


def test_the_panel_of_gates_counts_each_run_once(tmp_path: Path) -> None:
    """For the hour after its verdict, which is all that its process ever counts: a series that never increases."""
    (expr,) = (
        target["expr"] for panel in dashboard()["panels"] if panel["title"] == "Gates" for target in panel["targets"]
    )
    verdicts = [("a", "passed", "_x20 1x200"), ("b", "failed", "_x30 1x200"), ("c", "passed", "_x40 1x200")]
    series = [
        {"series": f'ray_nllb_training_gate_total{{WorkerId="{worker}", result="{result}"}}', "values": values}
        for worker, result, values in verdicts
    ]
    shown = {"10m": {}, "35m": {"passed": 1, "failed": 1}, "50m": {"passed": 2, "failed": 1}, "95m": {"passed": 1}}
    queries = [
        {
            "expr": expr,
            "eval_time": at,
            "exp_samples": [{"labels": f'{{result="{key}"}}', "value": value} for key, value in found.items()],
        }
        for at, found in shown.items()
    ]
    rules = tmp_path / "tests.yml"
    rules.write_text(
        yaml.safe_dump({"tests": [{"interval": "1m", "input_series": series, "promql_expr_test": queries}]})
    )
    done = subprocess.run(
        [find_binary("promtool"), "test", "rules", str(rules)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("check", "config", "prometheus.yml"), ("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")],
    ids=" ".join,
)
def test_promtool_accepts_configuration_and_rules(arguments: tuple[str, ...]) -> None:
    """Prometheus' own checks, and the unit tests of the alerts."""
    done = subprocess.run(
        [find_binary("promtool"), *arguments], cwd=_MONITORING, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_on_kubernetes_the_alerts_are_the_same() -> None:
    """Made by `python -m monitoring.prometheus_rule`, never by hand."""
    file = ROOT / "cluster" / "kuberay" / "base" / "prometheusrule.yaml"
    assert file.read_text(encoding="utf-8") == prometheus_rule()
    assert yaml.safe_load(prometheus_rule())["spec"]["groups"][1]["rules"] == [r for r in _rules() if "alert" in r]


def test_every_alert_is_unit_tested() -> None:
    """`alerts_test.yml` makes each fire once, and asks when it does not."""
    tests = yaml.safe_load((_MONITORING / "alerts_test.yml").read_text())["tests"]
    cases = [case for test in tests for case in test["alert_rule_test"]]
    fired = {case["alertname"] for case in cases if case.get("exp_alerts")}
    assert fired == {rule["alert"] for rule in _rules() if "alert" in rule}


def test_grafana_is_provisioned_with_this_dashboard() -> None:
    """The data source has the id that the dashboard asks for, and the folder is the one of the file."""
    sources = yaml.safe_load((_MONITORING / "grafana/provisioning/datasources/prometheus.yml").read_text())
    providers = yaml.safe_load((_MONITORING / "grafana/provisioning/dashboards/nllb.yml").read_text())
    assert [each["type"] for each in sources["datasources"]] == ["prometheus"]
    assert providers["providers"][0]["options"]["path"] == "${NLLB_DASHBOARDS}"
    assert Path(_DASHBOARD).is_file()
