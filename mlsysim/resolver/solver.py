"""Tier 2: questions to another resolver that turn its outputs into inputs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlsysim.resolver.asked import asked_resolver, check_asked
from mlsysim.resolver.base import Resolver
from mlsysim.resolver.question import question

#: how a question is run, which is no part of it
RUNNING = ("keep", "threads", "progress", "plan")

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from mlsysim.engine.parameters import Parameter
    from mlsysim.engine.program import Program


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

    def __init__(
        self,
        name: str,
        answer: Callable[..., xr.Dataset],
        model: Resolver,
        outputs: tuple[str, ...],
        domain: str = "analysis",
        walls: tuple[int, ...] = (),
    ):
        self.name, self.answer, self.model, self.domain, self.walls = name, answer, model, domain, walls
        self._outputs = outputs
        self.bound = {}
        self.prose = answer.__doc__

    @property
    def options(self) -> dict[str, Any]:
        """The solver's own parameters and their defaults."""
        kinds = inspect.signature(self.answer).parameters.values()
        return {p.name: p.default for p in kinds if p.kind is p.KEYWORD_ONLY}

    @question
    def solve(self, resolver: Resolver | None = None, **inputs: Any) -> xr.Dataset:
        """The answer for `resolver` (default: the solver's own model) at a point or over a grid of its inputs."""
        from mlsysim.search.interrupted import handed

        inputs = {**self.bound, **inputs}
        bound = inputs.pop("resolver", None)
        asked = asked_resolver(resolver) or asked_resolver(bound) or self.model
        with handed(lambda _: None):  # what a search on the way has found is no answer to this question
            found = self.answer(asked, **inputs)
        return found.assign_attrs(self._unsaid(found.attrs, inputs))

    def _unsaid(self, attrs: Mapping[str, Any], inputs: Mapping[str, Any]) -> dict[str, str]:
        """What is assumed beside what the resolver that is asked assumes: options that nobody gave."""
        from mlsysim.engine.unsaid import said_aloud

        own = {n: v for n, v in self.options.items() if n not in inputs and n not in RUNNING}
        return said_aloud(attrs, {n: v for n, v in own.items() if isinstance(v, (int, float))})

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        from mlsysim.engine.parameters import Parameter

        asked = self.bound.get("resolver", self.model)
        own = {n: Parameter(n, None, default) for n, default in self.options.items()}
        targets = {n: Parameter(n, None, None) for n in given if n.startswith("target_")}
        return {**asked.parameters(given), **own, **targets}

    @property
    def outputs(self) -> tuple[str, ...]:
        return self._outputs

    def _check_names(self, inputs: Mapping[str, Any]) -> None:
        check_asked(self, inputs)

    def program(self, **inputs: Any) -> Program:
        raise TypeError(
            f"{self.name} answers solve; best, top, pareto, sweep and explain are for models and optimizers"
        )

    def function(self, *free: str, outputs: str | Sequence[str] | None = None, **inputs: Any) -> Callable[..., Any]:
        raise self.no_stage("function")

    @property
    def schema(self) -> pd.DataFrame:
        import pandas as pd

        from mlsysim.resolver.explain import options, schema

        model = self.bound.get("resolver", self.model)
        asked = schema(model.parameters(), model.outputs)
        answered = schema({}, self.outputs)
        own = options({**self.options, "resolver": model.name}, self.prose or "")
        return pd.concat([own, asked[asked["role"] != "output"], answered])
