"""Tier 1, the models: a kernel with a name, a domain and its walls."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from mlsysim.resolver.base import Resolver
from mlsysim.resolver.kernels import Kernel
from mlsysim.schema.variables import VARIABLES

if TYPE_CHECKING:
    from mlsysim.engine.parameters import Parameter


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
        self.prose = kernel.__doc__
        self._announce()
        for variable in [*(n for n, p in kernel.parameters.items() if p.record is None), *kernel.outputs]:
            if variable not in VARIABLES:
                raise ValueError(
                    f"{name}: declare {variable} first, with unit and meaning: "
                    f'mlsysim.schema.variables.real({variable!r}, "s", "...")'
                )

    def _announce(self) -> None:
        """Let other models say whose input a name is that they do not know."""
        from mlsysim.engine.parameters import TAKEN_BY

        for name, parameter in self.kernel.parameters.items():
            if parameter.record is None and self.name not in TAKEN_BY.setdefault(name, []):
                TAKEN_BY[name].append(self.name)

    def parameters(self, given: Iterable[str] = ()) -> dict[str, Parameter]:
        return self.kernel.parameters

    def record(self, arguments: Mapping[str, Any], given: Iterable[str]) -> dict[str, Any]:
        result = self.kernel.function(**arguments)
        expected = self.kernel.signature.return_annotation
        if not isinstance(result, expected):
            raise TypeError(f"{self.name}: its kernel returned {type(result).__name__} in place of {expected.__name__}")
        return result._asdict()

    def recorded_from(self, given: Iterable[str]) -> tuple[Hashable, tuple[Callable[..., Any], ...]] | None:
        if type(self).record is not Model.record:
            return None
        return self.kernel.signature.return_annotation, (self.kernel.function,)

    @property
    def outputs(self) -> tuple[str, ...]:
        return self.kernel.outputs
