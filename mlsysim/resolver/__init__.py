"""What a resolver is: a kernel with a name, a domain and its walls, and what one can ask of it.

`Model` evaluates (Y = f(X)), `compose` chains resolvers into one fused kernel; the solvers and optimizers
of tiers 2 and 3 ask the same questions of any of them.
"""

from mlsysim.resolver.base import SAMPLES, Resolver
from mlsysim.resolver.composition import Composition, Wire, compose
from mlsysim.resolver.kernels import RECORDS, Kernel, kernel
from mlsysim.resolver.known import RESOLVERS
from mlsysim.resolver.model import Model
from mlsysim.resolver.optimizer import Optimizer, Space
from mlsysim.resolver.solver import Solver

__all__ = [
    "RECORDS",
    "RESOLVERS",
    "SAMPLES",
    "Composition",
    "Kernel",
    "Model",
    "Optimizer",
    "Resolver",
    "Solver",
    "Space",
    "Wire",
    "compose",
    "kernel",
]
