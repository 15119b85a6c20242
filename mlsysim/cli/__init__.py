"""The command line: ``mlsysim sweep``, ``solve``, ``best``, ``pareto``, ``root``, ``zoo``, ``doctor`` ...

`app` is the program; `mlsysim.grammar` reads words; `commands`, `sweep`, `calibration`, `zoo` and `doctor` answer;
`estimate` says how long; `results`, `show` and `asjson` write.
"""


def main() -> None:
    """Run the command line."""
    from mlsysim.cli import commands  # noqa: F401  (its import makes the commands known)
    from mlsysim.cli.app import app

    app()
