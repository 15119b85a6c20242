"""What a resolver is: a kernel with a name, a domain and its walls, and what one can ask of it.

`Model` evaluates (Y = f(X)), `compose` chains resolvers into one fused kernel; the solvers and optimizers
of tiers 2 and 3 ask the same questions of any of them.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mlsysim.schema import records
from mlsysim.schema.variables import ALIASES, VARIABLES

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from mlsysim.engine.bind import Parameter
    from mlsysim.engine.program import Program

SAMPLES = 200  #: draws behind a quantile, unless `sample` says otherwise
RECORDS = (records.Workload, records.Accelerator, records.Format, records.Fleet, records.Site, records.Assumptions)


def _number(value):
    """A number as an IEEE double (division by zero gives inf, as in the compiled loops)."""
    if value is None or hasattr(value, "__array_ufunc__"):
        return value
    if isinstance(value, tuple):
        return type(value)(*map(_number, value))
    return np.float64(value)


class Kernel:
    """The physics of one resolver: records and numbers in, a NamedTuple of outputs out.

    Called with numbers it is plain Python (real tracebacks); called with arrays it broadcasts; called
    by the engine with symbols it is recorded once and compiled by numba for a sweep.
    """

    def __init__(self, function: Callable):
        functools.update_wrapper(self, function)
        self.function = function
        self.signature = inspect.signature(function, eval_str=True)

    def __call__(self, *args, **kwargs):
        with np.errstate(all="ignore"):
            return self.function(*map(_number, args), **{k: _number(v) for k, v in kwargs.items()})

    @functools.cached_property
    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, records told from plain inputs."""
        from mlsysim.engine.bind import REQUIRED, Parameter

        found = {}
        for name, p in self.signature.parameters.items():
            record = p.annotation if p.annotation in RECORDS else _optional(p.annotation)
            found[name] = Parameter(name, record, REQUIRED if p.default is p.empty else p.default)
        return found

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        return self.signature.return_annotation._fields


def _optional(annotation) -> type | None:
    """The record of an annotation ``Workload | None``."""
    for record in RECORDS:
        if record in getattr(annotation, "__args__", ()):
            return record
    return None


def kernel(function: Callable) -> Kernel:
    """Mark the physics of a resolver (see `Kernel`).

    A kernel of one's own gets everything that the built-in ones have:

    >>> from typing import NamedTuple
    >>> class Roof(NamedTuple):
    ...     step_time: float
    >>> @kernel
    ... def roof(tokens, duration) -> Roof:
    ...     return Roof(duration / tokens)
    >>> float(Model("Roof", roof, domain="node").solve(tokens=[1, 2, 4], duration="1 s").step_time.sum())
    1.75
    """
    return Kernel(function)


class Resolver:
    """Something that answers questions about a configuration, or about millions of them.

    Inputs are scalars, lists or arrays (an axis of their own), DataArrays (their named dims), names or rows of
    the zoo, quantities such as ``"80 GB"``; any field of a record may be overridden by name; ``points=`` takes
    paired configurations (a DataFrame, axis ``config``).
    """

    name: str
    domain: str
    walls: tuple[int, ...]
    bound: dict[str, Any]

    # --- what subclasses say ---------------------------------------------------------------------------------

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        """Inputs by name; `given` are those that the user bound."""
        raise NotImplementedError

    def record(self, arguments: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
        """Outputs by name, for arguments that are numbers or symbols."""
        raise NotImplementedError

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of the outputs."""
        raise NotImplementedError

    # --- binding ---------------------------------------------------------------------------------------------

    def __call__(self, **inputs: Any) -> Resolver:
        """The same resolver with some inputs bound."""
        import copy

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
        """The call, bound and recorded (see `mlsysim.engine.program`)."""
        from mlsysim.engine.program import Program

        return Program(self, {**self.bound, **inputs})

    # --- questions -------------------------------------------------------------------------------------------

    def solve(self, *, keep: Sequence[str] | None = None, threads: int | None = None,
              progress: Callable[[int, int], None] | None = None, plan: str = "auto", **inputs: Any) -> xr.Dataset:
        """Every output at every point of the grid.

        Parameters
        ----------
        keep : sequence of str, optional
            Outputs to store (default: all that the data allow; ``attrs["omitted"]`` names the others).
        threads : int, optional
            Default ``MLSYSIM_THREADS`` or the number of cores.
        progress : callable, optional
            Called with points done and points in all.
        plan : {"auto", "plain", "nest"}
            How to evaluate; the results are the same.
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
            A value out of bounds, an unknown label, a wrong unit, a missing datum, a result too large for memory.
        """
        from mlsysim.engine.solve import quantiles, solve

        quantile = inputs.pop("quantile", None)
        if quantile is None:
            return solve(self.program(**inputs), keep, threads, progress, plan)
        inputs.setdefault("sample", SAMPLES)
        levels = [quantile] if isinstance(quantile, (int, float)) else list(quantile)
        return quantiles(solve(self.program(**inputs), keep, threads, progress, plan), levels)

    def sweep(self, reductions: Sequence[Any], *, threads: int | None = None, block: int | None = None,
              progress: Callable[[int, int], None] | None = None, plan: str = "auto", **inputs: Any) -> list[xr.Dataset]:
        """Several reductions (`Best`, `Top`, `Pareto`, `Counts` of `mlsysim.search`) in one pass, storing nothing."""
        from mlsysim.search.reduce import reduce

        return reduce(self.program(**inputs), reductions, threads=threads, block=block, progress=progress, plan=plan)

    def best(self, objective: str, maximize: bool | None = None, by: str | Sequence[str] = (),
             where: str | Sequence[str] | None = None, ties: Sequence[str] = (), *, threads: int | None = None,
             block: int | None = None, progress: Callable[[int, int], None] | None = None, plan: str = "auto",
             **inputs: Any) -> xr.Dataset:
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
            Conditions on outputs, inputs or labels, in base units: ``"itl < 0.05 and hardware != 'mi300x'"``.
        ties : sequence of str
            Outputs that decide among equals, before the lowest position along the axes does.

        Returns
        -------
        xarray.Dataset
            All outputs of the winner; its place along the reduced axes as coordinates; `found`.
        """
        from mlsysim.search import Best

        if inputs.get("sample") is not None:
            from mlsysim.search.robust import best

            return best(self, Best(objective, maximize, by=by, where=where, ties=ties), {**self.bound, **inputs}, threads, plan)
        return self.sweep([Best(objective, maximize, by=by, where=where, ties=ties)], threads=threads, block=block,
                          progress=progress, plan=plan, **inputs)[0]

    def top(self, k: int, objective: str, maximize: bool | None = None, by: str | Sequence[str] = (),
            where: str | Sequence[str] | None = None, ties: Sequence[str] = (), *, threads: int | None = None,
            block: int | None = None, progress: Callable[[int, int], None] | None = None, plan: str = "auto",
            **inputs: Any) -> xr.Dataset:
        """The `k` best feasible configurations along a dim `rank`, for each cell of `by` (see `best`)."""
        from mlsysim.search import Top

        return self.sweep([Top(k, objective, maximize, by=by, where=where, ties=ties)], threads=threads, block=block,
                          progress=progress, plan=plan, **inputs)[0]

    def pareto(self, minimize: str | Sequence[str] = (), maximize: str | Sequence[str] = (), epsilon: float | None = None,
               where: str | Sequence[str] | None = None, *, threads: int | None = None, block: int | None = None,
               progress: Callable[[int, int], None] | None = None, plan: str = "auto", **inputs: Any) -> xr.Dataset:
        """The exact Pareto front of the feasible configurations.

        Parameters
        ----------
        minimize, maximize : str or sequence of str
            Objectives.
        epsilon : float, optional
            Thin the front: a point goes when a kept one is no worse than by this relative amount in every objective.
        where : str or sequence of str, optional
            See `best`.

        Returns
        -------
        xarray.Dataset
            Dim `point`, in lexicographic order of the objectives; of equal vectors one (the lowest position along the
            axes in the order of the signature), with their number in `count`.
        """
        from mlsysim.search import Pareto

        if epsilon is not None and "epsilon" in self.parameters():
            raise TypeError(f"epsilon is an input of {self.name} as well as how far a front is thinned: bind the input first, "
                            f"{self.name}(epsilon=...).pareto(...)")
        return self.sweep([Pareto(minimize, maximize, epsilon, where=where)], threads=threads, block=block,
                          progress=progress, plan=plan, **inputs)[0]

    def root(self, unknown: str, target: Mapping[str, Any], bounds: tuple[Any, Any] | None = None, **inputs: Any) -> xr.Dataset:
        """The value of one input that meets a target on one output, at every point of the grid.

        Parameters
        ----------
        unknown : str
            A numeric input or record field; a count gives the boundary value.
        target : mapping
            ``{output: value}``, in base units or as text; a list of values is an axis, a DataArray lies along axes of the call.
        bounds : (low, high), optional
            Where to look; default the bounds of the schema.

        Returns
        -------
        xarray.Dataset
            The unknown, `found`, `reached` (the output there) and, where there is no root, the best reachable value.
        """
        from mlsysim.search.root import root

        return root(self, unknown, target, bounds, {**self.bound, **inputs})

    def explain(self, **inputs: Any) -> str:
        """What a call would do, before it is run: points, bytes, seconds, layout and, for a composition, the wiring."""
        from mlsysim.engine.explain import explain

        return explain(self, self.program(**inputs))

    # --- schema ----------------------------------------------------------------------------------------------

    @property
    def schema(self) -> pd.DataFrame:
        """Inputs and outputs with unit, default, bounds and meaning."""
        from mlsysim.engine.explain import schema

        return schema(self)

    def __repr__(self) -> str:
        bound = f" with {', '.join(self.bound)} bound" if self.bound else ""
        return f"<{self.name}{bound}: {', '.join(self.parameters())} -> {', '.join(self.outputs)}>"

    def _repr_html_(self) -> str:
        return f"<b>{self.name}</b>{self.schema.to_html()}"


class Model(Resolver):
    """Tier 1, the physics: Y = f(X).

    Parameters
    ----------
    name : str
        Public name.
    kernel : Kernel
        The physics.
    domain : str
        node, data, algorithm, fleet, operations or analysis.
    walls : tuple of int
        The constraints it evaluates (see `walls`).
    """

    def __init__(self, name: str, kernel: Kernel, domain: str, walls: tuple[int, ...] = ()):
        self.name, self.kernel, self.domain, self.walls = name, kernel, domain, walls
        self.bound = {}
        self.__doc__ = kernel.__doc__
        for variable in [*(n for n, p in kernel.parameters.items() if p.record is None), *kernel.outputs]:
            if variable not in VARIABLES:
                raise ValueError(f"{name}: declare {variable} first, with unit and meaning: "
                                 f"mlsysim.schema.variables.real({variable!r}, \"s\", \"...\")")

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        return self.kernel.parameters

    def record(self, arguments: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
        return self.kernel.function(**arguments)._asdict()

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.kernel.outputs


class Wire(NamedTuple):
    """One connection of a composition."""

    stage: str
    input: str
    source: str
    output: str


class Composition(Resolver):
    """Several resolvers as one fused kernel: outputs feed later inputs of their name or of a synonym."""

    def __init__(self, stages: Sequence[Resolver], wire: Mapping[str, str] | None = None, name: str = ""):
        self.stages = tuple(stages)
        if not self.stages:
            raise ValueError("compose needs at least one resolver")
        for stage in self.stages:
            if not isinstance(stage, Resolver):
                raise TypeError(f"compose: {stage!r} is no resolver")
        names = [s.name for s in self.stages]
        for stage_name in names:
            if names.count(stage_name) > 1:
                raise ValueError(f"compose: {stage_name} occurs twice")
        inputs = {n for s in self.stages[1:] for p in s.parameters(s.bound) for n in (p, f"{s.name}.{p}")}
        for key in wire or {}:
            if key not in inputs:
                from mlsysim.engine.bind import nearest

                raise ValueError(f"wire: no stage after the first has an input {key!r}{nearest(key, inputs)}")
        self.wire = dict(wire or {})
        self.name = name or " + ".join(s.name for s in self.stages)
        self.domain = self.stages[-1].domain
        self.walls = tuple(w for s in self.stages for w in s.walls)
        self.bound = {}
        for stage in self.stages:
            self.bound.update(stage.bound)

    def wiring(self, given: Iterable[str] = ()) -> list[Wire]:
        """Which output feeds which input; what the user gave is never wired."""
        given = {ALIASES.get(n, (n, 1.0))[0] for n in {*given, *self.bound}}
        wires: list[Wire] = []
        known: dict[str, str] = {}
        for position, stage in enumerate(self.stages):
            for name, p in stage.parameters(given).items():
                if p.record is not None or name in given or position == 0:
                    continue
                wish = self.wire.get(f"{stage.name}.{name}") or self.wire.get(name)
                accepted = (wish,) if wish else (name, *VARIABLES[name].takes)
                for output in accepted:
                    if output in known:
                        wires.append(Wire(stage.name, name, known[output], output))
                        break
                else:
                    if wish:
                        raise ValueError(f"wire: no stage before {stage.name} gives {wish!r}; known: {', '.join(sorted(known))}")
            known.update(dict.fromkeys(stage.outputs, stage.name))
        return wires

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        from mlsysim.engine.bind import REQUIRED

        given = set(given) | set(self.bound)
        wired = {(w.stage, w.input) for w in self.wiring(given)}
        found: dict[str, Parameter] = {}
        for stage in self.stages:
            for name, p in stage.parameters(given).items():
                if (stage.name, name) in wired:
                    continue
                if name not in found or (found[name].default is None and p.default is REQUIRED):
                    found[name] = p
        return found

    def record(self, arguments: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
        given = set(given) | set(self.bound)
        wires = {(w.stage, w.input): w for w in self.wiring(given)}
        results: dict[str, dict[str, Any]] = {}
        merged: dict[str, Any] = {}
        feasible: Any = True
        limits: list[Any] = []
        for stage in self.stages:
            own: dict[str, Any] = {}
            for name, p in stage.parameters(given).items():
                w = wires.get((stage.name, name))
                own[name] = arguments[name] if w is None else results[w.source][w.output]
                if own[name] is None and w is not None and p.default is not None:
                    raise TypeError(f"{stage.name} needs {name}: {w.source} gives {w.output} only when an optional input is "
                                    f"given; give {name}=... or that input (tokens=... for training)")
            outputs = stage.record(own, given)
            for name, value in outputs.items():
                if name in ("feasible", "limit"):
                    continue
                if name in merged and merged[name] is not value:
                    merged[f"{stage.name}.{name}"] = value
                else:
                    merged[name] = value
            if outputs.get("feasible") is not None:
                feasible = feasible & outputs["feasible"]
            if outputs.get("limit") is not None:
                limits.append(outputs["limit"])
            results[stage.name] = outputs
        limit: Any = 0.0
        for value in reversed(limits):
            limit = np.where(value == 0, limit, value)
        return {**merged, "feasible": feasible, "limit": limit}

    @property
    def outputs(self) -> tuple[str, ...]:
        found: dict[str, None] = {}
        for stage in self.stages:
            for name in stage.outputs:
                if name in found and name not in ("feasible", "limit"):
                    found[f"{stage.name}.{name}"] = None
                found[name] = None
        return tuple(found)


def compose(*stages: Resolver, wire: Mapping[str, str] | None = None, name: str = "") -> Composition:
    """Chain resolvers into one kernel: an input takes the latest earlier output of its name or of a synonym.

    Parameters
    ----------
    *stages : Resolver
    wire : mapping, optional
        ``{"duration": "step_time"}`` or ``{"EconomicsModel.duration": "training_time"}`` overrides.
    name : str, optional

    Notes
    -----
    An input that the user binds is never wired.  `feasible` is the conjunction, `limit` the first failing
    stage's; any other output of a name already taken is prefixed by its stage.  ``explain()`` prints the wiring.
    """
    return Composition(stages, wire, name)


class Solver(Resolver):
    """Tier 2, X = f^-1(Y): a question about any resolver, answered at every point of its grid.

    Parameters
    ----------
    name : str
        Public name.
    answer : callable
        ``answer(resolver, **inputs)``; its keyword-only parameters are the solver's own.
    model : Resolver
        What is asked when no resolver is named.
    outputs : tuple of str
        Variables of the answer.
    """

    def __init__(self, name: str, answer: Callable[..., xr.Dataset], model: Resolver, outputs: tuple[str, ...],
                 domain: str = "analysis", walls: tuple[int, ...] = ()):
        self.name, self.answer, self.model, self.domain, self.walls = name, answer, model, domain, walls
        self._outputs = outputs
        self.bound = {}
        self.__doc__ = answer.__doc__

    @property
    def options(self) -> dict[str, Any]:
        """The solver's own parameters and their defaults."""
        kinds = inspect.signature(self.answer).parameters.values()
        return {p.name: p.default for p in kinds if p.kind is p.KEYWORD_ONLY}

    def solve(self, resolver: Resolver | None = None, **inputs: Any) -> xr.Dataset:
        """The answer for `resolver` (default: the solver's own model) at a point or over a grid of its inputs."""
        inputs = {**self.bound, **inputs}
        bound = inputs.pop("resolver", None)
        return self.answer(resolver or bound or self.model, **inputs)

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        from mlsysim.engine.bind import Parameter

        asked = self.bound.get("resolver", self.model)
        own = {n: Parameter(n, None, default) for n, default in self.options.items()}
        targets = {n: Parameter(n, None, None) for n in given if n.startswith("target_")}
        return {**asked.parameters(given), **own, **targets}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        _check_asked(self, inputs)

    def program(self, **inputs: Any) -> Program:
        raise TypeError(f"{self.name} answers solve; best, top, pareto, sweep and explain are for models and optimizers")

    @property
    def schema(self) -> pd.DataFrame:
        import pandas as pd

        from mlsysim.engine.explain import schema
        own = [{"name": n, "role": "option", "unit": "", "default": str(default), "allowed": "", "meaning": ""} for n, default in self.options.items()]
        asked = schema(self.bound.get("resolver", self.model))
        outputs = pd.DataFrame([{"name": n, "role": "output", "unit": VARIABLES[n].unit, "default": "", "allowed": "",
                                 "meaning": VARIABLES[n].meaning} for n in self.outputs])
        return pd.concat([pd.DataFrame(own).set_index("name"), asked[asked["role"] != "output"], outputs.set_index("name")])


class Space(NamedTuple):
    """What an optimizer searches."""

    resolver: Resolver
    inputs: dict[str, Any]  #: with the axes of the design space
    searched: tuple[str, ...]  #: those axes; every other one is a question of its own
    where: tuple[str, ...] = ()
    ties: tuple[str, ...] = ()
    story: dict[str, Any] | None = None  #: attributes of every answer


class Optimizer(Resolver):
    """Tier 3, max f(X): the best configuration of a design space, for every point of the other inputs.

    Parameters
    ----------
    name : str
        Public name.
    model : Resolver
        What evaluates a configuration; ``resolver=`` in a call takes another.
    arrange : callable
        ``arrange(resolver, inputs)`` gives the `Space`.
    objective : str or callable
        What is best, unless a call says otherwise; a callable is told the inputs.
    own : mapping
        Inputs that are the optimizer's own, with their defaults.
    split : tuple of str
        Inputs whose values are searched one after another, because each has its own design space.
    front : (minimize, maximize)
        Objectives of `pareto`, unless a call says otherwise.
    finish : callable, optional
        ``finish(resolver, inputs, answer)`` adds to what `solve` answers.
    """

    def __init__(self, name: str, model: Resolver, arrange: Callable[[Resolver, dict[str, Any]], Space],
                 objective: str | Callable[[Mapping[str, Any]], str],
                 own: Mapping[str, Any] | None = None, split: tuple[str, ...] = (),
                 front: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
                 finish: Callable[[Resolver, dict[str, Any], xr.Dataset], xr.Dataset] | None = None, domain: str = "analysis",
                 walls: tuple[int, ...] = ()):
        self.name, self.model, self.arrange, self.objective, self.finish = name, model, arrange, objective, finish
        self.own, self.split, self.front, self.domain, self.walls = dict(own or {}), split, front, domain, walls
        self.bound = {}
        self.__doc__ = arrange.__doc__

    def _given(self, inputs: Mapping[str, Any]) -> tuple[Resolver, dict[str, Any]]:
        """What is asked, and all inputs by canonical name."""
        inputs = {ALIASES[n][0] if n in ALIASES and ALIASES[n][1] == 1.0 else n: v for n, v in {**self.bound, **inputs}.items()}
        resolver = inputs.pop("resolver", None) or self.model
        return resolver, {**resolver.bound, **inputs}

    def space(self, **inputs: Any) -> Space:
        """The design space of a call."""
        return self.arrange(*self._given(inputs))

    def program(self, **inputs: Any) -> Program:
        from mlsysim.engine.program import Program

        space = self.space(**inputs)
        return Program(space.resolver, space.inputs)

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        from mlsysim.engine.bind import Parameter

        asked = self.bound.get("resolver", self.model)
        own = {n: Parameter(n, None, default) for n, default in self.own.items()}
        if any(n.startswith("target_") for n in own):  # on any output
            own |= {n: Parameter(n, None, None) for n in given if n.startswith("target_")}
        return {**asked.parameters(given), **own}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.bound.get("resolver", self.model).outputs

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        _check_asked(self, inputs)

    # --- questions -------------------------------------------------------------------------------------------

    def usual(self, inputs: Mapping[str, Any]) -> str:
        """What is best, unless a call says otherwise."""
        return self.objective if isinstance(self.objective, str) else self.objective({**self.bound, **inputs})

    def _ask(self, questions: Callable[[tuple[str, ...]], list[Any]], apart: Sequence[str], run: Mapping[str, Any],
             inputs: Mapping[str, Any]) -> list[xr.Dataset]:
        """Answers to the reductions that `questions` makes of the axes outside the design space."""
        from mlsysim.engine.program import Program
        from mlsysim.search import split
        from mlsysim.search.reduce import reduce

        for name in apart:
            values: Any = {**self.bound, **inputs}.get(name)
            if split.several(values):
                parts = [self._ask(questions, apart, run, {**inputs, name: value}) for value in values]
                return [split.joined([part[i] for part in parts], name, values) for i in range(len(parts[0]))]
        space = self.space(**inputs)
        program = Program(space.resolver, space.inputs)
        asked = questions(tuple(a for a in program.axes if a not in space.searched))
        asked = [split.also(split.without(r, apart), space.where, space.ties) for r in asked]
        return [ds.drop_vars("config", errors="ignore").assign_attrs(resolver=self.name, **(space.story or {}))
                for ds in reduce(program, asked, **run)]

    def sweep(self, reductions: Sequence[Any], *, threads: int | None = None, block: int | None = None,
              progress: Callable[[int, int], None] | None = None, plan: str = "auto", **inputs: Any) -> list[xr.Dataset]:
        """Several reductions in one pass over the design space (see `Resolver.sweep`)."""
        run = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        apart = [name for name in self.split if all(name in r.by for r in reductions)]
        return self._ask(lambda _: list(reductions), apart, run, inputs)

    def solve(self, objective: str | None = None, maximize: bool | None = None, by: str | Sequence[str] | None = None,
              where: str | Sequence[str] | None = None, ties: Sequence[str] = (), *, keep: Sequence[str] | None = None,
              threads: int | None = None, block: int | None = None, progress: Callable[[int, int], None] | None = None,
              plan: str = "auto", **inputs: Any) -> xr.Dataset:
        """The best configuration for every combination of the inputs that are not searched.

        Parameters
        ----------
        objective, maximize, by, where, ties
            As in `Resolver.best`; `by` is every axis outside the design space unless said.
        keep : sequence of str, optional
            Outputs to return.

        Returns
        -------
        xarray.Dataset
            As `Resolver.best`, with `configurations` (how many there are, by what stops them) and the `runner_up`.
        """
        from mlsysim.engine import label
        from mlsysim.search import split

        wish = objective or self.usual(inputs)
        run = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        apart = [name for name in self.split if by is None or name in split.names(by)]
        best, rivals, counts = self._ask(lambda outer: split.questions(wish, maximize, outer if by is None else by, where, ties),
                                         apart, run, inputs)  # fmt: skip
        answer = split.answer(best, rivals, counts, wish)
        if self.finish is not None:
            answer = self.finish(*self._given(inputs), answer)
        for name in answer.coords:  # arithmetic between answers forgets them
            about = {k: v for k, v in label.attributes(str(name)).items() if not k.startswith("flag_")}
            answer[name].attrs = {**about, **answer[name].attrs}
        answer = answer if keep is None else answer[[n for n in (*split.names(keep), "found") if n in answer]]
        return answer.transpose(*(n for n in [*self.bound, *inputs] if n in best.dims), ...)

    def best(self, objective: str | None = None, *args: Any, **inputs: Any) -> xr.Dataset:
        """See `Resolver.best`; `objective` as in `solve`."""
        return super().best(objective or self.usual(inputs), *args, **inputs)

    def top(self, k: int, objective: str | None = None, *args: Any, **inputs: Any) -> xr.Dataset:
        """See `Resolver.top`; `objective` as in `solve`."""
        return super().top(k, objective or self.usual(inputs), *args, **inputs)

    def pareto(self, minimize: str | Sequence[str] = (), maximize: str | Sequence[str] = (), *args: Any, **inputs: Any) -> xr.Dataset:
        """See `Resolver.pareto`; the optimizer's own objectives unless some are named."""
        least, most = (minimize, maximize) if minimize or maximize else self.front
        return super().pareto(least, most, *args, **inputs)


def _check_asked(resolver: Solver | Optimizer, inputs: Mapping[str, Any]) -> None:
    """The names of inputs to bind, against the resolver that is asked (which may be among them)."""
    import copy

    twin = copy.copy(resolver)
    twin.bound = {**resolver.bound, **{n: v for n, v in inputs.items() if n == "resolver"}}
    Resolver._check_names(twin, {n: v for n, v in inputs.items() if n != "resolver"})
