"""The texts of nodes become one that Prometheus' strict parsers accept, without what nobody asks for."""

from __future__ import annotations

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from monitoring.exposition import encode, merge

# As a node's agent writes it (Ray 2.60), shortened.
_SCOPE = 'otel_scope_name="ray._private.telemetry",otel_scope_schema_url="",otel_scope_version=""'


def _node(address: str, replica: str, requests: int) -> str:
    common = f'Component="core_worker",NodeAddress="{address}",SessionName="s",Version="2.60.0",WorkerId="w{replica}"'
    labels = f'{{{common},deployment="Ingress",replica="{replica}",{_SCOPE}'
    return f"""# HELP ray_nllb_translation_requests_total Answered HTTP requests.
# TYPE ray_nllb_translation_requests_total counter
ray_nllb_translation_requests_total{labels},endpoint="/a",status="200"}} {requests}.0
# HELP ray_nllb_time_in_queue_seconds A wait.
# TYPE ray_nllb_time_in_queue_seconds histogram
ray_nllb_time_in_queue_seconds_bucket{labels},le="0.1"}} 1.0
ray_nllb_time_in_queue_seconds_bucket{labels},le="+Inf"}} 2.0
ray_nllb_time_in_queue_seconds_count{labels}}} 2.0
ray_nllb_time_in_queue_seconds_sum{labels}}} 0.3
# HELP ray_gcs_actors_count Actors.
# TYPE ray_gcs_actors_count gauge
ray_gcs_actors_count{labels}}} 7.0
# HELP ray_serve_deployment_status Numeric status of deployment.
# TYPE ray_serve_deployment_status gauge
ray_serve_deployment_status{labels}}} 6.0
"""


NODES = [_node("10.0.0.1", "a", 3), _node("10.0.0.2", "b", 4)]


def test_both_formats_are_accepted_by_strict_parsers() -> None:
    """One HELP and TYPE per family, histograms whole, every series of every node."""
    for accept, parse in (("", parse_text), ("application/openmetrics-text; version=1.0.0", parse_openmetrics)):
        content, media_type = encode(merge(NODES), accept)
        families = {family.name: family for family in parse(content.decode())}
        assert media_type.startswith("application/openmetrics-text" if accept else "text/plain")
        assert set(families) == {
            "ray_nllb_translation_requests",
            "ray_nllb_time_in_queue_seconds",
            "ray_serve_deployment_status",
        }
        counts = {s.labels["replica"]: s.value for s in families["ray_nllb_translation_requests"].samples}
        assert counts == {"a": 3, "b": 4}
        assert len(families["ray_nllb_time_in_queue_seconds"].samples) == 8


def test_labels_without_a_use_are_left_out() -> None:
    """What names a series stays, what is the same for all goes."""
    (family,) = (each for each in merge(NODES) if each.type == "counter")
    assert set(family.samples[0].labels) == {"NodeAddress", "WorkerId", "deployment", "replica", "endpoint", "status"}


def test_series_that_become_equal_are_one() -> None:
    """Counts add up, gauges do not."""
    content, _ = encode(merge([NODES[0], NODES[0].replace('Component="core_worker"', 'Component="raylet"')]), "")
    values = {sample.name: sample.value for family in parse_text(content.decode()) for sample in family.samples}
    assert values["ray_nllb_translation_requests_total"] == 6
    assert values["ray_nllb_time_in_queue_seconds_count"] == 4
    assert values["ray_serve_deployment_status"] == 6


def test_nothing_is_a_valid_answer_too() -> None:
    """A node that has only begun to report."""
    content, _ = encode(merge(["", "# HELP ray_x X.\n# TYPE ray_x gauge\nray_x 1.0\n"]), "")
    assert content == b""


@pytest.mark.parametrize("version", ["x", "1.x", "", "1..0", "2.x", "9" * 5_000])
@pytest.mark.parametrize("kind", ["text/plain", "application/openmetrics-text"])
def test_whoever_asks_for_a_version_that_is_none_gets_an_answer(kind: str, version: str) -> None:
    """Prometheus' own format, or the newest of the other, not an error."""
    content, media_type = encode(merge(NODES), f"{kind}; version={version}")
    assert media_type.startswith(("text/plain", "application/openmetrics-text"))
    assert b"ray_nllb_translation_requests_total" in content
