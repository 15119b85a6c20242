"""A resolver as a plain function of numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class AsFunction:
    """What makes of a resolver a function for loops of one's own."""

    bound: dict[str, Any]

    def function(
        self,
        *free: str,
        outputs: str | Sequence[str] | None = None,
        **inputs: Any,
    ) -> Callable[..., Any]:
        """A fast function of some inputs, with the others bound: for optimizers, root finders and simulations.

        What does not depend on the free inputs is computed once.  The function has the very bits of `solve`, at 100,000
        calls a second and more; with all outputs of a model that loops (`ContinuousBatchingModel`), tens of
        thousands.  A long one is compiled first (about a second, then kept on disk).

        Parameters
        ----------
        *free : str
            Numeric inputs or record fields, which become its arguments (``hardware.tdp`` as ``hardware_tdp``).  What
            follows from a field by the rules of the zoo follows here too, at a few thousand calls a second.
        outputs : str or sequence of str, optional
            One name: the function returns that number.  Several, or none (all that the data allow, whatever the free
            inputs are): a named tuple.
        **inputs
            All other inputs, one value each (see `solve`).

        Returns
        -------
        callable
            Takes numbers in base units, by position or by name, or one array with all of them, as `scipy.optimize` gives
            it.  Bounds are those of the schema (ValueError beyond them).  An infeasible point gives what `solve` gives:
            `feasible` is False and `limit` says why; an output alone does not tell, so bind what keeps it feasible or
            ask for both.

        Raises
        ------
        TypeError
            An unknown or missing input; a free input that is bound as well.
        ValueError
            A free input that is an option or a row; a bound one with several values; a datum that is missing.

        Examples
        --------
        >>> import mlsysim as ms
        >>> f = ms.ServingModel.function("batch_size", outputs=["itl", "feasible"], model="llama3_1_8b",
        ...                              hardware="h100", seq_len=2048)
        >>> f(32).feasible, f(64).itl > f(32).itl
        (True, True)
        """
        from mlsysim.engine.function import bound

        return bound(self, free, outputs, {**self.bound, **inputs})
