"""What the project's loggers write, and where: into Ray Serve's own log files, with the trace's id in every line.

Serve adds the request's id, deployment, replica and application to each line, and knows nothing of traces.
"""

from __future__ import annotations

import logging

from monitoring.tracing import current_trace_id

PACKAGES = ("configs", "deployments", "monitoring", "pipelines", "train")
_SERVE_LOGGER = "ray.serve"


def route_to_serve(level: str) -> None:
    """Let the loggers of all our packages write where Serve's do; call it in a replica, as often as wanted.

    Args:
        level: The least severe that is written.
    """
    from ray.serve._private.logging_utils import ServeContextFilter

    handlers = logging.getLogger(_SERVE_LOGGER).handlers
    for handler in handlers:
        # Without its access log, Serve leaves the request's id out of lines of text.
        for kind in (ServeContextFilter, TraceFilter):
            if not any(isinstance(each, kind) for each in handler.filters):
                handler.addFilter(kind())
    for package in PACKAGES:
        logger = logging.getLogger(package)
        logger.handlers = list(handlers)
        logger.propagate = not handlers
        logger.setLevel(level)


class TraceFilter(logging.Filter):
    """Adds `trace_id` to records that are written within a trace; lets all through."""

    def filter(self, record: logging.LogRecord) -> bool:
        """See `logging.Filter`."""
        trace_id = current_trace_id()
        if trace_id is not None:
            record.trace_id = trace_id
        return True
