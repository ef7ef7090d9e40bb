"""The embedded demo model: a small NLLB-like checkpoint that the project trains by itself.

`ensure_demo_model` builds it once; `python -m train.demo` does so from the command line.
"""

from train.demo.build import DEFAULT_OUTPUT_DIR, ensure_demo_model

__all__ = ["DEFAULT_OUTPUT_DIR", "ensure_demo_model"]
