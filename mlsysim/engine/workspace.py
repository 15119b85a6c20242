"""Where a nest keeps what it computes: one array, in which every buffer has a constant place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from mlsysim.engine.lanes import LANES, MOST
from mlsysim.engine.plan import Layout

LINE = 8  #: doubles of a line of the cache, at which a buffer over an axis begins
PAGE = 512  #: doubles after which places share a line of the first-level cache
APART = 3 * LINE  #: between buffers of a page or more: side by side, all of a loop's would share their lines


@dataclass
class Buffer:
    """Some values in the workspace: an offset, and a stride per tile axis."""

    offset: int
    strides: dict[str, int] = field(default_factory=dict)

    def element(self, numbers: Mapping[str, int]) -> str:
        """The element for the current loop indices, from the numbers of the axes."""
        terms = [f"u({self.offset})"]
        terms += [f"j_{numbers[a]}" if s == 1 else f"j_{numbers[a]} * u({s})" for a, s in self.strides.items()]
        return f"w[{' + '.join(terms)}]"


class Workspace:
    """Hands out the places of a nest's workspace.

    Parameters
    ----------
    layout : Layout
        Of the nest.
    """

    def __init__(self, layout: Layout):
        self.layout = layout
        self.used = 0
        self.rows: list[int] = []
        self._lanes: int | None = None  #: where what stages carry begins

    def capacity(self, axis: str) -> int:
        """Room for an axis: the next power of two, so that similar sweeps share a nest."""
        length = self.layout.sizes[axis]
        if axis == self.layout.tile[-1]:
            length = min(length, self.layout.chunk)
        return max(LINE if axis == self.layout.tile[-1] else 1, 1 << (length - 1).bit_length())

    def buffer(self, inside: Sequence[str]) -> Buffer:
        """A new buffer over some axes of the tile."""
        strides: dict[str, int] = {}
        room = 1
        for axis in reversed(inside):
            strides[axis] = room
            room *= self.capacity(axis)
        if inside:
            self.used = -(-self.used // LINE) * LINE
        made = Buffer(self.used, strides)
        self._use(room)
        return made

    def row(self, number: int) -> int:
        """Offset of a row buffer: places at constant distance, shared by all groups."""
        while len(self.rows) <= number:
            self.used = -(-self.used // LINE) * LINE
            self.rows.append(self.used)
            self._use(max(self.capacity(a) for a in self.layout.tile))
        return self.rows[number]

    def lanes(self, number: int) -> int:
        """Offset of a row of what stages carry for each of their lanes; the rows lie side by side."""
        if self._lanes is None:
            self._lanes = self.used = -(-self.used // LINE) * LINE
            self._use(LANES * MOST)
        return self._lanes + LANES * number

    def _use(self, room: int) -> None:
        self.used += room + (APART if room >= PAGE else 0)
