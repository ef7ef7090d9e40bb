"""Count which tokens translations into a language are made of, for `model.vocabulary: learned`.

    python -m pipelines.engine.shortlist --model demo --target hin_Deva=corpus.hi.txt --output shortlist.json

A corpus is a text file in the target language, one sentence a line. Beside what was counted, a list has every single
character of the language's script, digits and punctuation: a word the corpus never had can still be spelt.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path

from configs.errors import ConfigError
from configs.loader import load_settings
from pipelines.engine.checkpoint import locate_checkpoint
from pipelines.engine.tokenize import SegmentTokenizer
from pipelines.engine.vocabulary import SHORTLIST_FORMAT, script_token_ids, tokenizer_fingerprint
from pipelines.errors import StartupError, TranslationError

_LINES_AT_ONCE = 10_000
_SPACE = "▁"


def main(arguments: Sequence[str] | None = None) -> None:
    """Count, write the file, and print what each list has."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="demo, a name on the model hub, or a local path; default: the configuration's")
    parser.add_argument(
        "--target", action="append", required=True, metavar="LANGUAGE=FILE", help="may be given several times"
    )
    parser.add_argument("--output", required=True, type=Path, help="the file that model.shortlist_file names")
    parser.add_argument("--min-count", type=int, default=1, help="of a token in the corpus")
    parser.add_argument("--max-tokens", type=int, help="of one list; the most frequent stay")
    parser.add_argument("--offline", action="store_true", help="never reach for the model hub")
    options = parser.parse_args(arguments)
    try:
        model = options.model or load_settings().model.name
        tokenizer = SegmentTokenizer.from_checkpoint(locate_checkpoint(model, offline=options.offline).path)
        lists = {}
        for target in options.target:
            language, _, file = target.partition("=")
            with Path(file).open(encoding="utf-8") as lines:
                lists[language] = count_shortlist(
                    tokenizer, language, lines, min_count=options.min_count, max_tokens=options.max_tokens
                )
    except (TranslationError, ConfigError) as error:
        parser.error(str(error))
    except (OSError, UnicodeDecodeError) as error:
        parser.error(f"--target {target}: {error}")
    write_shortlist(options.output, tokenizer, lists)
    num_all = len(tokenizer.pieces())
    for language, token_ids in lists.items():
        print(f"{language}: {len(token_ids)} of {num_all} tokens ({len(token_ids) / num_all:.1%})")


def count_shortlist(
    tokenizer: SegmentTokenizer,
    language: str,
    lines: Iterable[str],
    *,
    min_count: int = 1,
    max_tokens: int | None = None,
) -> list[int]:
    """Return the tokens of a corpus and the single characters of its script, in ascending order.

    Args:
        tokenizer: Of the checkpoint.
        language: FLORES-200 code of the corpus.
        lines: The corpus.
        min_count: A token that the corpus has less often is left out.
        max_tokens: The most frequent tokens that are kept; None keeps all.

    Raises:
        StartupError: The model has no such language, or the corpus has no text.
    """
    if language not in tokenizer.language_ids:
        raise StartupError(f"the model has no language {language!r}; accepted is a FLORES-200 code such as hin_Deva")
    counts: Counter[int] = Counter()
    remaining = (line.strip() for line in lines if line.strip())
    while chunk := list(islice(remaining, _LINES_AT_ONCE)):
        counts.update(token for tokens in tokenizer.encode_target(chunk) for token in tokens)
    if not counts:
        raise StartupError(f"the corpus of {language} has no text")
    frequent = [token for token, count in counts.most_common(max_tokens) if count >= min_count]
    script = language.partition("_")[2]
    texts = {token: piece for piece, token in tokenizer.pieces().items()}
    characters = [
        token for token in script_token_ids(tokenizer).get(script, []) if len(texts[token].removeprefix(_SPACE)) <= 1
    ]
    return sorted({*frequent, *characters} - tokenizer.control_ids)


def write_shortlist(file: Path, tokenizer: SegmentTokenizer, lists: dict[str, list[int]]) -> None:
    """Write lists by target language as `read_shortlist` reads them."""
    document = {"format": SHORTLIST_FORMAT, "tokenizer": tokenizer_fingerprint(tokenizer), "tokens": lists}
    file.write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
