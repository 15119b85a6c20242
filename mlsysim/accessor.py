"""``ds.mlsysim``: what one asks of an answer that one has, on any Dataset that a resolver gave."""

from __future__ import annotations

from os import PathLike
from typing import TYPE_CHECKING, Any

import xarray as xr

from mlsysim.stored import files, launch, point, reductions, shown
from mlsysim.stored.assumed import assumed

if TYPE_CHECKING:
    import pandas as pd


@xr.register_dataset_accessor("mlsysim")
class Answer:
    """Questions to a stored answer; each is a function of `mlsysim.stored`."""

    def __init__(self, ds: xr.Dataset):
        self._ds = ds

    def feasible(self) -> xr.Dataset:
        """The answer where it works: numbers of other points are NaN, so that `min`, `mean` and plots pass them over.

        Options, flags and `limit` stay as they are.  Prints at once, whatever its size.
        """
        return shown.feasible(self._ds)

    def labels(self) -> xr.Dataset:
        """The answer with options as text: ``limit == "memory"`` in place of 3."""
        return shown.text_of(self._ds)

    def to_dataframe(self) -> pd.DataFrame:
        """A row a point, options as text, every coordinate a column; ``frame.attrs["units"]`` has the units."""
        return files.to_dataframe(self._ds)

    def best(self, objective: str, maximize: bool | None = None, by: Any = (), where: Any = None) -> xr.Dataset:
        """As `Resolver.best` would have answered; `where` is a DataArray of truth values: ``where=ds.itl < 0.05``."""
        return reductions.best(self._ds, objective, maximize, by, where)

    def top(self, k: int, objective: str, maximize: bool | None = None, by: Any = (), where: Any = None) -> xr.Dataset:
        """As `Resolver.top` would have answered; `where` as in `best`."""
        return reductions.top(self._ds, k, objective, maximize, by, where)

    def pareto(
        self, minimize: Any = (), maximize: Any = (), epsilon: float | None = None, where: Any = None
    ) -> xr.Dataset:
        """As `Resolver.pareto` would have answered; `where` as in `best`."""
        return reductions.pareto(self._ds, minimize, maximize, epsilon, where)

    def limits(self, by: Any = ()) -> xr.DataArray:
        """How many configurations work (``none``), and how many each limit stops, along dim `limit`."""
        return reductions.limits(self._ds, by)

    def config(self, i: int | None = None, **labels: Any) -> dict[str, Any]:
        """The inputs of one point to paste: ``resolver.solve(**ds.mlsysim.config(3))`` (see `stored.point.config`)."""
        return point.config(self._ds, i, **labels)

    def launch(self, engine: str, i: int | None = None, checkpoint: str | None = None, **labels: Any) -> launch.Launch:
        """Words that start vllm, sglang, trtllm, megatron or torchtitan with one configuration (see `stored.launch`).

        >>> import mlsysim as ms
        >>> ds = ms.ServingModel.solve(model="llama3_1_8b", hardware="h100", tp=[1, 2], seq_len=512, output_len=64)
        >>> print(ds.mlsysim.launch("sglang", tp=2, checkpoint="meta-llama/Llama-3.1-8B"))  # doctest: +ELLIPSIS
        python -m sglang.launch_server --model-path meta-llama/Llama-3.1-8B ... --tp-size 2 ...
        """
        plain = {n: v for n, v in assumed(self._ds).items() if not isinstance(v, xr.DataArray)}
        return launch.launch({**plain, **point.config(self._ds, i, **labels)}, engine, checkpoint)

    @property
    def assumed(self) -> dict[str, Any]:
        """What the call did not say, to give back: ``resolver.solve(**call, **ds.mlsysim.assumed)`` is the same answer."""
        return assumed(self._ds)

    def rests_on(self, output: str, i: int | None = None, above: float = 0.01, **labels: Any) -> pd.DataFrame:
        """Assumptions whose elasticity on an output of one configuration exceeds 1 %, the strongest first."""
        from mlsysim.stored.rests import rests_on

        return rests_on(self._ds, output, i, above, **labels)

    def save(self, path: str | PathLike[str]) -> str:
        """Write to ``.nc``, ``.zarr`` (`ms.load` reads them) or ``.csv``."""
        return files.save(self._ds, path)
