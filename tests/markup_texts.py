"""Documents for tests: soups of what makes each format hard."""

from __future__ import annotations

import json

from hypothesis import strategies as st

ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]))


def _soup(*tokens: str) -> st.SearchStrategy[str]:
    pieces = st.sampled_from(tokens) | st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
    return st.lists(pieces, max_size=25).map("".join) | ANY_TEXT


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | ANY_TEXT
    | st.sampled_from(["Hello there. How are you?", "a\nb", 'say "hi"', "https://a.bc/d", "{name}", "a/b\\c"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=12,
)  # fmt: skip
VALID_JSON = _VALUES.flatmap(
    lambda value: st.builds(
        lambda indent, is_ascii: json.dumps(value, indent=indent, ensure_ascii=is_ascii),
        st.sampled_from([None, 0, 2]),
        st.booleans(),
    )
)

DOCUMENTS = {
    "text": _soup(
        "Hello. ", "\n\n", "\r\n", "{name}", "%s", "https://a.bc/d?e=f", "🙂", "`code`", "नमस्ते। ", "你好。", "  ", "<b>"
    ),
    "html": _soup(
        "<p>", "</p>", "<b>", "</b>", "<i", "</i>", "<!-- ", "-->", "&amp;", "&copy", "&nosuch;", "<br/>", "<script>",
        "</script>", " lang='fr'", '<img alt="a cat">', "<code>", "</code>", "<a title=x>", "</a>", "Hello ", "world. ",
        "\n", "<?php ?>", "<!DOCTYPE html>", "<![CDATA[", "]]>", "<pre>", "</pre>", "<p translate=no>",
        "<span translate=yes>", "</span>", "<textarea>", "<x-y>", "<html lang=en>", "<input value='a' type=button>",
        "<iframe srcdoc='<p>a &quot;", "<iframe srcdoc=\"", "&lt;b>&amp;amp;", "<svg>", "</svg>", "<text>", "<path/>",
        "<template>", "<i style='content: \"a ", "<audio>", "</audio>", "<a download='a b.c'>", "<i translate=no>",
    ),
    "xml": _soup(
        "<a>", "</a>", "<b>", "</b>", "<c/>", "<!-- ", "-->", "&amp;", "&nbsp;", "&lt;", "<?pi x?>", "<![CDATA[", "]]>",
        "Hello ", "world. ", "\n", "<r>", "</r>", " x='1'", "<?xml version='1.0'?>", "<r>Hello <b>big</b> world</r>",
    ),
    "markdown": _soup(
        "# ", "**", "*", "_", "`", "```", "\n", "\n\n", "> ", "- ", "1. ", "[a b](http://x 'y')", "![al t](s)", "<b>",
        "</b>", "<div>\n", "</div>", "\\*", "&amp;", "| a | b |\n|---|---|\n| c | d |\n", "[x]: http://y\n", "[^1]",
        "[^1]: note\n", "---\n", "~~", "$x$", "    code\n", "  \n", "\\\n", "<http://a.b>", "é", "鸡", "🙂", "Hello ",
    ),
    "json": VALID_JSON | _soup(
        "{", "}", "[", "]", ":", ",", '"', "'", "\\", "//", "/*", "*/", "\n", '"key": ', '"Hello there." ', "'it\\'s' ",
        "bare", "null", "1.50", '"\\u00e9 \\ud83d\\ude42 \\ud800 \\x"', '{"a": "one two"', '["x", ', "\ufeff", "\u00a0",
    ),
    "srt": _soup(
        "1\n", "00:00:01,000 --> 00:00:02,000\n", "Hello ", "world\n", "\n", "- A\n", "<i>", "</i>", "{\\an8}", "\r\n",
        "&amp;", "2\r\n",
    ),
    "vtt": _soup(
        "WEBVTT\n", "00:01.000 --> 00:02.000 align:start\n", "Hello ", "world\n", "\n", "NOTE x\n", "STYLE\n",
        "<v Bob>", "</v>", "<00:01.500>", "&amp;", "\r\n", "<c.x>", "</c>",
    ),
}  # fmt: skip
"""Texts of each format: well-formed, malformed and anything at all."""
