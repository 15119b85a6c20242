"""The command line: ``mlsysim sweep``, ``solve``, ``best``, ``pareto``, ``root``, ``zoo``, ``doctor`` ...

`grammar` reads words; `commands`, `sweep` and `about` answer; `results`, `show` and `asjson` write.
"""


def main() -> None:
    """Run the command line."""
    from mlsysim.cli.commands import app

    app()
