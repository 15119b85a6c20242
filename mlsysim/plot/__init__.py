"""Pictures of results (matplotlib, an extra: ``pip install 'mlsysim-sweep[plot]'``).

Every function takes an answer and gives matplotlib Axes: units on the axes, the question in the title, infeasible
configurations hatched.  ``ax=`` draws into Axes of your own.

>>> sorted(__all__)
['breakdown', 'front', 'heatmap', 'interactivity', 'parity', 'roofline', 'save', 'scaling', 'scorecard', 'tornado']
"""

from mlsysim.plot.breakdown import breakdown
from mlsysim.plot.front import front, save
from mlsysim.plot.heatmap import heatmap
from mlsysim.plot.interactivity import interactivity
from mlsysim.plot.parity import parity
from mlsysim.plot.roofline import roofline
from mlsysim.plot.scaling import scaling
from mlsysim.plot.scorecard import scorecard
from mlsysim.plot.tornado import tornado

__all__ = [
    "breakdown",
    "front",
    "heatmap",
    "interactivity",
    "parity",
    "roofline",
    "save",
    "scaling",
    "scorecard",
    "tornado",
]
