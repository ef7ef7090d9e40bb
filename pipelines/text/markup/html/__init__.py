"""HTML: its tokens, which elements and attributes are language, and how a document is read."""
