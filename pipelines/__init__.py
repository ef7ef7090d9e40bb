"""How a text becomes a translation. Knows no Ray, no FastAPI, no HTTP."""

from pipelines.library import Translator, load_translator

__all__ = ["Translator", "load_translator"]
