"""How many replicas there are, and what they have to do."""

from __future__ import annotations

from monitoring.panels.panel import Panel, Query, Row

AUTOSCALING = Row(
    "Autoscaling",
    (
        Panel(
            "Replicas",
            "How many should there be, and how many report?",
            "short",
            (
                Query("max by (deployment) (ray_serve_autoscaling_target_replicas)", "{{deployment}} wanted"),
                Query(
                    'count by (deployment) (ray_nllb_process_resident_bytes{replica!=""})', "{{deployment}} reporting"
                ),
            ),
        ),
        Panel(
            "Calls under way",
            "What does Ray Serve's router see at the replicas?",
            "short",
            (
                Query("sum by (deployment) (ray_serve_num_ongoing_requests_at_replicas)", "{{deployment}} at replicas"),
                Query("sum by (deployment) (ray_serve_deployment_queued_queries)", "{{deployment}} queued"),
            ),
        ),
        Panel(
            "State of deployments",
            "Which deployment is not healthy, and what is Ray Serve doing about it?",
            "short",
            (Query("min by (deployment) (ray_serve_deployment_status)", "{{deployment}}"),),
            words=("unknown", "deploy failed", "unhealthy", "updating", "upscaling", "downscaling", "healthy"),
        ),
    ),
)
