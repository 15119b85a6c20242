"""Every public resolver by name; `mlsysim` fills it when it is imported."""

from mlsysim.resolver.base import Resolver

#: in the order of the walls
RESOLVERS: dict[str, Resolver] = {}
