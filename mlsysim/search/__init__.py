"""Reductions over blocks: best, top, Pareto, counts, root.  They know no physics.

A reduction names the columns that it wants, folds every block into a small state, and merges the states of
the threads into the same answer whatever the blocks, threads and order of axes.
"""

from mlsysim.search.best import Best, Top
from mlsysim.search.counts import Counts
from mlsysim.search.pareto import Pareto

__all__ = ["Best", "Counts", "Pareto", "Top"]
