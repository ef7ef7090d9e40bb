"""Formats of text: each reads a document into what is kept to the byte and the passages that are language."""
