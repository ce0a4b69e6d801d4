"""A plot of quality against cost as inline SVG: a point a way, with its interval, and a number that the table explains."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 520, 360
LEFT, RIGHT, TOP, BOTTOM = 56, 22, 16, 52
RADIUS = 13
"""Of a number's circle, in the picture's units, as large as it gets on a narrow screen."""


@dataclass(frozen=True, slots=True)
class Point:
    """A way in a plot: its number and name, what it costs (above 0), its quality with the interval, from 0 to 1."""

    number: int
    name: str
    cost: float
    quality: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Axes:
    """Where things are drawn: the cost by its logarithm from left to right, the quality upwards."""

    least: float
    most: float
    bottom: float
    top: float

    @classmethod
    def of(cls, points: Sequence[Point]) -> Axes:
        """Axes that hold all points and their intervals, with some air."""
        costs = [math.log10(point.cost) for point in points]
        low, high = min(costs), max(costs)
        air = max(0.12, 0.08 * (high - low))
        bottom = min(0.9, math.floor(10 * min(point.low for point in points)) / 10)
        top = math.ceil(10 * max(point.high for point in points)) / 10
        return cls(low - air, high + air, max(0.0, bottom), min(1.0, max(top, bottom + 0.1)))

    def x(self, cost: float) -> float:
        """From the left, in the picture's units."""
        return LEFT + (math.log10(cost) - self.least) / (self.most - self.least) * (WIDTH - LEFT - RIGHT)

    def y(self, quality: float) -> float:
        """From the top, in the picture's units."""
        return HEIGHT - BOTTOM - (quality - self.bottom) / (self.top - self.bottom) * (HEIGHT - TOP - BOTTOM)

    def cost_ticks(self) -> list[float]:
        """1, 2 and 5 times powers of ten that lie on the axis, every second or third left out where there are many."""
        powers = range(math.floor(self.least), math.ceil(self.most) + 1)
        for steps in ((1, 2, 5), (1, 3), (1,)):
            ticks = [step * 10.0**power for power in powers for step in steps]
            ticks = [tick for tick in ticks if self.least <= math.log10(tick) <= self.most]
            if len(ticks) <= 6:
                break
        return ticks

    def quality_ticks(self) -> list[float]:
        """Tenths, or fifths where there are more than six."""
        first, last = round(10 * self.bottom), round(10 * self.top)
        step = 1 if last - first <= 6 else 2
        return [tenth / 10 for tenth in range(first, last + 1) if (tenth - first) % step == 0]


def plot(points: Sequence[Point], quality: str, cost: str) -> str:
    """The plot; it says in words what it shows, and the table holds its figures.

    Args:
        points: at least one.
        quality: what is plotted upwards.
        cost: what is plotted to the right.
    """
    axes = Axes.of(points)
    told = f"{quality} against {cost} of {len(points)} ways. The table has the figures."
    return "\n".join(
        [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(told)}">',
            *_frame(axes, quality, cost),
            *_points(points, axes),
            "</svg>",
        ]
    )


def _frame(axes: Axes, quality: str, cost: str) -> Iterator[str]:
    """Ticks, their lines, and the names of the axes."""
    right, bottom = WIDTH - RIGHT, HEIGHT - BOTTOM
    for tick in axes.quality_ticks():
        y = axes.y(tick)
        yield f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{100 * tick:.0f}</text>'
    for tick in axes.cost_ticks():
        x = axes.x(tick)
        yield f'<line class="grid" x1="{x:.1f}" y1="{bottom}" x2="{x:.1f}" y2="{bottom + 5}"/>'
        yield f'<text x="{x:.1f}" y="{bottom + 21}" text-anchor="middle">{short(tick)}</text>'
    yield f'<text x="{(LEFT + right) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{escape(cost)}</text>'
    middle = (TOP + bottom) / 2
    yield f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(quality)}</text>'


def _points(points: Sequence[Point], axes: Axes) -> Iterator[str]:
    """The intervals, then the dots, then the numbers where they hide no other."""
    dots = [(axes.x(point.cost), axes.y(point.quality)) for point in points]
    for point, (x, _) in zip(points, dots, strict=True):
        low, high = axes.y(max(point.low, axes.bottom)), axes.y(min(point.high, axes.top))
        yield f'<line class="reach" x1="{x:.1f}" y1="{low:.1f}" x2="{x:.1f}" y2="{high:.1f}"/>'
    for x, y in dots:
        yield f'<circle class="dot" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'
    for point, (x, y), (at, up) in zip(points, dots, spots(dots), strict=True):
        yield f'<line class="lead" x1="{x:.1f}" y1="{y:.1f}" x2="{at:.1f}" y2="{up:.1f}"/>'
        told = f"{point.name}: {100 * point.quality:.0f} at {short(point.cost)}"
        yield (
            f'<g class="badge{" first" if point.number == 1 else ""}" data-way="{point.number}">'
            f'<title>{escape(told)}</title><circle cx="{at:.1f}" cy="{up:.1f}" r="9"/>'
            f'<text x="{at:.1f}" y="{up:.1f}">{point.number}</text></g>'
        )


def spots(dots: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """A place beside each dot for its number, as near as it can be without hiding a dot or another number."""
    taken: list[tuple[float, float]] = []
    for x, y in dots:
        around = (
            (x + reach * math.cos(turn), y - reach * math.sin(turn))
            for reach in range(RADIUS + 6, 12 * RADIUS, RADIUS)
            for turn in (math.pi / 8 * k for k in (1, 15, 7, 9, 4, 12, 2, 14, 6, 10, 0, 8))
        )
        inside = (
            (a, b)
            for a, b in around
            if LEFT + RADIUS <= a <= WIDTH - RADIUS and RADIUS <= b <= HEIGHT - BOTTOM - RADIUS
        )
        free = (
            place
            for place in inside
            if all(math.dist(place, other) >= 2 * RADIUS for other in taken)
            and all(math.dist(place, dot) >= RADIUS + 4 for dot in dots)
        )
        taken.append(next(free, (x, y)))
    return taken


def short(number: float) -> str:
    """A number in a few characters: 1,200 as 1.2k, 0.05 as 0.05."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size * 0.9995:
            return f"{number / size:.3g}{letter}"
    return f"{number:.2g}" if number < 10 else f"{number:.0f}"
