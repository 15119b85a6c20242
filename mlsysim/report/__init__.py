"""A page to pass on: answers as one self-contained HTML file (plotly, an extra: ``pip install 'mlsysim-sweep[report]'``).

`report` puts the page together; `sections` says what an answer is shown as; `figures` draws, `tables` writes,
`facts` tells what was assumed and on which sources it rests, `command` writes a configuration as words for a command line.
"""

from mlsysim.report.page import report

__all__ = ["report"]
