"""What a translation must not be taken for in Markdown: escapes for characters anywhere, and at the start of a line.

Knows plain text and written lines alone, not what a document is made of (`markdown`).
"""

from __future__ import annotations

import re

LOOSE = "-+.):="
"""Characters that are markup at the beginning of a line alone, where `escape_block_marks` looks."""

_SPECIAL = re.compile(r"[\\`*_\[\]<>&|~#]")
# Where a special character is never bare: what follows or precedes makes it markup, or is not known.
_MARKUP = re.compile(
    r"""<(?=[A-Za-z/!?]|\Z) | &(?=\#?\w+;|\#?\Z) | \\(?=[!-/:-@\[-`{-~\r\n]|\Z) | \](?=[(\[:]) | (?:\A|(?<=\n))>
    | ` | (?!(?<=\s)[*~]\s)[*~] | (?!(?<=\w)_\w)_""",
    re.VERBOSE,
)
# What begins a list, a heading, a fence, a line below a heading or a table's head (CommonMark, section 4 and 5).
_BLOCK_MARK = re.compile(
    r"""(?:^|(?<=\r)) ([ \t>]*)
    (?: (\d{1,9})(?=[.)](?:\s|$))
      | (?=[-+*](?:\s|$) | \#{1,6}(?:\s|$) | ~~~ | ```[^`\r\n]*$
        | (?P<rule>[-=+*_])(?:[ \t]*(?P=rule))*[ \t\r]*$ | [-:|][-:|\ \t\r]*$) )""",
    re.VERBOSE | re.MULTILINE,
)


def escape(text: str, bare: frozenset[str]) -> str:
    """Escape special characters; those that the source itself has bare only where they would be markup."""
    return _SPECIAL.sub(lambda found: "\\" + found.group() if _must_escape(found, bare) else found.group(), text)


def escape_block_marks(written: str) -> str:
    """Escape what would begin a block, in the lines of a paragraph that was changed."""
    return _BLOCK_MARK.sub(r"\1\2\\", written)


def _must_escape(found: re.Match[str], bare: frozenset[str]) -> bool:
    return found.group() not in bare or _MARKUP.match(found.string, found.start()) is not None
