"""How a text becomes a translation. Knows no Ray, no FastAPI, no HTTP."""
