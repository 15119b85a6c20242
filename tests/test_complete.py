"""What a shell offers for a half-written command."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from terminal import runner

import mlsysim as ms
from mlsysim.cli import complete
from mlsysim.cli.commands import app


def bash(line, name="mlsysim"):
    """What Bash offers at the end of a line, which it cuts at ``=`` as well."""
    words = line.replace("=", " = ").split() + ([""] if line.endswith(" ") else [])
    at = len(words) - 1 + line.endswith("=")
    env = {"COMP_WORDS": " ".join(words), "COMP_CWORD": str(at), f"_{name.upper()}_COMPLETE": "complete_bash"}
    return runner().invoke(app, [], env=env, prog_name=name).stdout.split()


def zsh(line):
    """What a shell offers that cuts at spaces only."""
    env = {"_TYPER_COMPLETE_ARGS": line, "_MLSYSIM_COMPLETE": "complete_zsh"}
    out = runner().invoke(app, [], env=env, prog_name="mlsysim").stdout
    return re.findall(r'(?<![:"])"([^"]+)"', out)


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("mlsysim so", ["solve"]),
        ("mlsysim solve ser", ["serving"]),
        ("mlsysim solve Ser", ["ServingModel"]),
        ("mlsysim best single", ["single_node"]),
        ("mlsysim solve distributed+eco", ["distributed+economics"]),
        ("mlsysim solve serving see", []),
        ("mlsysim solve serving ba", ["batch_size=", "bandwidth_efficiency="]),
        ("mlsysim solve serving batch_size=3 ba", ["bandwidth_efficiency="]),
        ("mlsysim solve serving mem_b", ["mem_bandwidth="]),
        ("mlsysim solve economics dur", ["duration=", "duration_days=", "duration_hours="]),
        ("mlsysim best serving it", ["itl"]),
        ("mlsysim root serving mem_ba", ["mem_bandwidth=", "mem_bandwidth"]),
        ("mlsysim best serving --minimize ttf", ["ttft"]),
        ("mlsysim best serving itl --by precis", ["precision"]),
        ("mlsysim schema assu", ["assumptions"]),
        ("mlsysim zoo mod", ["models"]),
        ("mlsysim zoo models llama3_1_8", ["llama3_1_8b"]),
        ("mlsysim solve nonsense ba", []),
    ],
)
def test_words_are_offered_in_every_shell(line, offered):
    assert set(bash(line)) == set(offered) == set(zsh(line))


@pytest.mark.parametrize(
    ("key", "begun", "offered"),
    [
        ("model", "llama3_1_8", ["llama3_1_8b"]),
        ("hardware", "h100_s", ["h100_sxm5_80gb"]),
        ("hardware", "h100,h100_s", ["h100,h100_sxm5_80gb"]),
        ("decode_hardware", "b200_s", ["b200_sxm_180gb"]),
        ("fleet", "dgx_h1", ["dgx_h100"]),
        ("precision", "fp", ["fp32", "fp16", "fp8"]),
        ("reserve", "", ["grow", "reserve"]),
        ("textbook", "t", ["true"]),
        ("minimize", "ttft,it", ["ttft,itl"]),
        ("tp", "", []),
        ("no_such", "a", []),
    ],
)
def test_values_are_offered_where_they_can_be_listed(key, begun, offered):
    line = f"mlsysim solve serving batch_size=1,2 {key}={begun}"
    assert set(bash(line)) == set(offered)
    assert set(zsh(line)) == {f"{key}={value}" for value in offered}


def test_an_input_alone_comes_with_its_values_so_that_no_space_follows_the_sign():
    found = bash("mlsysim solve serving har")
    assert set(found) == {f"hardware={name}" for name in ms.zoo.names("hardware")}
    assert set(bash("mlsysim solve serving hardware=")) == set(ms.zoo.names("hardware"))
    assert "cpu_throughput=" in bash("mlsysim best transformation samples_per_s cpu")  # a second word is no input


def test_every_input_of_every_resolver_is_offered():
    for resolver in ms.RESOLVERS.values():
        offered = complete.inputs(resolver, "")
        assert {*resolver.schema.index[resolver.schema.role != "output"]} <= {*offered}, resolver.name
        for name in offered:
            complete.of_input(resolver, name)
    assert complete.resolvers("") == [n for n in complete.resolvers("") if complete.asked([n]) is not None]
    assert len(complete.resolvers("")) == len(ms.RESOLVERS)


def test_both_names_of_the_program_complete_and_say_how_to_install_it(monkeypatch):
    assert bash("mlsweep solve ser", "mlsweep") == ["serving"]
    from mlsysim.cli import app as program

    for called, name in (
        ("/x/mlsweep", "mlsweep"),
        ("mlsweep.exe", "mlsweep"),
        ("/x/mlsysim", "mlsysim"),
        ("-c", "mlsysim"),
    ):
        monkeypatch.setattr(sys, "argv", [called])
        assert program._name() == name
    assert "--install-completion" in runner().invoke(app, ["--help"]).stdout


@pytest.mark.slow
def test_bash_itself_completes(tmp_path):
    program = Path(sys.executable).parent / "mlsysim"
    if shutil.which("bash") is None or not program.exists():
        pytest.skip("no bash, or mlsysim is not installed in this environment")
    script = f"""
    eval "$({program} --show-completion bash)"
    COMP_WORDS=(mlsysim solve serving hardware = h100_s) COMP_CWORD=5
    _mlsysim_completion {program}
    echo "${{COMPREPLY[@]}}"
    """
    out = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, cwd=tmp_path)
    assert out.stdout.split() == ["h100_sxm5_80gb"], out.stderr
