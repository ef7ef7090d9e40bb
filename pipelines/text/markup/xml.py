"""XML of any vocabulary: read by expat with positions; nothing outside the document is ever fetched.

An element whose own text is language is a passage, and the elements inside it are inline; elements around elements are
boundaries. Where the document is not well-formed, what follows the fault is kept as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from xml.parsers import expat

from pipelines.text.languages import find_language
from pipelines.text.markup.build import DocumentBuilder, Part
from pipelines.text.markup.html.characters import escape, unescape
from pipelines.text.markup.malformed import malformed
from pipelines.types import Notice

_CDATA_START, _CDATA_END = "<![CDATA[", "]]>"


def read_xml(text: str, source_lang: str | None = None) -> tuple[list[Part], list[Notice]]:
    """Read a document; the parts' raw forms joined are the text, for every string.

    Args:
        text: The document.
        source_lang: FLORES-200 code of its language, where it is known.
    """
    events, end, fault = _Scanner(text).scan()
    parts = _Reader(text, source_lang, events, end).read()
    if fault is None:
        return parts, []
    problem = f"the text is not well-formed XML: {fault}"
    notice = malformed(text, end, problem, "what follows is kept as it is")
    return [*parts, text[end:]], [notice]


@dataclass(slots=True)
class _Event:
    """Something in the source.

    Attributes:
        kind: `open`, `close`, `text`, `cdata`, `comment` or `other`.
        start: Character of the source.
        name: Of an element.
        attributes: Of an element.
        mixed: Of an opening: whether the element has text of its own.
    """

    kind: str
    start: int
    name: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    mixed: bool = False


class _Scanner:
    """Turns expat's callbacks into events with positions."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._bytes = text.encode("utf-8", "surrogatepass")
        self._events: list[_Event] = []
        self._open: list[_Event] = []
        self._byte, self._char = 0, 0
        self._in_cdata = False

    def scan(self) -> tuple[list[_Event], int, str | None]:
        """The events, where they end, and what is wrong there."""
        parser = expat.ParserCreate("utf-8")
        # An undefined entity (`&nbsp;` without its DTD) is skipped, not an error, if there may be a DTD elsewhere.
        parser.UseForeignDTD(True)
        # What a DTD declares for every element is not repeated for each of them.
        parser.specified_attributes = True
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_UNLESS_STANDALONE)
        parser.ExternalEntityRefHandler = self._on_external
        parser.StartElementHandler = self._on_open
        parser.EndElementHandler = self._on_close
        parser.CharacterDataHandler = self._on_text
        parser.SkippedEntityHandler = lambda *_: self._on_text("&")
        parser.CommentHandler = lambda _: self._note("comment")
        parser.StartCdataSectionHandler = lambda: self._on_cdata(True)
        parser.EndCdataSectionHandler = lambda: self._on_cdata(False)
        parser.DefaultHandler = self._on_other
        self._parser = parser
        try:
            parser.Parse(self._bytes, True)
        except expat.ExpatError as error:
            end = self._position(min(max(0, parser.ErrorByteIndex), len(self._bytes)))
            events = [each for each in self._events if each.start < end]
            return events, self._whole_end(events, end), expat.ErrorString(error.code)
        return self._events, len(self._text), None

    def _whole_end(self, events: list[_Event], fault: int) -> int:
        """Where the last event is whole: behind it begins the markup that is at fault."""
        if not events:
            return 0
        last = events[-1]
        start = last.start + (last.kind not in {"text", "cdata"})
        if last.kind == "comment":
            start = self._text.find("-->", last.start) + 3
        at_fault = self._text.find("<", start, fault)
        return fault if at_fault < 0 else at_fault

    def _position(self, index: int) -> int:
        """The character that a byte is part of."""
        while 0 < index < len(self._bytes) and self._bytes[index] & 0xC0 == 0x80:
            index -= 1
        if index < self._byte:
            self._byte, self._char = 0, 0
        self._char += len(self._bytes[self._byte : index].decode("utf-8", "surrogatepass"))
        self._byte = index
        return self._char

    def _note(self, kind: str, name: str = "", attributes: dict[str, str] | None = None) -> _Event:
        event = _Event(kind, self._position(self._parser.CurrentByteIndex), name, attributes or {})
        self._events.append(event)
        return event

    def _on_open(self, name: str, attributes: dict[str, str]) -> None:
        self._open.append(self._note("open", name, attributes))

    def _on_close(self, name: str) -> None:
        self._open.pop()
        self._note("close", name)

    def _on_text(self, data: str) -> None:
        self._note("cdata" if self._in_cdata else "text")
        if self._open and not self._in_cdata and any(map(str.isalnum, data)):
            self._open[-1].mixed = True

    def _on_external(self, context: str | None, *_: str | None) -> int:
        """Instead of what is outside the document, an empty DTD; nothing is fetched."""
        self._parser.ExternalEntityParserCreate(context).Parse(b"", True)
        return 1

    def _on_cdata(self, begins: bool) -> None:
        self._in_cdata = begins
        self._note("other")

    def _on_other(self, data: str) -> None:
        # A reference to an entity that the document itself declares is text that is not known here.
        self._note("text" if self._open and data.startswith("&") else "other")


@dataclass(slots=True)
class _Open:
    inline: bool
    mixed: bool
    kept: bool
    preserve: bool
    language: str | None
    self_closing: bool


class _Reader:
    def __init__(self, text: str, source_lang: str | None, events: list[_Event], end: int) -> None:
        self._text = text
        self._source_lang = source_lang
        self._events = events
        self._end = end
        self._builder = DocumentBuilder(text[:end], escape)
        self._stack: list[_Open] = []

    def read(self) -> list[Part]:
        events = self._events
        first = events[0].start if events else self._end
        self._builder.add_boundary(self._text[:first])
        # What expat gives in several pieces is one text.
        events = [
            event
            for before, event in zip([None, *events], events, strict=False)
            if not (event.kind == "cdata" and before is not None and before.kind == "cdata")
        ]
        ends = [*(event.start for event in events[1:]), self._end] if events else []
        for event, end in zip(events, ends, strict=True):
            self._add(event, self._text[event.start : end])
        return self._builder.build()

    def _add(self, event: _Event, raw: str) -> None:
        top = self._stack[-1] if self._stack else _Open(False, False, False, False, None, False)
        if event.kind == "open":
            self._open(event, raw, top)
        elif event.kind == "close":
            self._close(event, raw)
        elif top.kept:
            self._builder.add_boundary(raw)
        elif event.kind == "text":
            self._add_text(raw, collapse_space=not top.preserve)
        elif event.kind == "cdata":
            self._add_cdata(raw)
        elif event.kind == "comment" and (top.inline or top.mixed):
            self._builder.add_tag(raw)
        else:
            self._builder.add_boundary(raw)

    def _open(self, event: _Event, raw: str, outer: _Open) -> None:
        inline = (outer.inline or outer.mixed) and not outer.kept
        language = self._language_of(event.attributes, outer)
        kept = (outer.kept and event.attributes.get("translate") != "yes") or event.attributes.get("translate") == "no"
        space = event.attributes.get("xml:space")
        preserve = space == "preserve" or (outer.preserve and space is None)
        opened = _Open(inline, event.mixed, kept, preserve, language, raw.endswith("/>"))
        self._stack.append(opened)
        if not inline:
            self._builder.add_boundary(raw)
            self._builder.language = language
        elif opened.self_closing:
            self._builder.add_object(raw)
        else:
            self._builder.add_tag(raw, "open", event.name)

    def _close(self, event: _Event, raw: str) -> None:
        closed = self._stack.pop()
        if closed.self_closing and closed.inline:
            self._builder.add_tag(raw)
        elif closed.inline and not closed.kept:
            self._builder.add_tag(raw, "close", event.name)
        else:
            self._builder.add_boundary(raw)
            self._builder.language = self._stack[-1].language if self._stack else None

    def _language_of(self, attributes: dict[str, str], outer: _Open) -> str | None:
        declared = find_language(attributes.get("xml:lang", ""))
        if declared is None:
            return outer.language
        return None if declared.code == self._source_lang or not self._stack else declared.code

    def _add_text(self, raw: str, *, collapse_space: bool) -> None:
        plain = unescape(raw) if raw.startswith("&") else raw
        if raw.startswith("&") and plain == raw:
            self._builder.add_object(raw)  # an entity of the document's own
        else:
            self._builder.add_text(plain, raw if plain != raw else None, collapse_space=collapse_space)

    def _add_cdata(self, raw: str) -> None:
        self._builder.end_passage()
        inner = DocumentBuilder(raw, lambda text, _: text.replace(_CDATA_END, "]]" + _CDATA_END + _CDATA_START + ">"))
        inner.add_text(raw, collapse_space=False)
        self._builder.add_boundary(*inner.build())
