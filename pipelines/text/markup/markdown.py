"""Markdown (CommonMark with GitHub's extensions), read with positions by pulldown-cmark (`pyromark`).

Knows which parts are language; headings, lists, quotes, code and the addresses of links come back as they were.
"""

from __future__ import annotations

import re
from typing import Any

from pipelines.text.markup.build import DocumentBuilder, Part
from pipelines.text.markup.html.read import read_html
from pipelines.text.markup.markdown_escapes import LOOSE, escape, escape_block_marks
from pipelines.text.markup.markdown_events import MarkdownEvents
from pipelines.text.passage import as_it_is

_INLINE = frozenset({"Emphasis", "Strong", "Strikethrough", "Superscript", "Subscript", "Link"})
_OBJECTS = frozenset({"Code", "InlineMath", "DisplayMath", "FootnoteReference"})
# Blocks in which a line may begin another one.
_LINES = frozenset({"Paragraph", "Item", "FootnoteDefinition", "Heading"})
# Links whose address is found by their text.
_BY_TEXT = frozenset({"Shortcut", "Collapsed"})
# Links that are nothing but their address: `<https://a.b>`.
_ADDRESSES = frozenset({"Autolink", "Email"})
_UNDERSCORES = frozenset({"_", "__"})
_INLINE_TAG = re.compile(r"<(/?)([A-Za-z][\w-]*+)[^>]*?(/?)>")
_LINE_BREAK = re.compile(r"(?<![ \t])[ \t]*[\r\n][\s>]*")


def read_markdown(text: str) -> list[Part]:
    """Read a document; the parts' raw forms joined are the text, for every string."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self._text = text
        self._builder = DocumentBuilder(text, escape, loose=LOOSE)
        self._position = 0
        self._stack: list[str] = []
        self._kept_depth = 0
        self._opening: list[str] = []  # inline elements whose opening markup ends where the next event begins
        self._links: list[int | None] = []  # of those that are open, where the text is by which they are found
        self._marks: list[str | None] = []  # of inline elements that are open, what marks them inside of words
        self._image_start: int | None = None
        self._image_is_by_text = False
        self._image_text: list[tuple[int, int]] = []
        self._after_break = False

    def read(self) -> list[Part]:
        events = MarkdownEvents(self._text)
        self._boundary(events.metadata_end)
        for event in events:
            self._add(*event)
        self._gap(len(self._text))
        return self._builder.build()

    def _add(self, kind: str, value: Any, start: int, end: int) -> None:
        if kind == "Start":
            self._start(_name(value), start, _link_type(value))
        elif kind == "End":
            self._end(_name(value), end)
        elif self._image_start is not None:
            if kind == "Text":
                self._image_text.append((start, end))
        elif self._kept_depth:
            return
        elif kind == "Text":
            self._gap(start, before_text=True)
            self._add_text(value, start, end)
        elif kind in {"SoftBreak", "HardBreak"}:
            self._flush_opening(start)
            self._break(kind, end)
        elif kind in _OBJECTS:
            self._gap(start)
            self._builder.add_object(self._text[start:end])
            self._position = end
        elif kind == "TaskListMarker":
            self._boundary(end)
        elif kind == "InlineHtml":
            self._gap(start)
            self._inline_html(self._text[start:end])
            self._position = end
        elif kind == "Html":
            return  # its block is read as a whole
        else:
            self._gap(start)

    def _start(self, name: str, start: int, link_type: str | None) -> None:
        is_by_text = link_type in _BY_TEXT
        if self._kept_depth or self._image_start is not None:
            self._kept_depth += bool(self._kept_depth)
        elif link_type in _ADDRESSES:
            self._gap(start)
            self._kept_depth = 1
            name = "Address"
        elif name in _INLINE:
            self._gap(start)
            self._opening.append(name)
            if name == "Link":
                self._links.append(start + len("[") if is_by_text else None)
        elif name == "Image":
            self._gap(start)
            self._image_start, self._image_is_by_text = start, is_by_text
        elif name in {"CodeBlock", "HtmlBlock"}:
            self._boundary(start)
            self._kept_depth = 1
        else:
            self._boundary(start)
        is_marked = name == "Heading" and self._text.startswith("#", start)
        self._stack.append("MarkedHeading" if is_marked else name)

    def _end(self, name: str, end: int) -> None:
        if self._image_start is not None:
            if name == "Image":
                end = self._label_end(end) if self._image_is_by_text else end
                self._builder.add_object(self._text[self._image_start : end], self._image_parts(end))
                self._position, self._image_start, self._image_text = end, None, []
        elif self._kept_depth:
            self._kept_depth -= 1
            if not self._kept_depth and self._stack[-1] == "Address":
                self._builder.add_object(self._text[self._position : end])
                self._position = end
            elif not self._kept_depth:
                raw = self._text[self._position : end]
                self._builder.add_boundary(*(read_html(raw) if name == "HtmlBlock" else [raw]))
                self._position = end
        elif name in _INLINE:
            self._flush_opening(self._position)
            label = self._links.pop() if name == "Link" else None
            end = end if label is None else self._label_end(end)
            closing = None if label is None else self._by_label(label, self._position)
            raw, mark = self._text[self._position : end], self._marks.pop()
            self._builder.add_tag(raw, "close", name, raw_if_changed=closing, raw_if_unspaced=mark)
            self._position = max(end, self._position)
        else:
            self._boundary(end)
        self._stack.pop()

    def _image_parts(self, end: int) -> tuple[Part, ...]:
        """The image with its description as a passage."""
        if self._image_start is None or not self._image_text:
            return ()
        first, last = self._image_text[0][0], self._image_text[-1][1]
        builder = DocumentBuilder(self._text[first:last], escape, loose=LOOSE)
        position = first
        for found in _LINE_BREAK.finditer(self._text, first, last):
            builder.add_text(self._text[position : found.start()])
            builder.add_text(" ", found.group())
            position = found.end()
        builder.add_text(self._text[position:last])
        if self._image_is_by_text:
            label_end = end - len("][]" if self._text.endswith("][]", last, end) else "]")
            closing = self._text[last:label_end] + self._by_label(self._image_start + len("!["), label_end)
            builder.add_tag(self._text[last:end], raw_if_changed=closing)
            last = end
        return (self._text[self._image_start : first], *builder.build(), self._text[last:end])

    def _label_end(self, end: int) -> int:
        """Where a link by its text ends; the parser's own end is before the empty brackets of a collapsed one."""
        return end + len("[]") if self._text.startswith("[]", end) else end

    def _by_label(self, start: int, end: int) -> str:
        """What closes a link whose text is no longer the one by which its address is found."""
        return f"][{_LINE_BREAK.sub(' ', self._text[start:end])}]"

    def _gap(self, start: int, *, before_text: bool = False) -> None:
        """What is between the last event and this one: markup, an escape's backslash, the prefix of a new line."""
        if before_text and start > self._position and self._text[start - 1] == "\\":
            start -= 1  # it goes with the character behind it
        if start <= self._position:
            self._flush_opening(self._position)
            return
        raw = self._text[self._position : start]
        if not self._builder.in_passage and not self._opening:
            self._builder.add_boundary(raw)  # a list's or a heading's mark
        elif self._after_break and not self._opening:
            self._builder.extend_space(raw)
        elif self._opening:
            self._flush_opening(start)
        elif raw.isspace():
            self._builder.add_text(raw)
        else:
            self._builder.add_tag(raw)
        self._position = start

    def _flush_opening(self, end: int) -> None:
        for place, name in enumerate(self._opening):
            # Several that open at once: the last has all of their markup, the others have none.
            last = place == len(self._opening) - 1
            raw = self._text[self._position : end] if last else ""
            self._marks.append(self._mark_in_words(raw, name))
            self._builder.add_tag(raw, "open", name, raw_if_unspaced=self._marks[-1])
        if self._opening:
            self._position = max(end, self._position)
        self._opening = []
        self._after_break = False

    def _mark_in_words(self, raw: str, name: str) -> str | None:
        """What stands for a mark where words have no space around them: between letters `*` is emphasis, `_` is none.

        None if it is no such mark, or is inside of its like, with which it would be taken for another.
        """
        return raw.replace("_", "*") if raw in _UNDERSCORES and self._stack.count(name) == 1 else None

    def _add_text(self, value: str | None, start: int, end: int) -> None:
        self._after_break = False
        raw = self._text[start:end]
        if self._text[self._position : start] == "\\" and raw:
            self._builder.add_text(raw[0], "\\" + raw[0])
            self._builder.add_text(raw[1:])
        elif value is None or not raw.startswith("&"):
            self._builder.add_text(raw)
        else:
            self._builder.add_text(value, raw)
        self._position = end

    def _break(self, kind: str, end: int) -> None:
        raw = self._text[self._position : end]
        if kind == "HardBreak":
            self._end_passage()
            self._builder.add_boundary(raw)
        else:
            self._builder.add_text(" ", raw or "\n")
            self._after_break = True
        self._position = end

    def _inline_html(self, raw: str) -> None:
        tag = _INLINE_TAG.fullmatch(raw)
        if tag is None or tag[3] or tag[2].lower() in {"br", "img", "wbr", "input"}:
            self._builder.add_object(raw)
        else:
            self._builder.add_tag(raw, "close" if tag[1] else "open", tag[2].lower())

    def _boundary(self, end: int) -> None:
        self._flush_opening(self._position)
        self._end_passage()
        self._builder.add_boundary(self._text[self._position : max(end, self._position)])
        self._position = max(end, self._position)
        self._after_break = False

    def _end_passage(self) -> None:
        block = next((name for name in reversed(self._stack) if name not in _INLINE), "")
        self._builder.end_passage(escape_block_marks if block in _LINES else as_it_is)


def _name(value: Any) -> str:
    return str(next(iter(value)) if isinstance(value, dict) else value)


def _link_type(value: Any) -> str | None:
    about = next(iter(value.values())) if isinstance(value, dict) else None
    return about.get("link_type") if isinstance(about, dict) else None
