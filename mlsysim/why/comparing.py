"""What sets two answers apart: inputs, outputs, the parts of the time, the walls, and how that changes with scale."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from mlsysim.engine.label import labelled
from mlsysim.plot.parts import parts_of, wholes
from mlsysim.resolver import Resolver
from mlsysim.schema.check import hint, shown
from mlsysim.schema.variables import VARIABLES, field_of
from mlsysim.sizes import number, quantity
from mlsysim.why.sides import broadcast, called, differing, figures, median_ratio, without_counts, works

if TYPE_CHECKING:
    import xarray as xr

MOVED = 1e-3  #: relative difference below which two figures are called alike
TOLD = 6  #: outputs, parts and axes that the text names; the tables have all


class Comparison:
    """What `compare` answers: ``print`` it, or read its tables.

    Attributes
    ----------
    names : (str, str)
        What the two are called.
    resolver : str
    points : int
        How many points were set side by side.
    inputs : DataFrame
        Inputs that differ: a column for each side; `given` is False where a side took a default.
    table : DataFrame
        Outputs: unit, a column for each side, `difference`, `ratio` (second over first), which side is `better`.  Over a grid the
        columns are medians of points where both sides work, with the `lowest` and `highest` ratio.
    parts : DataFrame
        Totals and their parts (index `total`, `part`): a column for each side, `difference`, and the `share` of the total's
        difference that a part explains; means over a grid, because those add up.
    walls : DataFrame
        What binds or stops how many points, for each side.
    scale : DataFrame
        Ratio of each output at each value of each axis (index `axis`, `value`), the median over the others; empty for one point.
    """

    def __init__(self, a: xr.Dataset, b: xr.Dataset, names: tuple[str, str] | None = None):
        self.inputs = differing(a, b)
        self.names = names or called(self.inputs)
        self.resolver = str(a.attrs.get("resolver", ""))
        if str(b.attrs.get("resolver", "")) != self.resolver:
            self.resolver += f" and {b.attrs.get('resolver', '')}"
        self.inputs.columns = pd.Index([*self.names, "given"])
        self.points = int(np.prod(list(a.sizes.values()), dtype=np.int64))
        self._a, self._b = a, b
        self._works = [works(side) for side in (a, b)]
        self._both = self._works[0] & self._works[1]
        self.table = self._outputs()
        self.parts = self._parts()
        self.walls = self._walls()
        self.scale = self._scale()

    # --- tables ----------------------------------------------------------------------------------------------

    def _common(self, ds: xr.Dataset, array: xr.DataArray) -> np.ndarray:
        """Figures of one side where both work (or anywhere, where they nowhere do)."""
        where = self._both if self._both.any() else np.ones_like(self._both)
        return broadcast(ds, np.asarray(array.values, dtype=np.float64), array.dims)[where]

    def _pair(self, name: str) -> tuple[np.ndarray, np.ndarray]:
        return self._common(self._a, self._a[name]), self._common(self._b, self._b[name])

    def _outputs(self) -> pd.DataFrame:
        rows: dict[str, dict[str, Any]] = {}
        first, second = self.names
        for name in figures(self._a, self._b):
            a, b = self._pair(name)
            known = np.isfinite(a) & np.isfinite(b)
            a, b = (a[known], b[known]) if known.any() else (a, b)
            with np.errstate(all="ignore"):
                ratio = np.where(a == b, 1.0, b / a)
            left, right, times = (float(np.median(x)) if x.size else np.nan for x in (a, b, ratio))
            row = {
                "unit": str(self._a[name].attrs.get("units", "1")),
                first: left,
                second: right,
                "difference": right - left,
                "ratio": times,
            }
            if self.points > 1 and ratio.size:
                row |= {"lowest": float(ratio.min()), "highest": float(ratio.max())}
            rows[name] = row | {"better": self._better(name, times)}
        columns = ["unit", first, second, "difference", "ratio"]
        columns += ["lowest", "highest"] if self.points > 1 else []
        return pd.DataFrame.from_dict(rows, orient="index", columns=[*columns, "better"]).rename_axis("output")

    def _better(self, name: str, ratio: float) -> str:
        variable = VARIABLES.get(field_of(name))
        if variable is None or not variable.better or not abs(ratio - 1.0) > MOVED:
            return ""
        return self.names[int((ratio < 1.0) == (variable.better == "less"))]

    def _parts(self) -> pd.DataFrame:
        rows: dict[tuple[str, str], dict[str, Any]] = {}
        totals = [n for n in wholes(self._a) if n in wholes(self._b) and n in self.table.index]
        for total in totals:
            whole = self._mean({total: self._a[total]}, {total: self._b[total]})[total]
            try:
                means = self._mean(parts_of(self._a, total), parts_of(self._b, total))
            except ValueError:  # not of this answer: figures of the whole model beside those of one device
                continue
            if not np.isfinite([whole, *means.values()]).all() or whole[0] == whole[1]:
                continue
            for part, (left, right) in means.items():
                share = (right - left) / (whole[1] - whole[0])
                sides = dict(zip(self.names, (left, right)))
                rows[total, part] = {**sides, "difference": right - left, "share": share}
        found = pd.DataFrame.from_dict(rows, orient="index", columns=[*self.names, "difference", "share"])
        found.index = pd.MultiIndex.from_tuples(rows or [], names=["total", "part"])
        return found

    def _mean(self, a: Mapping[str, xr.DataArray], b: Mapping[str, xr.DataArray]) -> dict[str, tuple[float, float]]:
        """Means of figures of both sides where both work; 0 where one side has none."""
        found = {}
        for name in dict.fromkeys([*a, *b]):
            pair = [
                self._common(ds, arrays[name]) if name in arrays else np.zeros(1)
                for ds, arrays in ((self._a, a), (self._b, b))
            ]
            found[name] = (float(np.mean(pair[0])), float(np.mean(pair[1])))
        return found

    def _walls(self) -> pd.DataFrame:
        rows: dict[tuple[str, str], dict[str, int]] = {}
        for side, fine, name in zip((self._a, self._b), self._works, self.names):
            for wall in [str(n) for n in side.data_vars if "flag_meanings" in side[n].attrs]:
                found = broadcast(side, labelled(side[wall]), side[wall].dims)
                of_all = wall == "limit" or not fine.any()
                for label, count in zip(*np.unique(found if of_all else found[fine], return_counts=True)):
                    if wall != "limit" or label != "none":
                        rows.setdefault((wall, str(label)), dict.fromkeys(self.names, 0))[name] = int(count)
        table = pd.DataFrame.from_dict(rows, orient="index", columns=list(self.names))
        table.index = pd.MultiIndex.from_tuples(rows or [], names=["wall", "which"])
        return table

    def _scale(self) -> pd.DataFrame:
        names = list(self.table.index)
        rows: dict[tuple[str, Any], dict[str, float]] = {}
        for axis in [str(d) for d, n in self._a.sizes.items() if n > 1 and d in self._a.coords]:
            for value in range(self._a.sizes[axis]):
                both = np.take(self._both, value, axis=list(self._a.sizes).index(axis))
                if both.any():
                    sides = [side.isel({axis: value}) for side in (self._a, self._b)]
                    label = self._a[axis].values[value]
                    rows[axis, label.item() if hasattr(label, "item") else label] = {
                        n: median_ratio(sides, n, both) for n in names
                    }
        table = pd.DataFrame.from_dict(rows, orient="index", columns=names)
        table.index = pd.MultiIndex.from_tuples(rows or [], names=["axis", "value"])
        return table

    # --- words -----------------------------------------------------------------------------------------------

    def __repr__(self) -> str:
        return "\n".join(self._lines())

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(repr(self))}</pre>{self.table.to_html(float_format=lambda x: f'{x:.4g}')}"

    def _lines(self) -> Iterator[str]:
        first, second = self.names
        yield f"{self.resolver}: {first} against {second}{self._where()}"
        given, taken = (
            [f"{n} {a} / {b}" for n, (a, b, by) in self.inputs.iterrows() if by == said] for said in (True, False)
        )
        with_them = f"; with {'it' if len(given) == 1 else 'them'}: {', '.join(taken)}" if taken else ""
        yield f"inputs that differ: {', '.join(given) or 'none'}{with_them}"
        for name in self._telling():
            yield f"  {self._moved(name)}"
        if alike := len(self.table) - int((np.abs(self.table["ratio"] - 1.0) > MOVED).sum()):
            yield f"  {alike} of {len(self.table)} outputs are alike within 0.1 %"
        for total in dict.fromkeys(self.parts.index.get_level_values("total")):
            if abs(self.table.loc[total, "ratio"] - 1.0) > MOVED:
                yield f"why {total}: {self._explained(total)}"
        yield from self._walls_told()
        yield from self._scale_told()

    def _where(self) -> str:
        works = [int(w.sum()) for w in self._works]
        if self.points == 1:
            which = [name for name, n in zip(self.names, works) if not n]
            return f"; {' and '.join(which)} {'does' if len(which) == 1 else 'do'} not work" if which else ""
        counts = ", ".join(f"{name} works at {n:,}" for name, n in zip(self.names, works))
        both = int(self._both.sum())
        over = f"medians of the {both:,} where both work" if both else "medians of all, for nowhere do both work"
        return f"; {self.points:,} points: {counts}; {over}"

    def _telling(self) -> list[str]:
        """Outputs whose difference says most: those with a direction that moved, in the order of the resolver, totals first."""
        better = self.table["better"] != ""
        totals = wholes(self._a)
        told = {part for total, part in self.parts.index}
        names = [n for n in self.table.index if better[n] and n not in told]
        return sorted(names, key=lambda n: n not in totals and n not in ("tokens_per_s", "mfu", "usd_per_mtok"))[:TOLD]

    def _moved(self, name: str) -> str:
        row = self.table.loc[name]
        a, b = (quantity(row[side], row["unit"]) for side in self.names)
        ends = f" ({number(row['lowest'])} to {number(row['highest'])})" if "lowest" in row else ""
        return f"{name}: {a} -> {b}, {number(row['ratio'])} times{ends}; better: {row['better']}"

    def _explained(self, total: str) -> str:
        own = self.parts.loc[total]
        unit = str(self.table.loc[total, "unit"])
        order = own["difference"].abs().sort_values(ascending=False).index
        told = []
        for part in order[:TOLD]:
            row = own.loc[part]
            if abs(row["share"]) >= 0.01:
                a, b = (quantity(row[side], unit) for side in self.names)
                told.append(f"{part} {a} -> {b} ({100 * row['share']:.0f} % of the difference)")
        return ", ".join(told) or "no part stands out"

    def _walls_told(self) -> Iterator[str]:
        for wall in dict.fromkeys(self.walls.index.get_level_values("wall")):
            own = self.walls.loc[wall]
            told = []
            for name in self.names:
                found = own[name][own[name] > 0].sort_values(ascending=False)
                each = [f"{which} at {n:,}" if self.points > 1 else str(which) for which, n in found.items()]
                told.append(f"{name} {', '.join(each) or 'none'}")
            same = own[self.names[0]].equals(own[self.names[1]])
            yield (
                f"{wall}: {told[0].removeprefix(f'{self.names[0]} ')} on both sides"
                if same
                else f"{wall}: {'; '.join(told)}"
            )

    def _scale_told(self) -> Iterator[str]:
        for axis in dict.fromkeys(self.scale.index.get_level_values("axis")):
            own = self.scale.loc[axis]
            for name in self._telling()[:3] if len(own) > 1 else ():
                ratios = own[name].dropna()
                if len(ratios) < 2:
                    continue
                at = sorted({0, len(ratios) // 2, len(ratios) - 1})
                run = ", ".join(f"{number(ratios.iloc[i])} at {number(ratios.index[i])}" for i in at)
                yield f"along {axis}, {name} {second_over_first(self.names)}: {run}{_crossing(ratios)}"


def second_over_first(names: tuple[str, str]) -> str:
    """How a ratio of two sides is called."""
    return f"{names[1]} over {names[0]}"


def _crossing(ratios: pd.Series) -> str:
    """Where a ratio passes one, that is, where the better side changes."""
    above = ratios.to_numpy() > 1.0
    changes = np.flatnonzero(above[1:] != above[:-1])
    if not changes.size:
        return ""
    at = " and ".join(f"{number(ratios.index[i])} and {number(ratios.index[i + 1])}" for i in changes[:2])
    return f"; the sides change places between {at}"


def compare(a: xr.Dataset | Resolver, b: xr.Dataset | Resolver, names: Sequence[str] | None = None) -> Comparison:
    """What sets two answers apart, in words and numbers.

    Parameters
    ----------
    a, b : Dataset or Resolver
        Two answers of one point or over one grid (``ds.sel(hardware="h100")`` takes one from a grid), or two configurations:
        resolvers whose inputs are bound, which are solved.
    names : (str, str), optional
        What to call them; by default the values of the input that differs.

    Returns
    -------
    Comparison

    Raises
    ------
    ValueError
        Grids that differ, nothing in common.
    TypeError
        What is neither an answer nor a resolver.

    Examples
    --------
    >>> import mlsysim as ms
    >>> node = ms.SingleNodeModel(model="llama3_1_8b", phase="decode")
    >>> found = ms.compare(node(hardware="h100"), node(hardware="a100"))
    >>> found.names, found.table.loc["latency", "better"]
    (('h100', 'a100'), 'h100')
    """
    left, right = (_answer(which, side) for which, side in (("a", a), ("b", b)))
    if set(left.sizes) != set(right.sizes):
        raise ValueError(f"compare: one answer runs along {_told(left.sizes)}, the other along {_told(right.sizes)}")
    for dim in left.sizes:
        same = left.sizes[dim] == right.sizes[dim]
        if not same or (
            dim in left.coords and dim in right.coords and not np.array_equal(left[dim].values, right[dim].values)
        ):
            raise ValueError(f"compare: the two answers have other values along {dim}: take those in common with .sel")
    if not figures(left, right):
        asked = [str(side.attrs.get("resolver", "an answer")) for side in (left, right)]
        raise ValueError(f"compare: {asked[0]} and {asked[1]} have no output in common")
    if names is not None and (isinstance(names, str) or len(names) != 2 or names[0] == names[1]):
        raise ValueError(f"names={shown(names)}: must be two different names")
    return Comparison(left, right.transpose(*left.sizes), (str(names[0]), str(names[1])) if names else None)


def along(ds: xr.Dataset, axis: str) -> Comparison:
    """The two values of one axis of an answer, set side by side."""
    if axis not in ds.sizes:
        raise ValueError(f"over={axis!r} is no axis of this answer{hint(axis, map(str, ds.sizes))}")
    if ds.sizes[axis] != 2:
        raise ValueError(f"over={axis}: has {ds.sizes[axis]:,} values; compare takes two")
    names = tuple(str(v) for v in ds[axis].values)
    return Comparison(ds.isel({axis: 0}), ds.isel({axis: 1}), (names[0], names[1]))


def _answer(which: str, side: Any) -> xr.Dataset:
    if isinstance(side, Resolver):
        side = side.solve()
    if not hasattr(side, "data_vars"):
        raise TypeError(f"compare: {which}={shown(side)}: must be a Dataset or a resolver with its inputs bound")
    return without_counts(side)


def _told(dims: Any) -> str:
    return ", ".join(map(str, dims)) or "no axis"
