"""The command line: ``mlsysim sweep``, ``solve``, ``best``, ``pareto``, ``root``, ``zoo``, ``doctor`` ...

`app` is the program; `grammar` reads words; `commands`, `sweep`, `truth` and `about` answer, `estimate` says how long;
`results`, `show` and `asjson` write.
"""


def main() -> None:
    """Run the command line."""
    from mlsysim.cli.commands import app

    app()
