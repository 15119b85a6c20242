"""Commands run in the process of the tests."""

import inspect

from typer.testing import CliRunner


def runner():
    """Runs a command and keeps its two streams apart; click before 8.2 has to be asked to."""
    apart = {"mix_stderr": False} if "mix_stderr" in inspect.signature(CliRunner).parameters else {}
    return CliRunner(**apart)
