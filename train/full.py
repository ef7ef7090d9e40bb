"""Fine-tune every weight: `python -m train.full --data-file medical.tsv --source-lang eng_Latn --target-lang hin_Deva`.

The model is in `<output-dir>/model`, a checkpoint like any other: `make serve MODEL=<output-dir>/model`.
"""

from __future__ import annotations

import sys

from train.cli import main

if __name__ == "__main__":
    sys.exit(main("full", "Fine-tune a whole model on parallel text, on Ray Train."))
