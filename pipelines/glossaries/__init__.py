"""Glossaries that are kept: versions written once, stores for them, and the tables they come in."""
