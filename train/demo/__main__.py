"""Build the demo model: `python -m train.demo [--output-dir models/demo] [--force] [--quiet]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pipelines.errors import StartupError
from train.demo.build import DEFAULT_OUTPUT_DIR, ensure_demo_model


def main() -> int:
    """Read the command line and build; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m train.demo", description="Build the demo model.")
    parser.add_argument("--output-dir", type=Path, default=DEFAULT_OUTPUT_DIR, help="default: %(default)s")
    parser.add_argument("--force", action="store_true", help="build even if it is up to date")
    parser.add_argument("--quiet", action="store_true", help="show no progress and no figures")
    arguments = parser.parse_args()
    try:
        ensure_demo_model(arguments.output_dir, progress=not arguments.quiet, force=arguments.force)
    except StartupError as error:
        print(error.message, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
