"""What a translation must not be taken for in Markdown: escapes for characters anywhere, and at the start of a line.

Knows plain text and written lines alone, not what a document is made of (`markdown`).
"""

from __future__ import annotations

import re

LOOSE = "-+.):="
"""Characters that are markup at the beginning of a line alone, where `escape_block_marks` looks."""

# Where a bare address becomes a link, a backslash would be a part of it.
_SPECIAL = re.compile(r"(?<!\w)(?:https?://|www\.)[^\s\\`*\[\]<>&|]++|[\\`*_\[\]<>&|~#]")
# Behind a slash of an address these could only open something, and what would close it is escaped.
_OPENING = re.compile(r"(?<=/)[_~](?=\w)")
_BRACKET = re.compile(r"[\[\]]")
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
        | (?P<rule>[-=+*_])(?:[ \t]*(?P=rule))*+[ \t]*+(?=\r|$) | [-:|][-:|\ \t]*+(?=\r|$)) )""",
    re.VERBOSE | re.MULTILINE,
)


def escape(text: str, bare: frozenset[str]) -> str:
    """Escape special characters; those that the source itself has bare only where they would be markup."""
    alone = _brackets_alone(text)
    return _SPECIAL.sub(lambda found: _escaped(found, bare, alone), text)


def escape_block_marks(written: str) -> str:
    """Escape what would begin a block, in the lines of a paragraph that was changed."""
    return _BLOCK_MARK.sub(r"\1\2\\", written)


def _brackets_alone(text: str) -> frozenset[int]:
    """Where brackets have no partner: inside a label they would end it early, or never."""
    open_at: list[int] = []
    alone: list[int] = []
    for found in _BRACKET.finditer(text):
        if found.group() == "[":
            open_at.append(found.start())
        elif open_at:
            open_at.pop()
        else:
            alone.append(found.start())
    return frozenset(open_at + alone)


def _escaped(found: re.Match[str], bare: frozenset[str], alone: frozenset[int]) -> str:
    if len(found.group()) == 1:
        return _marked(found.group(), found.string, found.start(), bare, alone)
    opening = {found.start() + each.start() for each in _OPENING.finditer(found.group()) if each.group() in bare}
    return "".join(
        char if place in opening or char not in "_~#" else _marked(char, found.string, place, bare, alone)
        for place, char in enumerate(found.group(), found.start())
    )


def _marked(char: str, text: str, place: int, bare: frozenset[str], alone: frozenset[int]) -> str:
    is_text = char in bare and place not in alone and _MARKUP.match(text, place) is None
    return char if is_text else "\\" + char
