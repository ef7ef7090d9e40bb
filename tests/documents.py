"""Code blocks of Markdown files, for the tests that run them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class CodeBlock:
    """A fenced block.

    Attributes:
        language: First word after the fence.
        remark: The rest of that line; `not-tested: why` for what no test can run.
        code: Its lines.
        line: Number of its first line, for messages.
    """

    language: str
    remark: str
    code: str
    line: int


def code_blocks(document: Path) -> list[CodeBlock]:
    """Return all fenced blocks of a document, in order."""
    text = document.read_text(encoding="utf-8")
    return [
        CodeBlock(match[1], match[2].strip(), match[3], text.count("\n", 0, match.start()) + 2)
        for match in re.finditer(r"^```(\w*)([^\n]*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]
