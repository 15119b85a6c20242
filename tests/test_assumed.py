"""An answer says what it assumed: giving that back gives the same answer, and nothing that it took is left unsaid."""

import numpy as np
import pytest
from answers import answer
from configurations import CONFIGURATIONS
from terminal import runner

import mlsysim as ms
from mlsysim.cli.commands import app
from mlsysim.engine.bind import Binder
from mlsysim.engine.graph import reached
from mlsysim.engine.program import Program
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import ALIASES
from mlsysim.stored.assumed import assumed

CALLS = [(name, i) for name, calls in CONFIGURATIONS.items() for i in range(len(calls))]
#: what an optimizer searches is an answer, no assumption; what a solver asks is no value; how a question is run is neither
NONE = {"resolver", "plan"}


@pytest.mark.parametrize(("name", "i"), CALLS)
def test_what_was_assumed_gives_the_same_answer(name, i):
    stored, call = answer(name, i), CONFIGURATIONS[name][i]
    again = ms.RESOLVERS[name].solve(**{**call, **stored.mlsysim.assumed})
    assert list(again.data_vars) == list(stored.data_vars)
    for output, array in stored.data_vars.items():
        one, other = array.values, again[output].transpose(*array.dims).values
        assert np.array_equal(one, other, equal_nan=one.dtype.kind == "f"), output


@pytest.mark.parametrize(("name", "i"), CALLS)
def test_every_input_is_in_the_call_or_assumed(name, i):
    resolver, stored, call = ms.RESOLVERS[name], answer(name, i), CONFIGURATIONS[name][i]
    said = {ALIASES.get(word, (word, 1.0))[0] for word in call}
    told = str(stored.attrs.get("assumed", ""))
    picks = Binder(resolver.parameters(call), name).picks
    as_another = {n for n, pick in picks.items() if pick.fallback}  # decode_hardware: the device itself
    searched = (
        set(getattr(resolver, "space", lambda **_: None)(**call).searched) if hasattr(resolver, "space") else set()
    )
    inputs = resolver.schema[lambda frame: (frame.role != "output") & (frame.default != "optional")]
    for word in set(inputs.index) - said - as_another - searched - NONE:
        assert f"{word}=" in told or word in stored.coords, word


def test_values_are_told_so_that_they_are_read_as_they_were():
    found = ms.TailLatencyModel.solve(arrival_rate=5, service_latency="0.1 s", replicas=2)
    assert found.mlsysim.assumed["percentile"] == 0.99
    for text in ("memory_fraction=0.3333333333333333", "n_accelerators=1234567 (the whole fleet)"):
        [value] = assumed(found.assign_attrs(assumed=text)).values()
        assert value in (1 / 3, 1234567)


def test_options_of_solvers_are_told():
    found = ms.SensitivitySolver.solve(ms.ServingModel, output="itl", model="llama3_1_8b", hardware="h100", seq_len=512)
    assert found.attrs["assumed"].startswith("perturbation=0.1, samples=1024, seed=0, hardware=h100_sxm5_80gb")
    given = ms.SensitivitySolver.solve(
        ms.ServingModel, output="itl", model="llama3_1_8b", hardware="h100", seq_len=512, perturbation=0.2
    )
    assert "perturbation" not in given.attrs["assumed"]


# --- which figures it rests on -----------------------------------------------------------------------------------

POINT = {"model": "llama3_1_70b", "hardware": "h100", "tp": 4, "seq_len": 2048}


@pytest.mark.parametrize(
    ("resolver", "output", "call"),
    [
        (ms.ServingModel, "itl", POINT),
        (ms.EconomicsModel, "tco", {"fleet": "dgx_h100", "duration": "1 year", "region": "usa"}),
        (ms.ServingModel, "ttft", {**POINT, "host_step_time": "3 ms"}),
    ],
)
def test_what_moves_a_figure_by_a_percent_is_listed_and_nothing_else(resolver, output, call):
    """By solving again with each assumption a little larger."""
    stored = resolver.solve(**call)
    found = stored.mlsysim.rests_on(output)
    assert (found.elasticity.abs() > 0.01).all() and (found.elasticity.abs().diff().dropna() <= 0).all()
    assert (found.meaning.str.len() > 5).all() and (found.source.str.len() > 5).all()
    program = Program(resolver, call, Assumptions._fields)
    read = {str(n.payload).rpartition(".")[2] for n in reached([program.output(output)]) if n.op == "leaf"}
    for name in read & {*Assumptions._fields}:
        default = Assumptions._field_defaults[name]
        base = 0.003 if name in call else float(default)
        if not base or default.kind != "real" or base * 1.01 > default.high:
            continue
        low, high = resolver.solve(**{**call, name: [base * 0.99, base * 1.01]})[output].values
        slope = np.log(high / low) / np.log(1.01 / 0.99)
        if abs(slope) > 0.011:
            assert found.elasticity[name] == pytest.approx(slope, rel=0.1, abs=2e-3), name
        elif abs(slope) < 0.009:
            assert name not in found.index, name
    assert all(found.value[n] == (0.003 if n in call else float(Assumptions._field_defaults[n])) for n in found.index)


def test_what_has_none_and_what_is_no_quantity():
    bare = ms.TailLatencyModel.solve(arrival_rate=5, service_latency="0.1 s", replicas=2)
    assert bare.mlsysim.rests_on("avg_response_time").empty
    stored = ms.ServingModel.solve(**POINT)
    with pytest.raises(ValueError, match=r"ServingModel has no such output; nearest: .*itl"):
        stored.mlsysim.rests_on("itll")
    with pytest.raises(ValueError, match="output='limit': is no quantity"):
        stored.mlsysim.rests_on("limit")
    front = ms.ServingModel.solve(**{**POINT, "batch_size": [1, 64]})
    assert front.mlsysim.rests_on("itl", batch_size=64).elasticity["host_step_time"] < 0.06


def test_the_command_line_names_the_strongest_in_its_line():
    words = ["model=llama3_1_70b", "hardware=h100", "tp=4", "seq_len=2048"]
    shown = runner().invoke(app, ["best", "serving", "itl", *words], env={"COLUMNS": "200"})
    [line] = [line for line in shown.stdout.splitlines() if line.startswith("assumed: ")]
    assert "; itl rests most on host_step_time (elasticity 0.06)" in line
    many = runner().invoke(app, ["solve", "serving", *words, "batch_size=1,2"], env={"COLUMNS": "200"}).stdout
    assert "assumed: " in many and "rests most on" not in many
