"""The formats by name, behind one function."""

from __future__ import annotations

from collections.abc import Sequence

from pipelines.text.markup.build import Part
from pipelines.text.markup.html.read import read_html
from pipelines.text.markup.json import read_json
from pipelines.text.markup.markdown import read_markdown
from pipelines.text.markup.plain import read_plain
from pipelines.text.markup.subtitles import read_subtitles
from pipelines.text.markup.xml import read_xml
from pipelines.types import Format, Notice


def read_document(
    text: str,
    format: Format,
    *,
    source_lang: str | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    field_prefix: str = "",
) -> tuple[list[Part], list[Notice]]:
    """Read a document into what is kept to the byte and the passages that are language.

    Args:
        text: The document; the parts' raw forms joined give it back, for every string.
        format: What it is.
        source_lang: FLORES-200 code of its language, where it is known.
        include: Of JSON: see `read_json`.
        exclude: Likewise.
        field_prefix: What precedes a field's name in an error.

    Raises:
        UnsupportedOptionError: `include` or `exclude` has what is no pointer.
    """
    match format:
        case "html":
            return read_html(text, source_lang), []
        case "xml":
            return read_xml(text, source_lang)
        case "markdown":
            return read_markdown(text), []
        case "json":
            return read_json(text, include=include, exclude=exclude, field_prefix=field_prefix)
        case "srt" | "vtt":
            return read_subtitles(text, is_vtt=format == "vtt"), []
        case "text":
            return read_plain(text), []
