"""Check parallel text: `python -m train.data check FILE [--source-lang eng_Latn --target-lang hin_Deva]`.

Exit status: 0 the data is good enough to train on, 1 too many lines are bad or none is left to train on, 2 the command
or the file cannot be used.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from configs.errors import ConfigError
from configs.loader import load_settings
from pipelines.errors import TranslationError
from pipelines.text.languages import resolve_language
from train.data.check import CountTokens, DataSource, check_data
from train.data.read import named_languages
from train.dev_sets import general_set


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    options = _parse(arguments)
    try:
        settings = load_settings()
        languages = source, target = _languages(options)
        checked = check_data(
            DataSource(options.file, *languages, dev_location=options.dev_file),
            dev_ratio=settings.training.dev_ratio,
            max_tokens=settings.training.max_source_tokens,
            max_length_ratio=settings.training.max_length_ratio,
            count_tokens=_tokenizer(options.model or settings.model.name),
            kept_out=general_set((source, target), settings.training.gate) if source and target else (),
        )
    except (TranslationError, ConfigError) as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps(checked.report.as_json(), ensure_ascii=False) if options.json else checked.report.as_text())
    nothing = checked.report.num_train == 0
    return int(nothing or checked.report.bad_ratio > settings.training.max_bad_line_ratio)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m train.data", description="Look at parallel text.")
    commands = parser.add_subparsers(dest="command", required=True)
    check = commands.add_parser("check", help="report bad lines, with line numbers, counts and examples")
    check.add_argument("file", help="TSV, CSV, JSON Lines or Parquet; a file, a folder or a URI")
    check.add_argument("--source-lang", help="FLORES-200 code; default: the first language that the header names")
    check.add_argument("--target-lang", help="likewise, the second")
    check.add_argument("--dev-file", help="text to evaluate on; default: a share of FILE")
    check.add_argument("--model", help="whose tokens lengths are counted in; default: the configuration's")
    check.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args(arguments)


def _languages(options: argparse.Namespace) -> tuple[str | None, str | None]:
    given = [resolve_language(code).code if code else None for code in (options.source_lang, options.target_lang)]
    named = [code for code in named_languages(options.file) if code not in given]
    if len(named) < given.count(None):
        return given[0], given[1]
    source, target = (code or named.pop(0) for code in given)
    return source, target


def _tokenizer(model: str) -> CountTokens | None:
    """Return the model's own counting if the model is on this machine; the check downloads nothing."""
    from pipelines.engine.checkpoint import locate_checkpoint
    from train.data.tokens import count_tokens_of

    try:
        return count_tokens_of(locate_checkpoint(model, offline=True).path)
    except TranslationError:
        return None


if __name__ == "__main__":
    sys.exit(main())
