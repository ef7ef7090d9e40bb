"""Training: the demo model and adapters."""
