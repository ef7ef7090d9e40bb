"""Content-addressed caching of outcomes."""
