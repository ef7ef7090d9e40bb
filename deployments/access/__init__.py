"""Who may use the service, and how much of it: keys, limits, usage. Knows no texts and no models."""
