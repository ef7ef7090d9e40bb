"""Subtitles, SRT and WebVTT: the text of a cue is language; numbers, timings, notes, styles and order are kept.

The libraries for them read cues into objects and write files of their own; here every line that is no text of a cue
stays where it is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial

from pipelines.text.markup.build import DocumentBuilder, Part
from pipelines.text.markup.html.characters import escape, unescape
from pipelines.text.passage import as_it_is

_TIMING = re.compile(r"\s*(?:\d+:)?\d{1,2}:\d{2}[,.]\d{1,3}\s*-->")
# Blocks of WebVTT without text, up to their blank line (W3C WebVTT, section 4).
_KEPT_BLOCK = re.compile(r"(?:WEBVTT|NOTE|STYLE|REGION)(?:\s|$)")
_TAG = re.compile(r"<(?P<close>/?)(?P<name>[^\s<>.]*+)[^<>]*+>|\{\\[^{}]*+\}|(?P<entity>&[a-zA-Z]+;|&#\w+;)")
_DASH = re.compile(r"\s*[-–—]\s?\S")
_LINE = re.compile(r"[^\r\n]*(?:\r\n?|\n|$)")
# No line begins with a mark that French has a space before, or behind a no-break space.
_WORD = re.compile(
    r"(?:<[^<>]*+>|\{\\[^{}]*+\}|[^\s<]|<|[\u00a0\u202f]|(?<=\S)\s(?=[?!:;»…]+(?:\s|\Z))|(?<=«)\s(?=\S))+"
)


def read_subtitles(text: str, *, is_vtt: bool) -> list[Part]:
    """Read a file; the parts' raw forms joined are the text, for every string.

    Args:
        text: The file.
        is_vtt: Whether it is WebVTT, whose special characters are escaped; SRT has none.
    """
    builder = DocumentBuilder(text, escape if is_vtt else _escape_srt)
    for is_text, lines in _blocks(text, is_vtt):
        if is_text:
            _add_cue(builder, lines, is_vtt)
        else:
            builder.add_boundary(*lines)
    return builder.build()


def _blocks(text: str, is_vtt: bool) -> Iterator[tuple[bool, list[str]]]:
    """Lines that belong together, and whether they are the text of a cue."""
    lines = [line for line in _LINE.findall(text) if line]
    cue: list[str] = []
    in_kept_block = False
    for place, line in enumerate(lines):
        following = lines[place + 1] if place + 1 < len(lines) else ""
        blank = not line.strip("\ufeff").strip()
        starts_block = place == 0 or not lines[place - 1].strip()
        in_kept_block = not blank and (
            in_kept_block or (is_vtt and starts_block and bool(_KEPT_BLOCK.match(line.lstrip("\ufeff"))))
        )
        is_name = bool(_TIMING.match(following)) and (is_vtt or line.strip("\ufeff").strip().isdecimal())
        if blank or in_kept_block or _TIMING.match(line) or is_name:
            if cue:
                yield True, cue
                cue = []
            yield False, [line]
        else:
            cue.append(line)
    if cue:
        yield True, cue


def _add_cue(builder: DocumentBuilder, lines: list[str], is_vtt: bool) -> None:
    turns: list[list[str]] = []
    for line in lines:
        # Each speaker's line is a sentence of its own.
        if turns and not _DASH.match(line):
            turns[-1].append(line)
        else:
            turns.append([line])
    for turn in turns:
        *_, last = turn
        content = last.rstrip("\r\n")
        _add_lines(builder, [*turn[:-1], content], is_vtt)
        several = len(turn) > 1
        builder.end_passage(partial(_wrap, num_lines=len(turn), newline=_newline(turn[0])) if several else as_it_is)
        builder.add_boundary(last[len(content) :])


def _newline(line: str) -> str:
    return line[len(line.rstrip("\r\n")) :] or "\n"


def _add_lines(builder: DocumentBuilder, lines: list[str], is_vtt: bool) -> None:
    raw = "".join(lines)
    position = 0
    for found in _TAG.finditer(raw):
        builder.add_text(raw[position : found.start()])
        if found["entity"] is None:
            kind = (
                "single" if not found["name"] or found["name"][0].isdecimal() else "close" if found["close"] else "open"
            )
            builder.add_tag(found.group(), kind, found["name"] or "")  # type: ignore[arg-type]
        elif is_vtt and unescape(found.group()) != found.group():
            builder.add_text(unescape(found.group()), found.group())
        else:
            builder.add_text(found.group())
        position = found.end()
    builder.add_text(raw[position:])


def _wrap(text: str, *, num_lines: int, newline: str) -> str:
    """Break a cue into as many lines as it had, of about the same length."""
    if "\n" in text or "\r" in text:
        return text
    words = _WORD.findall(text)
    if len(words) < num_lines:
        return text
    total = sum(_width(word) for word in words)
    lines: list[list[str]] = [[]]
    so_far = 0
    for place, word in enumerate(words):
        full = so_far + _width(word) / 2 > total * len(lines) / num_lines
        needed = len(words) - place <= num_lines - len(lines)
        if lines[-1] and len(lines) < num_lines and (full or needed):
            lines.append([])
        lines[-1].append(word)
        so_far += _width(word)
    return newline.join(" ".join(line) for line in lines)


def _width(word: str) -> int:
    return len(_TAG.sub("", word)) + 1


def _escape_srt(text: str, bare: frozenset[str]) -> str:
    # A timing's arrow would begin a cue.
    return text.replace("-->", "→")
