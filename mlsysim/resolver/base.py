"""Resolvers: what one can ask of any of them."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

from mlsysim.resolver.function import AsFunction
from mlsysim.resolver.question import Called, Told, nameless, question

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from mlsysim.engine.parameters import Parameter
    from mlsysim.engine.program import Program
    from mlsysim.engine.progress import Progress

SAMPLES = 200  #: draws behind a quantile, unless `sample` says otherwise


class Resolver(AsFunction):
    """Something that answers questions about a configuration, or about millions of them.

    Inputs are scalars, lists or arrays (an axis of their own), DataArrays (their named dims), names or rows of
    the zoo, quantities such as ``"80 GB"``; any field of a record may be overridden by name; ``points=`` takes
    paired configurations (a DataFrame, axis ``config``).

    Ctrl-C ends any question; the KeyboardInterrupt carries as ``partial`` what `best`, `top`, `pareto` or `sweep` would have
    answered from the points done so far (see `mlsysim.search.interrupted`), and None for what answers only at its end.
    """

    name: str
    domain: str
    walls: tuple[int, ...]
    bound: dict[str, Any]
    prose: str | None  #: what it does, in words; `__doc__` adds inputs and outputs
    __signature__ = Called()

    def __init_subclass__(cls) -> None:
        cls.__doc__ = Told(cls.__doc__)  # type: ignore[assignment]

    # --- what subclasses say ---------------------------------------------------------------------------------

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        """Inputs by name; `given` are those that the user bound."""
        raise NotImplementedError

    def record(self, arguments: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
        """Outputs by name, for arguments that are numbers or symbols."""
        raise self.no_stage("this question")

    def recorded_from(self, given: Iterable[str]) -> tuple[Hashable, tuple[Callable[..., Any], ...]] | None:
        """What `record` goes by beside its arguments: a key, and the functions that it runs, which are looked through.

        None, as here, where nobody can say: every call records afresh.  Who overrides `record` overrides this.
        """
        return None

    def no_stage(self, question: str) -> TypeError:
        """What to say where the outputs of a configuration are asked of something that searches or solves for it."""
        return TypeError(
            f"{self.name} has no outputs of one configuration, which {question} needs: ask a model or a "
            f"composition, or hand one to {self.name} as resolver=..."
        )

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        raise NotImplementedError

    # --- binding ---------------------------------------------------------------------------------------------

    def __call__(self, *unnamed: Any, **inputs: Any) -> Resolver:
        """The same resolver with some inputs bound."""
        if unnamed:
            raise nameless(self.name, unnamed[0])
        self._check_names(inputs)
        twin = copy.copy(self)
        twin.bound = {**self.bound, **inputs}
        return twin

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        from mlsysim.engine.bind import Binder

        if inputs:
            binder = Binder(self.parameters(set(inputs) | set(self.bound)), self.name)
            for name in inputs:
                if name != "points":
                    binder.canonical(name)

    def program(self, **inputs: Any) -> Program:
        """The call, bound and recorded (see `mlsysim.engine.program`); a word where it gives what nothing reads."""
        from mlsysim.engine.program import Program

        program = Program(self, {**self.bound, **inputs})
        for why in program.unread.values():
            warnings.warn(why, UserWarning, stacklevel=3)
        return program

    # --- questions -------------------------------------------------------------------------------------------

    @question
    def solve(
        self,
        *,
        keep: Sequence[str] | None = None,
        threads: int | None = None,
        progress: Progress = None,
        plan: str = "auto",
        client: Any = None,
        store: str | PathLike[str] | None = None,
        resume: str | PathLike[str] | None = None,
        **inputs: Any,
    ) -> xr.Dataset:
        """Every output at every point of the grid.

        Parameters
        ----------
        keep : sequence of str, optional
            Outputs to store beside `feasible` and `limit` (default: all that the data allow; ``attrs["omitted"]`` names others).
        threads : int, optional
            Default ``MLSYSIM_THREADS`` or the number of cores.
        progress : bool or callable, optional
            True draws a bar, in a terminal or a notebook; a function is told points done and points in all.
        plan : {"auto", "plain", "nest", "cuda"}
            How to evaluate; the results are the same.  ``"cuda"`` is a GPU (the extra `gpu`).
        client : concurrent.futures.Executor or distributed.Client, optional
            Whose workers evaluate (see `sweep`).
        store : path, optional
            A zarr store to be made and filled slab by slab, each output over the axes on which it varies: the answer need
            not fit in memory.  It is opened, not loaded; `xarray.open_zarr` opens it again.
        resume : path, optional
            A folder that says which slabs of `store` are written; the same call goes on with the others.
        **inputs
            See `schema`; and ``sample=n`` draws what is uncertain n times (dim `sample`, from ``seed=0``), or
            ``quantile=[0.1, 0.5, 0.9]`` gives that share of the samples instead (dim `quantile`).

        Returns
        -------
        xarray.Dataset
            Dims in the order in which the inputs were mentioned; scalars and single values are 0-d coordinates;
            ``units`` and ``long_name`` on everything; `feasible` and `limit` say what works and why not.

        Raises
        ------
        TypeError
            An unknown or missing input.
        ValueError
            A value out of bounds, an unknown label, a wrong unit, a missing datum, a result too large for memory, a store that
            is there already.
        """
        from mlsysim.engine.solve import levels, quantiles, solve
        from mlsysim.search import store as parted
        from mlsysim.search.interrupted import handed

        quantile = inputs.pop("quantile", None)
        if quantile is not None and store is not None:
            raise TypeError(
                "quantile= is of samples in memory: a store holds each of them, sample=n, to take quantiles of"
            )
        at = None if quantile is None else levels(quantile)
        if at is not None and inputs.get("sample") is None:
            inputs["sample"] = SAMPLES
        with handed():
            program = self.program(**inputs)
            if client is None and store is None and resume is None:
                stored = solve(program, keep, threads, progress, plan)
            else:
                stored = parted.solve(program, keep, threads, progress, plan, client, store, resume)
            return stored if at is None else quantiles(stored, at)

    @question
    def sweep(
        self,
        reductions: Sequence[Any],
        *,
        threads: int | None = None,
        block: int | None = None,
        progress: Progress = None,
        plan: str = "auto",
        resume: str | PathLike[str] | None = None,
        client: Any = None,
        **inputs: Any,
    ) -> list[xr.Dataset]:
        """Several reductions (`Best`, `Top`, `Pareto`, `Counts` of `mlsysim.search`) in one pass, storing nothing.

        Parameters
        ----------
        reductions : sequence
        threads, progress, plan
            See `solve`.
        block : int, optional
            Points that a thread evaluates at once.
        resume : path, optional
            A folder of the sweep's own: each part of a second or two, once it is done, is a small file there, and the same call
            (after Ctrl-C, `kill`, a power cut) goes on from these to the same answer.  Another call, other inputs or data and
            another version of mlsysim are refused; delete the folder when the answer is no longer wanted.
        client : concurrent.futures.Executor or distributed.Client, optional
            Whose workers do the parts, in place of the threads of this process: a ProcessPoolExecutor, or a cluster of dask.  The
            answer is the same to the last bit; each worker is one thread, and needs mlsysim of this version.
        """
        from mlsysim.search.interrupted import handed
        from mlsysim.search.reduce import reduce

        with handed():
            return reduce(
                self.program(**inputs),
                reductions,
                threads=threads,
                block=block,
                progress=progress,
                plan=plan,
                resume=resume,
                client=client,
            )

    @question
    def best(
        self,
        objective: str,
        maximize: bool | None = None,
        by: str | Sequence[str] = (),
        where: str | Sequence[str] | None = None,
        ties: Sequence[str] = (),
        *,
        threads: int | None = None,
        block: int | None = None,
        progress: Progress = None,
        plan: str = "auto",
        resume: str | PathLike[str] | None = None,
        client: Any = None,
        **inputs: Any,
    ) -> xr.Dataset:
        """The best feasible configuration, one for each cell of `by`.

        Parameters
        ----------
        objective : str
            An output.
        maximize : bool, optional
            Default: the direction in the schema.
        by : str or sequence of str
            Axes to keep.
        where : str or sequence of str, optional
            Conditions on outputs, inputs, record fields, axes or labels.  Numbers are in base units, quantities bring their
            unit, labels stand in quotes, on either side: ``"itl < 50 ms and hardware != 'mi300x'"``.  At most 1,000 conditions,
            100,000 characters, and 100 operations inside one another.
        ties : sequence of str
            Outputs that decide among equals, before the lowest position along the axes does.
        resume, client
            The folder from which the same call goes on when it was stopped; who does its parts (see `sweep`).

        Returns
        -------
        xarray.Dataset
            All outputs of the winner; its place along the reduced axes as coordinates; `found`.  Where there is none, `found`
            is False, numbers are NaN and `limit` is ``not_found``.  With ``sample=n`` the winner at the nominal values with
            ``<objective>_expected`` (mean of n draws), ``.._without_luck`` (of the search), `feasible_share`, `win_share`.
        """
        from mlsysim.search import Best

        self._no_quantile("best", inputs)
        search = Best(objective, maximize, by=by, where=where, ties=ties)
        run: dict[str, Any] = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        run |= {"resume": resume, "client": client}
        if inputs.get("sample") is not None:
            from mlsysim.resolver.robust import best

            return best(self, search, {**self.bound, **inputs}, run)
        return self._alone(search, **run, **inputs)

    @question
    def top(
        self,
        k: int,
        objective: str,
        maximize: bool | None = None,
        by: str | Sequence[str] = (),
        where: str | Sequence[str] | None = None,
        ties: Sequence[str] = (),
        *,
        threads: int | None = None,
        block: int | None = None,
        progress: Progress = None,
        plan: str = "auto",
        resume: str | PathLike[str] | None = None,
        client: Any = None,
        **inputs: Any,
    ) -> xr.Dataset:
        """The `k` best feasible configurations along a dim `rank`, for each cell of `by` (see `best`)."""
        from mlsysim.search import Top

        self._no_quantile("top", inputs)
        if inputs.get("sample") is not None:
            raise TypeError(
                "top ranks configurations, and sample= would rank draws: best(sample=n) says how often the winner wins"
            )
        run: dict[str, Any] = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        run |= {"resume": resume, "client": client}
        return self._alone(Top(k, objective, maximize, by=by, where=where, ties=ties), **run, **inputs)

    @question
    def pareto(
        self,
        minimize: str | Sequence[str] = (),
        maximize: str | Sequence[str] = (),
        epsilon: float | None = None,
        where: str | Sequence[str] | None = None,
        *,
        threads: int | None = None,
        block: int | None = None,
        progress: Progress = None,
        plan: str = "auto",
        resume: str | PathLike[str] | None = None,
        client: Any = None,
        **inputs: Any,
    ) -> xr.Dataset:
        """The exact Pareto front of the feasible configurations.

        Parameters
        ----------
        minimize, maximize : str or sequence of str
            Objectives.
        epsilon : float, optional
            Thin the front: a point goes when a kept one is no worse than by this relative amount in every objective.
        where, resume, client
            See `best`.

        Returns
        -------
        xarray.Dataset
            Dim `point`, in lexicographic order of the objectives; of equal vectors one (the lowest position along the
            axes in the order of the signature), with their number in `count`.  With ``sample=n`` the front at the nominal
            values and `front_share`, how often each of its points is on the front when what is uncertain is drawn again.
        """
        from mlsysim.search import Pareto

        self._no_quantile("pareto", inputs)
        if epsilon is not None and "epsilon" in self.parameters():
            raise TypeError(
                f"epsilon is an input of {self.name} as well as how far a front is thinned: bind the input first, "
                f"{self.name}(epsilon=...).pareto(...)"
            )
        front = Pareto(minimize, maximize, epsilon, where=where)
        run: dict[str, Any] = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        run |= {"resume": resume, "client": client}
        if inputs.get("sample") is not None:
            from mlsysim.resolver.robust import pareto

            return pareto(self, front, {**self.bound, **inputs}, run)
        return self._alone(front, **run, **inputs)

    @question
    def root(
        self,
        unknown: str,
        target: Mapping[str, Any],
        bounds: tuple[Any, Any] | None = None,
        *,
        progress: Progress = None,
        **inputs: Any,
    ) -> xr.Dataset:
        """The value of one input that meets a target on one output, at every point of the grid.

        Parameters
        ----------
        unknown : str
            A numeric input or record field; a count gives the boundary value.
        target : mapping
            ``{output: value}``, in base units or as text; a list of values is an axis, a DataArray lies along axes of the call.
        bounds : (low, high), optional
            Where to look; default the bounds of the schema.
        progress
            See `solve`.

        Returns
        -------
        xarray.Dataset
            The unknown, `found`, `reached` (the output there) and, where there is no root, the best reachable value.
        """
        from mlsysim.search.interrupted import handed
        from mlsysim.search.root import root

        if type(self).record is Resolver.record:
            raise self.no_stage("root")
        with handed():
            return root(self, unknown, target, bounds, {**self.bound, **inputs}, progress)

    @question
    def explain(self, **inputs: Any) -> str:
        """What a call would do, before it is run: points, bytes, seconds, layout and, for a composition, the wiring."""
        from mlsysim.resolver.explain import explain

        program = self.program(**inputs)
        return explain(self.name, program, self.wires(program.binder.columns))

    def wires(self, given: Iterable[str]) -> list[str] | None:
        """How outputs feed inputs inside this resolver, a line each; None where there is nothing to connect."""
        return None

    def _alone(self, reduction: Any, **asked: Any) -> xr.Dataset:
        """One reduction over a pass of its own."""
        from mlsysim.search.interrupted import first, handed

        with handed(first):
            return self.sweep([reduction], **asked)[0]

    def _no_quantile(self, question: str, inputs: Mapping[str, Any]) -> None:
        if inputs.get("quantile") is not None and "quantile" not in self.parameters():
            raise TypeError(
                f"quantile= is for solve; {question}(sample=n) says how often its answer stays the same"
                if question != "top"
                else "quantile= is for solve"
            )

    # --- schema ----------------------------------------------------------------------------------------------

    @property
    def schema(self) -> pd.DataFrame:
        """Inputs and outputs with unit, default, bounds and meaning."""
        from mlsysim.resolver.explain import schema

        return schema(self.parameters(), self.outputs)

    def __repr__(self) -> str:
        bound = f" with {', '.join(self.bound)} bound" if self.bound else ""
        return f"<{self.name}{bound}: {', '.join(self.parameters())} -> {', '.join(self.outputs)}>"

    def _repr_html_(self) -> str:
        return f"<b>{self.name}</b>{self.schema.to_html()}"
