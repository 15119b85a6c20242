"""Why an answer is what it is: the equations behind a number (`trace`), and what sets two answers apart (`compare`)."""

from mlsysim.why.comparing import Comparison, compare
from mlsysim.why.equation import Equation, Figure, Trace
from mlsysim.why.tracing import trace

__all__ = ["Comparison", "Equation", "Figure", "Trace", "compare", "trace"]
