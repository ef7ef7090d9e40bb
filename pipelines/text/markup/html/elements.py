"""Elements of HTML and SVG, by what they mean for the language in them; every other one, unknown or not, is inline.

Whether a text is translated is the author's choice (`translate`); what is no language beyond that is code.
"""

from __future__ import annotations

# What ends a sentence before and behind it. `<br>` does: it parts the lines of addresses, poems and lists.
BLOCKS = frozenset({
    "address", "area", "article", "aside", "base", "blockquote", "body", "br", "caption", "center", "col", "colgroup",
    "datalist", "dd", "details", "dialog", "dir", "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer",
    "form", "frame", "frameset", "h1", "h2", "h3", "h4", "h5", "h6", "head", "header", "hgroup", "hr", "html", "iframe",
    "legend", "li", "link", "main", "map", "menu", "meta", "nav", "noembed", "noframes", "noscript", "ol", "optgroup",
    "option", "p", "param", "pre", "script", "search", "section", "select", "source", "style", "summary", "table",
    "tbody", "td", "template", "textarea", "tfoot", "th", "thead", "title", "tr", "track", "ul",
})  # fmt: skip
VOID = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
})  # fmt: skip
# Void elements that stand in a sentence as a word does.
OBJECTS = frozenset({"img", "input", "embed"})
# Elements that stand in a sentence as a word does, and have sentences of their own inside them.
EMBEDDED = frozenset({"svg", "object", "canvas", "audio", "video"})
# Text in these is no language, or is no text: code, styles, formulas, pictures.
UNREAD = frozenset({
    "script", "style", "code", "kbd", "samp", "var", "math", "svg", "iframe", "noembed", "noframes",
})  # fmt: skip
# What is language in a picture: names, descriptions, writing, and HTML inside it.
READ_IN_SVG = frozenset({"title", "desc", "text", "foreignobject"})
# White space in these means what it is.
PREFORMATTED = frozenset({"pre", "textarea"})
ROOTS = frozenset({"html", "body"})
