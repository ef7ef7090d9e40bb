"""The text path: each module answers one question about text."""
