"""A `style` attribute: strings of its `content` are language (HTML standard, "translatable attributes")."""

from __future__ import annotations

import re

from pipelines.text.markup.build import DocumentBuilder, Part

_TOKEN = re.compile(
    r"""/\*.*?(?:\*/|\Z)
    | (?P<string>"(?:[^"\\\n]|\\.)*+"|'(?:[^'\\\n]|\\.)*+')
    | (?<![\w-])(?P<property>[\w-]++)\s*+:
    | (?P<end>;)""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPE = re.compile(r"\\(?:([0-9a-fA-F]{1,6})\s?|(.))", re.DOTALL)


def read_style(text: str) -> list[Part]:
    """Read declarations; the parts' raw forms joined are the text."""
    parts: list[Part] = []
    position, name = 0, ""
    for found in _TOKEN.finditer(text):
        if found["end"]:
            name = ""
        elif found["property"] and not name:
            name = found["property"].lower()
        elif found["string"] and name == "content":
            parts += [text[position : found.start() + 1], *_read_string(found["string"])]
            position = found.end() - 1
    return [*parts, text[position:]]


def _read_string(raw: str) -> list[Part]:
    quote, content = raw[0], raw[1:-1]
    builder = DocumentBuilder(content, lambda text, _: re.sub(rf"[\\{quote}]", r"\\\g<0>", text).replace("\n", "\\a "))
    position = 0
    for found in _ESCAPE.finditer(content):
        builder.add_text(content[position : found.start()])
        code = int(found[1], 16) if found[1] else ord(found[2])
        # What is no character is one that stands for none (CSS Syntax, section 4.3.7).
        is_character = 0 < code < 0x110000 and not 0xD800 <= code < 0xE000
        builder.add_text(chr(code) if is_character else "\ufffd", found.group())
        position = found.end()
    builder.add_text(content[position:])
    return builder.build()
