"""Small charts as inline SVG, drawn by us: lines, bars, axes. No script, no style from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Final

import msgspec

WIDTH: Final = 460
HEIGHT: Final = 260
LEFT: Final = 48
RIGHT: Final = 14
TOP: Final = 14
BOTTOM: Final = 40
TICKS: Final = 5
COLOURS: Final = ("#0b5cad", "#c2410c", "#3f7d20", "#7c3aed")

Point = tuple[float, float]


class Axis(msgspec.Struct, frozen=True):
    """One axis: its title and range; ``percent`` writes shares as percent."""

    title: str
    low: float = 0.0
    high: float = 1.0
    percent: bool = True

    def place(self, value: float, start: float, end: float) -> float:
        """Return where a value lies between the pixels ``start`` and ``end``, held inside the range."""
        span = (self.high - self.low) or 1.0
        share = min(max((value - self.low) / span, 0.0), 1.0)
        return start + share * (end - start)

    def label(self, value: float) -> str:
        """Return the text of a tick."""
        return f"{100 * value:.3g} %" if self.percent else f"{value:.3g}"


class Line(msgspec.Struct, frozen=True):
    """A curve through points, with a name for the legend; ``dashed`` for a reference."""

    name: str
    points: Sequence[Point]
    dashed: bool = False


def line_chart(title: str, x: Axis, y: Axis, lines: Sequence[Line]) -> str:
    """Return a chart of one or more lines.

    >>> "polyline" in line_chart("t", Axis("x"), Axis("y"), [Line("a", [(0, 0), (1, 1)])])
    True
    """
    parts = [_frame(x, y)]
    for number, line in enumerate(lines):
        path = " ".join(f"{_x(x, px):.1f},{_y(y, py):.1f}" for px, py in line.points)
        dash = ' stroke-dasharray="5 4"' if line.dashed else ""
        colour = "#888" if line.dashed else COLOURS[number % len(COLOURS)]
        parts.append(f'<polyline fill="none" stroke="{colour}" stroke-width="2"{dash} points="{path}"/>')
        if len(lines) > 1:
            parts.append(_text(LEFT + 8, TOP + 14 + 14 * number, line.name, colour=colour))
    return _svg(title, parts)


def bar_chart(title: str, names: Sequence[str], values: Sequence[float], x: Axis) -> str:
    """Return horizontal bars, one for each name."""
    step = 24
    left, height = 150, TOP + step * max(len(names), 1) + BOTTOM
    parts = []
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        top = TOP + number * step
        width = x.place(value, 0, WIDTH - left - 60)
        parts.append(_text(left - 6, top + 15, name, anchor="end"))
        parts.append(f'<rect x="{left}" y="{top + 3}" width="{width:.1f}" height="16" fill="{COLOURS[0]}"/>')
        parts.append(_text(left + width + 5, top + 15, x.label(value)))
    parts.append(_text((left + WIDTH) / 2, height - 10, x.title, anchor="middle"))
    return _svg(title, parts, height)


def _frame(x: Axis, y: Axis) -> str:
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    parts = [f'<rect x="{LEFT}" y="{TOP}" width="{right - LEFT}" height="{bottom - TOP}" fill="none" stroke="#999"/>']
    for tick in range(TICKS + 1):
        at_x, at_y = (axis.low + (axis.high - axis.low) * tick / TICKS for axis in (x, y))
        px, py = _x(x, at_x), _y(y, at_y)
        parts.append(f'<line x1="{LEFT}" x2="{right}" y1="{py:.1f}" y2="{py:.1f}" stroke="#ddd"/>')
        parts.append(_text(px, bottom + 15, x.label(at_x), anchor="middle"))
        parts.append(_text(LEFT - 5, py + 4, y.label(at_y), anchor="end"))
    parts.append(_text((LEFT + right) / 2, HEIGHT - 6, f"{y.title} / {x.title}", anchor="middle"))
    return "".join(parts)


def _x(axis: Axis, value: float) -> float:
    return axis.place(value, LEFT, WIDTH - RIGHT)


def _y(axis: Axis, value: float) -> float:
    return axis.place(value, HEIGHT - BOTTOM, TOP)


def _text(x: float, y: float, text: str, *, anchor: str = "start", colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'


def _svg(title: str, parts: Sequence[str], height: float = HEIGHT) -> str:
    body = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title, quote=True)}">'
        f"<title>{escape(title)}</title>{body}</svg>"
    )
