"""What the dashboard shows: rows of panels, each a question about the service and the queries that answer it.

How Grafana wants it written down is `monitoring.dashboard`'s.
"""

from monitoring.panels.adapters import ADAPTERS
from monitoring.panels.autoscaling import AUTOSCALING
from monitoring.panels.cache import CACHE
from monitoring.panels.engine import DEVICES, ENGINE
from monitoring.panels.errors import ERRORS
from monitoring.panels.overview import OVERVIEW
from monitoring.panels.panel import Panel, Query, Row
from monitoring.panels.traffic import LATENCY, PAIRS, TRAFFIC
from monitoring.panels.training import TRAINING

ROWS: tuple[Row, ...] = (
    OVERVIEW,
    TRAFFIC,
    LATENCY,
    PAIRS,
    CACHE,
    ERRORS,
    ENGINE,
    DEVICES,
    ADAPTERS,
    AUTOSCALING,
    TRAINING,
)

__all__ = ["ROWS", "Panel", "Query", "Row"]
