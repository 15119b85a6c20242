"""Labels of points that do not lie on each other.

A label takes the first place around its point, the nearest first, where it meets neither another label, nor a point, nor the
line from another label to its point.
(adjustText moves texts in the coordinates of the data, so a layout that changes afterwards undoes its work, and it
needs a renderer; offsets in points stay.)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

DISTANCES = (
    5.0,
    9.0,
    13.0,
    18.0,
    23.0,
    29.0,
    36.0,
    44.0,
    54.0,
    66.0,
    80.0,
    96.0,
)  #: points from the point to its label
DIRECTIONS = (
    30.0,
    150.0,
    -30.0,
    -150.0,
    90.0,
    -90.0,
    0.0,
    180.0,
    60.0,
    120.0,
    -60.0,
    -120.0,
    75.0,
    105.0,
    -75.0,
    -105.0,
)  #: degrees
NEAR = 8.0  #: points up to which no line need say whose label it is
GAP = 2.0  #: points between two labels
Box = tuple[float, float, float, float]
Line = tuple[float, float, float, float]  #: from the middle of a label to its point


def place(
    ax: Any, x: np.ndarray, y: np.ndarray, texts: Sequence[str], busy: tuple[np.ndarray, np.ndarray] | None = None
) -> list[Any]:
    """Write a label at each point.

    Parameters
    ----------
    ax : Axes
        With its limits and scales final.
    x, y : arrays (n,)
        In the coordinates of the axes.
    texts : sequence of str
    busy : (x, y), optional
        Further points that no label may cover; nor do labels cover the legend.

    Returns
    -------
    list of Annotation
    """
    figure = ax.figure
    figure.draw_without_rendering()
    dot = figure.dpi / 72.0
    frame = ax.get_window_extent()
    inside = (frame.x0, frame.y0, frame.x1, frame.y1)
    at = ax.transData.transform(np.column_stack([x, y]))
    others = at if busy is None else np.vstack([at, ax.transData.transform(np.column_stack(busy))])
    taken: list[Box] = [(px - 4 * dot, py - 4 * dot, px + 4 * dot, py + 4 * dot) for px, py in others]
    if ax.get_legend() is not None:
        covered = ax.get_legend().get_window_extent()
        taken.append((covered.x0, covered.y0, covered.x1, covered.y1))
    found = []
    labels: list[Box] = []
    lines: list[Line] = []
    for (px, py), point, text in zip(at, zip(x, y), texts):
        note = ax.annotate(text, point, xytext=(0, 0), textcoords="offset points", fontsize=7)
        size = note.get_window_extent()
        dx, dy, box = _free(px, py, size.width, size.height, dot, taken, inside, labels, lines)
        note.remove()
        far = math.hypot(dx, dy) > NEAR * dot
        left, low = (box[0] - px) / dot, (box[1] - py) / dot
        found.append(
            ax.annotate(
                text,
                point,
                xytext=(left, low),
                textcoords="offset points",
                fontsize=7,
                color="dimgray",
                zorder=4,
                arrowprops={"arrowstyle": "-", "color": "0.7", "lw": 0.5, "shrinkA": 0, "shrinkB": 2} if far else None,
            )
        )
        labels.append(box)
        lines += [_line(box, px, py)] if far else []
        taken.append((box[0] - GAP * dot, box[1] - GAP * dot, box[2] + GAP * dot, box[3] + GAP * dot))
    return found


def _free(
    px: float,
    py: float,
    width: float,
    height: float,
    dot: float,
    taken: Sequence[Box],
    inside: Box,
    labels: Sequence[Box] = (),
    lines: Sequence[Line] = (),
) -> tuple[float, float, Box]:
    """The nearest place without an overlap, else that with the least: offset of the label's near side, and its box."""
    best: tuple[float, float, float, Box] | None = None
    for distance, direction in itertools.product(DISTANCES, DIRECTIONS):
        dx = distance * dot * math.cos(math.radians(direction))
        dy = distance * dot * math.sin(math.radians(direction))
        x0 = px + dx - (width if dx < -1e-6 else width / 2 if abs(dx) < 1e-6 else 0.0)
        y0 = py + dy - (height if dy < -1e-6 else height / 2 if abs(dy) < 1e-6 else 0.0)
        box = (x0, y0, x0 + width, y0 + height)
        cost = sum(overlap(box, other) for other in taken) + 2.0 * (width * height - overlap(box, inside))
        cost += height * sum(within(line, box) for line in lines)
        if distance > NEAR:
            own = _line(box, px, py)
            cost += height * sum(within(own, label) for label in labels)
        if best is None or cost < best[0] - 1e-9:
            best = (cost, dx, dy, box)
        if cost <= 1e-9:
            break
    assert best is not None
    return best[1], best[2], best[3]


def _line(box: Box, px: float, py: float) -> Line:
    return (box[0] + box[2]) / 2, (box[1] + box[3]) / 2, px, py


def within(line: Line, box: Box) -> float:
    """Length of a line that lies in a box (Liang and Barsky 1984).

    >>> within((-1, 1, 3, 1), (0, 0, 2, 2)), within((-1, 3, 3, 3), (0, 0, 2, 2))
    (2.0, 0.0)
    """
    x, y, dx, dy = line[0], line[1], line[2] - line[0], line[3] - line[1]
    enters, leaves = 0.0, 1.0
    for step, before, after in ((dx, x - box[0], box[2] - x), (dy, y - box[1], box[3] - y)):
        if step == 0 and min(before, after) < 0:
            return 0.0
        if step != 0:
            first, last = sorted((-before / step, after / step))
            enters, leaves = max(enters, first), min(leaves, last)
    return max(leaves - enters, 0.0) * math.hypot(dx, dy)


def overlap(a: Box, b: Box) -> float:
    """Area that two boxes share.

    >>> overlap((0, 0, 2, 2), (1, 1, 3, 3)), overlap((0, 0, 1, 1), (1, 0, 2, 1))
    (1, 0)
    """
    return max(min(a[2], b[2]) - max(a[0], b[0]), 0) * max(min(a[3], b[3]) - max(a[1], b[1]), 0)
