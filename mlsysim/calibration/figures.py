"""What a calibration gives: fitted figures, usable wherever assumptions or a device are, and a file of them."""

from __future__ import annotations

import json
import math
import os
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from mlsysim import zoo
from mlsysim.calibration.validate import Validation, statistics
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator
from mlsysim.version import __version__
from mlsysim.zoo.row import Row

#: columns of the table of fitted figures
RESIDUALS = ["row", "target", "error"]
#: by how much a median error must grow to be told: what is shown has one digit behind the point of a per cent
GROWN = 5e-4
COLUMNS = ["name", "group", "value", "default", "low", "high", "spread", "identified", "why", "unit"]


class Calibration:
    """Figures fitted to measured runs (see `calibrate`).

    Attributes
    ----------
    table : pandas.DataFrame
        One line a figure (and group): `value`, `default`, `low` and `high` (2.5 to 97.5 %; NaN where the runs do not identify
        it), `spread` (relative standard error), `identified`, `why` it is not, `unit`.
    fitted : Validation
        Predictions with the fitted figures.
    before : Validation
        Predictions with the defaults.
    held_out : Validation or None
        Predictions of runs that the figures were not fitted to.
    data, digest, version : str
        Name of the runs, SHA-256 of their table as it was read, and the version of mlsysim that fitted: what the file of a
        fit says of where it comes from ("" in files that do not say it).
    residuals : pandas.DataFrame
        `row`, `target` and `error` (predicted over measured, less 1) with the fitted figures; a file keeps them.
    """

    def __init__(
        self,
        table: pd.DataFrame,
        kind: str,
        by: str | None,
        about: str,
        fitted: Validation | None = None,
        before: Validation | None = None,
        held_out: Validation | None = None,
        assume: Assumptions | None = None,
        data: str = "",
        digest: str = "",
        version: str = __version__,
        residuals: pd.DataFrame | None = None,
    ):
        self.table, self.kind, self.by, self.about = table, kind, by, about
        self.fitted, self.before, self.held_out = fitted, before, held_out
        self._assume = assume or Assumptions()
        self.data, self.digest, self.version = data, digest, version
        if residuals is None:
            residuals = pd.DataFrame(columns=RESIDUALS) if fitted is None else fitted.rows[RESIDUALS]
        self.residuals = residuals.reset_index(drop=True)

    @property
    def worse(self) -> dict[str, tuple[float, float]]:
        """Targets whose median error grew: target -> error with the defaults, and with the fitted figures."""
        if self.before is None or self.fitted is None:
            return {}
        found = {}
        for target in dict.fromkeys(self.fitted.rows.target):
            old, new = (statistics(v.rows[v.rows.target == target])["median_ape"] for v in (self.before, self.fitted))
            if new > old + GROWN:
                found[str(target)] = (old, new)
        return found

    @property
    def assumptions(self) -> Assumptions:
        """The assumptions with the fitted ones in place, each with unit, meaning, source and spread."""
        if self.by is not None and len(set(self.table.group)) > 1:
            groups = ", ".join(sorted(set(self.table.group)))
            raise ValueError(f"fitted by {self.by}: ask assumptions_of(...) for one of {groups}")
        return self.assumptions_of("" if self.by is None else str(self.table.group.iloc[0]))

    def assumptions_of(self, group: str) -> Assumptions:
        """The assumptions of one group of a fit by group."""
        lines = self._lines(group)
        found = {}
        for line in lines.itertuples():
            if line.name in Assumptions._fields:
                known = Assumptions._field_defaults[line.name]
                found[line.name] = known.moved(line.value, self.about, float(line.spread))
        return self._assume._replace(**found)

    def hardware(self, base: str | Row, name: str | None = None) -> Row:
        """A row of one's own with the fitted figures of that device, usable wherever a name is.

        Parameters
        ----------
        base : str or Row
            The device that was measured.
        name : str, optional
            What the row is called; it is registered under it.
        """
        row = zoo.hardware(base)
        lines = self._lines(row.key)
        fields = {line.name: line.value for line in lines.itertuples() if line.name in Accelerator._fields}
        own = {line.name: line for line in lines.itertuples() if line.name in Assumptions._fields}
        made = zoo.Hardware(row, name=name or f"{row.key} calibrated", **fields)
        assumed = self.assumptions_of(str(lines.group.iloc[0]))
        made.assumed = {n: getattr(assumed, n) for n in own}
        return zoo.register(made) if name else made

    def _lines(self, group: str) -> pd.DataFrame:
        if self.by is None:
            return self.table[self.table.group == ""]
        every = {str(g) for g in self.table.group}
        if group not in every:
            for g in every:
                try:
                    if self.by == "hardware" and zoo.hardware(g).key == group:
                        return self.table[self.table.group == g]
                except ValueError:
                    continue
            raise ValueError(f"{group!r} was not measured; fitted: {', '.join(sorted(every))}")
        return self.table[self.table.group == group]

    def to_toml(self, path: str | os.PathLike[str]) -> Path:
        """Write the figures to a file that `from_toml` reads, with the residuals and where they come from."""
        lines = [
            "# figures fitted to measured runs; read by Calibration.from_toml",
            "[calibration]",
            f"kind = {_quoted(self.kind)}",
            f"about = {_quoted(self.about)}",
        ]
        if self.by is not None:
            lines.append(f"by = {_quoted(self.by)}")
        for name in ("data", "digest", "version"):
            if getattr(self, name):
                lines.append(f"{name} = {_quoted(getattr(self, name))}")
        for row in self.table.to_dict("records"):
            lines += ["", "[[figure]]"]
            for key, value in row.items():
                if isinstance(value, (bool, np.bool_)):
                    lines.append(f"{key} = {str(bool(value)).lower()}")
                elif isinstance(value, str):
                    lines.append(f"{key} = {_quoted(value)}")
                else:
                    lines.append(f"{key} = {_toml_number(float(value))}")
        if len(self.residuals):
            lines += ["", "[residuals]", f"columns = [{', '.join(map(_quoted, RESIDUALS))}]", "rows = ["]
            for row_, name, error in self.residuals[RESIDUALS].itertuples(index=False):
                lines.append(f"  [{int(row_)}, {_quoted(str(name))}, {_toml_number(float(error))}],")
            lines.append("]")
        target = Path(path)
        target.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return target

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read what `to_toml` wrote."""
        try:
            with open(path, "rb") as handle:
                text = tomllib.load(handle)
            head, figures = text["calibration"], text["figure"]
            table = pd.DataFrame(figures)
            rest = text.get("residuals", {"rows": []})["rows"]
            return cls(
                table[COLUMNS],
                head["kind"],
                head.get("by"),
                head["about"],
                data=str(head.get("data", "")),
                digest=str(head.get("digest", "")),
                version=str(head.get("version", "")),
                residuals=pd.DataFrame(rest, columns=RESIDUALS),
            )
        except FileNotFoundError:
            raise ValueError(f"{path}: there is no such file") from None
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
        except (ValueError, KeyError, TypeError, AttributeError) as error:  # no text, no TOML, another file's tables
            raise ValueError(f"{Path(path).name}: no figures of a calibration ({error})") from None

    def plot(self, ax: Any = None, held_out: bool = False) -> Any:
        """Predicted against measured, one mark a figure (needs matplotlib)."""
        from mlsysim.plot import parity

        shown = self.held_out if held_out else self.fitted
        if shown is None:
            raise ValueError("nothing to draw: figures read from a file come without runs")
        return parity(shown, ax)

    def told_worse(self) -> list[str]:
        """What the fit made worse, a line a target."""
        return [
            f"{target}: median error {100 * old:.1f} % before, {100 * new:.1f} % with the fitted figures"
            for target, (old, new) in self.worse.items()
        ]

    def __repr__(self) -> str:
        lines = [f"<calibration of {self.kind}: {len(self.table)} figures>"]
        for row in self.table.itertuples():
            where = f" [{row.group}]" if row.group else ""
            spread = f"{row.low:.4g} to {row.high:.4g}" if row.identified else f"not identified: {row.why}"
            lines.append(f"  {row.name}{where} = {row.value:.4g} ({spread}; default {row.default:.4g})")
        for name, result in (("before", self.before), ("fitted", self.fitted), ("held out", self.held_out)):
            if result is not None:
                lines.append(f"  {name}: {result!r}")
        lines += [f"  WORSE: {line}" for line in self.told_worse()]
        return "\n".join(lines)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _toml_number(value: float) -> str:
    return "nan" if math.isnan(value) else ("inf" if value > 0 else "-inf") if math.isinf(value) else repr(value)
