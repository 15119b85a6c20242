"""How many configurations work, and what stops the others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from mlsysim.engine import condition, label
from mlsysim.engine.block import Block
from mlsysim.engine.device import Device
from mlsysim.engine.graph import Node
from mlsysim.engine.program import Program
from mlsysim.schema import codes
from mlsysim.schema.check import names
from mlsysim.search.reduce import Cells, Room

LIMITS = {int(limit): codes.label(limit) for limit in codes.Limit}
FIRST_CLAUSE = 1 + max(LIMITS)  #: verdict of the first clause; those of the others follow


def verdict(program: Program, clauses: list[tuple[str, Node]]) -> Node:
    """Why a point is rejected: 0, the code of its limit, or `FIRST_CLAUSE` and more for the clauses in turn."""
    code: Any = 0.0
    for i, (_, clause) in reversed(list(enumerate(clauses))):
        code = program.graph.apply("where", (clause, code, float(FIRST_CLAUSE + i)))
    if "limit" in program.outputs:
        limit = program.outputs["limit"]
        program.spare("limit", limit)
        code = program.graph.apply("where", (limit == 0, code, limit))
    return program.graph.lift(code)


def tally(column: np.ndarray, clauses: Sequence[Any]) -> np.ndarray:
    """How often each verdict occurs: as many kinds as there are limits and clauses."""
    return np.bincount(column.astype(np.intp), minlength=kinds(clauses))


def kinds(clauses: Sequence[Any]) -> int:
    """How many kinds of verdicts there are with some clauses."""
    return FIRST_CLAUSE + len(clauses)


def told(verdicts: np.ndarray, clauses: Sequence[str]) -> str:
    """The rejections in words: ``"memory: 12, itl < 0.05: 7"``."""
    parts = [f"{LIMITS[i]}: {n}" for i, n in enumerate(verdicts[: len(LIMITS)]) if i and n]
    parts += [f"{text}: {verdicts[FIRST_CLAUSE + i]}" for i, text in enumerate(clauses)]
    return ", ".join(parts)


class Counts:
    """Configurations by the limit that stops them, in each cell of `by`.

    Parameters
    ----------
    by : str or sequence of str
        Axes to keep.
    where : str or sequence of str, optional
        Clauses, counted in turn after the limits.
    """

    def __init__(self, by: str | Sequence[str] = (), where: str | Sequence[str] | None = None):
        self.by = names(by, "by")
        self.where = condition.texts(where)

    def __repr__(self) -> str:
        return f"Counts(by={self.by}, where={self.where!r})"

    def columns(self, program: Program) -> list[Node]:
        clauses = condition.clauses(program, self.where)
        self.clauses = [text for text, _ in clauses]
        return [verdict(program, clauses)]

    def room(self, program: Program, cells: Cells) -> Room:
        state = 8.0 * cells.count * kinds(self.clauses)
        return Room(state, 3 * state)

    def start(self, cells: Cells) -> np.ndarray:
        return np.zeros((cells.count, kinds(self.clauses)), dtype=np.int64)

    def take(self, state: np.ndarray, block: Block, columns: np.ndarray, cells: Cells) -> None:
        if not cells.by:
            state[0] += tally(columns[0], self.clauses)
            return
        which = cells.of_tiles(block)
        first, last = int(which.min()), int(which.max())  # a block meets few of many cells
        touched = state[first : last + 1]
        code = columns[0].astype(np.int64) + state.shape[1] * np.repeat(which - first, np.diff(block.starts))
        touched += np.bincount(code, minlength=touched.size).reshape(touched.shape)

    def on_device(self, state: np.ndarray, program: Program, cells: Cells) -> Iterator[int]:
        columns = self.columns(program)
        device = Device(program, columns, cells.by, cells.strides, kinds(self.clauses))
        for found in device.least():
            np.add.at(state, device.cell(found.blocks), found.verdicts)
            yield found.points

    def merge(self, state: np.ndarray, other: np.ndarray) -> None:
        state += other

    def pack(self, state: np.ndarray) -> dict[str, np.ndarray]:
        held = np.flatnonzero(state.any(axis=1))
        return {"cell": held, "verdicts": state[held]}

    def unpack(self, arrays: Mapping[str, np.ndarray], cells: Cells) -> np.ndarray:
        state = self.start(cells)
        state[arrays["cell"]] = arrays["verdicts"]
        return state

    def finish(self, states: list[np.ndarray], program: Program, cells: Cells) -> xr.Dataset:
        total = sum(states[1:], states[0])
        kinds = [*LIMITS.values(), *self.clauses]
        table = total[:, [*LIMITS, *(FIRST_CLAUSE + i for i in range(len(self.clauses)))]].reshape(
            *cells.shape, len(kinds)
        )
        coords: dict[str, Any] = {b: program.axes[b].values for b in cells.by}
        coords["limit"] = np.array(kinds)
        data = {
            "configurations": (
                (*cells.by, "limit"),
                table,
                {"units": "1", "long_name": "configurations by what stops them"},
            )
        }
        return xr.Dataset(data, coords=coords, attrs=label.story(program, {}, points=program.n_points))
