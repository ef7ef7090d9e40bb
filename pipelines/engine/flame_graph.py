"""Draws how often each stack was seen as a flame graph (Gregg 2011, https://www.brendangregg.com/flamegraphs.html).

One SVG without scripts: a frame is as wide as its share, what it called stands on it, its title shows when the mouse
rests on it.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

Stack = tuple[str, ...]
"""Names of frames, the outermost first."""

_WIDTH = 1200.0
_FRAME_HEIGHT = 17
_CHAR_WIDTH = 6.6
_MIN_WIDTH = 0.4  # narrower ones cannot be seen


@dataclass(slots=True)
class _Frame:
    num_samples: int = 0
    callees: dict[str, _Frame] = field(default_factory=dict)


def flame_graph(stacks: Counter[Stack], title: str) -> str:
    """Return the SVG; each outermost frame, such as a thread, stands for itself."""
    root = _tree(stacks)
    boxes = list(_boxes("all", root, x=0.0, depth=0, scale=_WIDTH / max(1, root.num_samples)))
    height = (max(depth for _, _, depth, _, _ in boxes) + 3) * _FRAME_HEIGHT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:g} {height}" width="{_WIDTH:g}" '
        f'height="{height}" font-family="monospace" font-size="11">',
        f'<rect width="100%" height="100%" fill="#fff"/><text x="6" y="13">{escape(title)}</text>',
    ]
    parts += [_box(*box, total=root.num_samples, height=height) for box in boxes]
    return "\n".join([*parts, "</svg>"])


def _tree(stacks: Counter[Stack]) -> _Frame:
    root = _Frame()
    for stack, num_samples in stacks.items():
        root.num_samples += num_samples
        frame = root
        for name in stack:
            frame = frame.callees.setdefault(name, _Frame())
            frame.num_samples += num_samples
    return root


def _boxes(
    name: str, frame: _Frame, x: float, depth: int, scale: float
) -> Iterator[tuple[str, int, int, float, float]]:
    """Yield name, samples, depth, place and width of a frame and all that it called, if they can be seen."""
    width = frame.num_samples * scale
    if width < _MIN_WIDTH and depth > 0:
        return
    yield name, frame.num_samples, depth, x, width
    for callee_name, callee in sorted(frame.callees.items()):
        yield from _boxes(callee_name, callee, x, depth + 1, scale)
        x += callee.num_samples * scale


def _box(name: str, num_samples: int, depth: int, x: float, width: float, *, total: int, height: int) -> str:
    y = height - (depth + 1) * _FRAME_HEIGHT
    shown = name if len(name) * _CHAR_WIDTH < width - 4 else name[: max(0, int((width - 4) / _CHAR_WIDTH) - 1)]
    label = f'<text x="{x + 3:.1f}" y="{y + 12}">{escape(shown)}</text>' if len(shown) > 1 else ""
    share = num_samples / max(1, total)
    return (
        f"<g><title>{escape(name)}: {num_samples} samples, {share:.1%}</title>"
        f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.3, 0.1):.1f}" height="{_FRAME_HEIGHT - 1}" '
        f'fill="{_color(name)}"/>{label}</g>'
    )


def _color(name: str) -> str:
    """The same name has the same warm color in every graph."""
    digest = zlib.crc32(name.encode())
    return f"hsl({digest % 45 + 10},{60 + digest // 64 % 25}%,{62 + digest // 4096 % 14}%)"
