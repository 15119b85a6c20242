"""Tier 3: the search of a design space that another resolver evaluates."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, NamedTuple

from mlsysim.resolver.asked import asked_resolver, check_asked
from mlsysim.resolver.base import Resolver
from mlsysim.resolver.question import question
from mlsysim.schema.variables import ALIASES

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from mlsysim.engine.parameters import Parameter
    from mlsysim.engine.program import Program
    from mlsysim.engine.progress import Progress


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
    stands_in : mapping
        What is taken for inputs that the call does not give although the resolver needs them; every answer says so.
    searches : iterable of str
        Inputs of which `arrange` tries many values unless they are given.
    """

    def __init__(
        self,
        name: str,
        model: Resolver,
        arrange: Callable[[Resolver, dict[str, Any]], Space],
        objective: str | Callable[[Mapping[str, Any]], str],
        own: Mapping[str, Any] | None = None,
        split: tuple[str, ...] = (),
        front: tuple[tuple[str, ...], tuple[str, ...]] = ((), ()),
        finish: Callable[[Resolver, dict[str, Any], xr.Dataset], xr.Dataset] | None = None,
        domain: str = "analysis",
        walls: tuple[int, ...] = (),
        stands_in: Mapping[str, Any] | None = None,
        searches: Iterable[str] = (),
    ):
        self.stands_in, self.searches = dict(stands_in or {}), tuple(searches)
        self.name, self.model, self.arrange, self.objective, self.finish = name, model, arrange, objective, finish
        self.own, self.split, self.front, self.domain, self.walls = dict(own or {}), split, front, domain, walls
        self.bound = {}
        self.prose = arrange.__doc__

    def _given(self, inputs: Mapping[str, Any]) -> tuple[Resolver, dict[str, Any]]:
        """What is asked, and all inputs by canonical name."""
        inputs = {**_canonical(self.bound), **_canonical(inputs)}
        resolver = asked_resolver(inputs.pop("resolver", None)) or self.model
        inputs = {**resolver.bound, **inputs}
        return resolver, {**inputs, **self._standing_in(resolver, inputs)}

    def _standing_in(self, resolver: Resolver, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """What is taken for inputs that nobody gave."""
        from mlsysim.engine.unsaid import standing_in

        return standing_in(self.stands_in, resolver.parameters(inputs), inputs)

    def space(self, **inputs: Any) -> Space:
        """The design space of a call."""
        return self.arrange(*self._given(inputs))

    def program(self, **inputs: Any) -> Program:
        from mlsysim.engine.program import Program

        space = self.space(**inputs)
        return Program(space.resolver, space.inputs)

    def function(self, *free: str, outputs: str | Sequence[str] | None = None, **inputs: Any) -> Callable[..., Any]:
        raise self.no_stage("function")

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        from mlsysim.engine.parameters import Parameter

        asked = self.bound.get("resolver", self.model)
        own = {n: Parameter(n, None, default) for n, default in self.own.items()}
        if any(n.startswith("target_") for n in own):  # on any output
            own |= {n: Parameter(n, None, None) for n in given if n.startswith("target_")}
        return {**asked.parameters(given), **own}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.bound.get("resolver", self.model).outputs

    @property
    def schema(self) -> pd.DataFrame:
        from mlsysim.resolver.explain import schema

        return schema(self.parameters(), self.outputs, self.stands_in | dict.fromkeys(self.searches, "searched"))

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        check_asked(self, inputs)

    # --- questions -------------------------------------------------------------------------------------------

    def usual(self, inputs: Mapping[str, Any]) -> str:
        """What is best, unless a call says otherwise."""
        return self.objective if isinstance(self.objective, str) else self.objective({**self.bound, **inputs})

    def _ask(
        self,
        questions: Callable[[tuple[str, ...]], list[Any]],
        apart: Sequence[str],
        run: Mapping[str, Any],
        inputs: Mapping[str, Any],
    ) -> list[xr.Dataset]:
        """Answers to the reductions that `questions` makes of the axes outside the design space."""
        from mlsysim.engine.program import Program
        from mlsysim.engine.unsaid import said_aloud
        from mlsysim.resolver.answer import also, ask_each, several, without
        from mlsysim.search.interrupted import handed
        from mlsysim.search.parts import within
        from mlsysim.search.reduce import reduce

        for name in apart:
            values: Any = {**self.bound, **inputs}.get(name)
            if several(values):

                def ask(number: int, value: Any, name: str = name) -> list[xr.Dataset]:
                    own = {**run, "resume": within(run["resume"], f"{name}-{number}")}
                    return self._ask(questions, apart, own, {**inputs, name: value})

                return ask_each(ask, name, values)
        with handed(lambda _: None):  # what `arrange` searches on the way is another question
            space = self.space(**inputs)
        asked_of, given = self._given({})[0], {**_canonical(self.bound), **_canonical(inputs)}
        unsaid = self._standing_in(asked_of, {**asked_of.bound, **given})
        program = Program(space.resolver, space.inputs)
        asked = questions(tuple(a for a in program.axes if a not in space.searched))
        asked = [also(without(r, apart), space.where, space.ties) for r in asked]

        def own(answers: Sequence[xr.Dataset]) -> list[xr.Dataset]:
            about = {"resolver": self.name, **(space.story or {})}
            for ds in answers:
                ds.attrs |= about | said_aloud(ds.attrs, unsaid)
            return [ds.drop_vars("config") if "config" in ds.variables else ds for ds in answers]

        with handed(lambda found: own(found) if found else None):
            return own(reduce(program, asked, **run))

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
        """Several reductions in one pass over the design space (see `Resolver.sweep`)."""
        from mlsysim.search.interrupted import handed
        from mlsysim.search.reduce import several

        run: dict[str, Any] = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        run |= {"resume": resume, "client": client}
        apart = [name for name in self.split if all(name in r.by for r in several(reductions))]
        with handed():
            return self._ask(lambda _: list(reductions), apart, run, inputs)

    @question
    def solve(
        self,
        objective: str | None = None,
        maximize: bool | None = None,
        by: str | Sequence[str] | None = None,
        where: str | Sequence[str] | None = None,
        ties: Sequence[str] = (),
        *,
        keep: Sequence[str] | None = None,
        threads: int | None = None,
        block: int | None = None,
        progress: Progress = None,
        plan: str = "auto",
        resume: str | PathLike[str] | None = None,
        client: Any = None,
        **inputs: Any,
    ) -> xr.Dataset:
        """The best configuration for every combination of the inputs that are not searched.

        Parameters
        ----------
        objective, maximize, by, where, ties, resume, client
            As in `Resolver.best`; `by` is every axis outside the design space unless said.
        keep : sequence of str, optional
            Outputs to return.

        Returns
        -------
        xarray.Dataset
            As `Resolver.best`, with `configurations` (how many there are, by what stops them) and the `runner_up`.
        """
        from mlsysim.engine import label
        from mlsysim.resolver.answer import assembled, reductions
        from mlsysim.schema.check import names
        from mlsysim.search.interrupted import handed

        wish = self.usual(inputs) if objective is None else objective
        run: dict[str, Any] = {"threads": threads, "block": block, "progress": progress, "plan": plan}
        run |= {"resume": resume, "client": client}
        apart = [name for name in self.split if by is None or name in names(by, "by")]

        def questions(outer: tuple[str, ...]) -> list[Any]:
            return reductions(wish, maximize, outer if by is None else by, where, ties)

        with handed(lambda found: assembled(found[0], found[1], found[2], wish) if found else None):
            best, rivals, counts = self._ask(questions, apart, run, inputs)
        answer = assembled(best, rivals, counts, wish)
        if self.finish is not None:
            answer = self.finish(*self._given(inputs), answer)
        for name in answer.coords:  # arithmetic between answers forgets them
            about = {k: v for k, v in label.attributes(str(name)).items() if not k.startswith("flag_")}
            variable = answer.variables[name]
            variable.attrs = {**about, **variable.attrs}
        answer = label.kept(answer, keep, ("found",))
        order = [n for n in [*self.bound, *inputs] if n in best.dims]
        return answer.transpose(*order, ...) if order else answer

    @question
    def best(self, objective: str | None = None, *args: Any, **inputs: Any) -> xr.Dataset:
        """See `Resolver.best`, also for what to expect of the winner (``sample=n``); `objective` as in `solve`."""
        return super().best(self.usual(inputs) if objective is None else objective, *args, **inputs)

    @question
    def top(self, k: int, objective: str | None = None, *args: Any, **inputs: Any) -> xr.Dataset:
        """See `Resolver.top`; `objective` as in `solve`."""
        return super().top(k, self.usual(inputs) if objective is None else objective, *args, **inputs)

    @question
    def pareto(
        self, minimize: str | Sequence[str] = (), maximize: str | Sequence[str] = (), *args: Any, **inputs: Any
    ) -> xr.Dataset:
        """See `Resolver.pareto`; the optimizer's own objectives unless some are named."""
        from mlsysim.schema.check import names

        least, most = names(minimize, "minimize"), names(maximize, "maximize")
        least, most = (least, most) if least or most else self.front
        return super().pareto(least, most, *args, **inputs)


def _canonical(inputs: Mapping[str, Any]) -> dict[str, Any]:
    """Inputs by canonical name, where the spelling that was taken brings no unit with it."""
    found: dict[str, Any] = {}
    for name, value in inputs.items():
        known, factor = ALIASES.get(name, (name, 1.0))
        known = known if factor == 1.0 else name
        if known in found:
            raise TypeError(f"{known} is given twice ({name!r} means the same)")
        found[known] = value
    return found
