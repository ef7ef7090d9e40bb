"""Writes the alerts down as the Prometheus operator reads them: `python -m monitoring.prometheus_rule >FILE`.

FILE is `cluster/kuberay/base/prometheusrule.yaml`; a test holds it against `monitoring/alerts.yml`.
"""

from __future__ import annotations

from pathlib import Path
from textwrap import indent

_ALERTS = Path(__file__).with_name("alerts.yml")
_HEAD = """\
# The alerts of monitoring/alerts.yml for the Prometheus operator, made from them:
#   python -m monitoring.prometheus_rule >cluster/kuberay/base/prometheusrule.yaml
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: nllb
spec:
"""


def prometheus_rule() -> str:
    """Return the file."""
    text = _ALERTS.read_text(encoding="utf-8")
    return _HEAD + indent(text[text.index("groups:") :], "  ")


if __name__ == "__main__":
    print(prometheus_rule(), end="")
