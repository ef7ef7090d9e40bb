"""Configuration: one frozen schema, its defaults, and where each value came from."""
