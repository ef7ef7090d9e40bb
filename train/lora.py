"""Train an adapter: `python -m train.lora --data-file medical.tsv --source-lang eng_Latn --target-lang hin_Deva`.

The adapter is in `<output-dir>/adapter`, in peft's format; docs/training.md has the whole way to serving it.
"""

from __future__ import annotations

import sys

from train.cli import main

if __name__ == "__main__":
    sys.exit(main("lora", "Train a LoRA adapter on parallel text, on Ray Train."))
