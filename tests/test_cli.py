"""The command line: what it prints, what it refuses and how it ends."""

import json
import sys

import numpy as np
import pytest
import xarray as xr
from forked import Child
from terminal import runner

import mlsysim as ms
from mlsysim import grammar, headline, plot
from mlsysim.cli import asjson, show
from mlsysim.cli.commands import app

SERVE = ["serving", "model=llama3_1_70b", "seq_len=2048"]


def run(*words, env=None):
    return runner().invoke(app, list(words), env={"COLUMNS": "200", **(env or {})})


def fails(*words):
    """The one line that a refused command leaves on stderr."""
    result = run(*words)
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: "), result.stderr
    return lines[0].removeprefix("error: ")


def answer(*words):
    """What a command says as strict JSON."""
    result = run(*words, "--json")
    assert result.exit_code == 0, result.stderr

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(result.stdout, parse_constant=refuse)


# --- errors -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["hardware=h1000"], ["hardware", "'h1000'", "nearest", "H100"]),
        (["hardware=h100", "batch_size=-1"], ["batch_size=-1", "at least 1"]),
        (["hardware=h100", "tp=0"], ["tp=0", "at least 1"]),
        (["hardware=h100", "batch_size=nan"], ["batch_size=nan", "not NaN"]),
        (["hardware=h100", "batch_size=2.5"], ["batch_size=2.5", "whole number"]),
        (["hardware=h100", "mem_bandwidth=80 GB"], ["mem_bandwidth", "'80 GB'", "byte/s", "TB/s"]),
        (["hardware=h100", "batchsize=4"], ["'batchsize'", "nearest: batch_size"]),
        (["hardware=h100", "precision=fp7"], ["precision='fp7'", "allowed", "fp8"]),
        (["hardware=h100", "tp=1,x"], ["tp='x'"]),
        (["hardware=h100", "tp=1,1"], ["tp", "1 is given twice"]),
        (["hardware=h100", "tp=1", "tp=2"], ["tp is given twice"]),
        (["hardware=h100", "tp="], ["tp= is empty"]),
        (["hardware=h100", "batch_size=4:1"], ["batch_size=4:1", "empty"]),
        (["hardware=h100", "batch_size=1:100:log2"], ["both ends", "64 or 128"]),
        (["hardware=h100", "keep=tttf"], ["'tttf'", "ttft"]),
        (["hardware=h100", "h200"], ["'h200'", "key=value"]),
        (["hardware=h100", "--tp", "4"], ["--tp", "key=value"]),
        (["hardware=h100", "out=table.xls"], ["table.xls", ".csv"]),
        ([], ["needs hardware"]),
    ],
)
def test_bad_input_is_told_in_one_line(words, told):
    line = fails("solve", *SERVE, *words)
    for text in told:
        assert text in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["solv"], "Did you mean 'solve'"),
        (["solve"], "name a resolver"),
        (["solve", "servin", "tp=1"], "nearest: ServingModel"),
        (["schema"], "Missing argument"),
        (["schema", "xyz"], "known: "),
        (["zoo", "hardwear"], "nearest: hardware"),
        (["zoo", "hardware", "h1000"], "nearest: H100"),
        (["best", *SERVE, "hardware=h100"], "give one objective"),
        (
            ["best", "serving", "usd_per_mtok", "minimize=ttft", *SERVE[1:], "hardware=h100"],
            "give one objective",
        ),
        (["best", "serving", "usd", *SERVE[1:], "hardware=h100"], "no output or input 'usd'"),
        (["best", "serving", "ttft", *SERVE[1:], "hardware=h100", "by=tpp"], "by='tpp'"),
        (["best", "serving", "ttft", *SERVE[1:], "hardware=h100", "where=ttft <"], "no condition"),
        (["top", "serving", "ttft", *SERVE[1:], "hardware=h100", "k=0"], "k=0"),
        (["top", "serving", "ttft", *SERVE[1:], "hardware=h100", "k=many"], "k='many'"),
        (
            ["top", "serving", "ttft", *SERVE[1:], "hardware=h100", "-k", "100001"],
            "k=100001: must be from 1 to 100,000",
        ),
        (["pareto", *SERVE, "hardware=h100"], "pareto needs objectives"),
        (["pareto", *SERVE, "hardware=h100", "minimize=itl", "maximize=itl"], "itl is an objective twice"),
        (["pareto", *SERVE, "hardware=h100", "minimize=itl,itl"], "itl is an objective twice"),
        (["sweep", *SERVE, "hardware=h100", "minimize=itl,itl"], "itl is an objective twice"),
        (["best", "serving", "memory_activity", *SERVE[1:], "hardware=h100"], "minimize=memory_activity or maximize="),
        (["solve", "synthesis", "resolver=serving", *SERVE[1:]], "needs a target: targets=itl=20ms"),
        (["solve", "synthesis", "targets=itl", *SERVE[1:]], "as in targets=itl=20ms"),
        (["pareto", *SERVE, "hardware=h100", "minimize=ttft", "epsilon=3"], "epsilon"),
        (["root", *SERVE, "hardware=h100", "unknown=mem_bandwidth"], "give the unknown and the target"),
        (["sweep", *SERVE, "hardware=h100"], "say what ServingModel is swept for"),
        (["sweep", "hardware=h1000"], "nearest"),
        (["sweep", "out=front.xls"], "front.xls"),
        (["solve", *SERVE, "hardware=h100", "--threads", "0"], "threads=0"),
        (["solve", *SERVE, "points=nowhere.csv"], "nowhere.csv"),
    ],
)
def test_bad_usage_is_told_in_one_line(words, told):
    assert told in fails(*words)


def test_traceback_only_when_asked():
    assert run("solve", "xyz").exception.__class__ is SystemExit
    assert isinstance(run("solve", "xyz", env={"MLSYSIM_DEBUG": "1"}).exception, ValueError)


def test_nothing_feasible_ends_with_2_and_says_why():
    result = run("best", "serving", "ttft", *SERVE[1:], "hardware=h100", "tp=1,4", "where=itl < '1 us'")
    assert result.exit_code == 2
    assert result.stderr.startswith("nothing feasible: ")
    assert "memory stops 1 of 2, itl < '1 us' stops 1 of 2" in result.stderr
    result = run("solve", *SERVE, "hardware=h100")
    assert (
        result.exit_code == 2
        and result.stderr.startswith("nothing feasible: memory stops 1 of 1; memory 1.86 x; works with tp=2 or ")
        and result.stderr.count("\n") == 1
        and "limit" in result.stdout
    )
    result = run("pareto", *SERVE, "hardware=h100", "minimize=ttft,itl", "--json")
    assert result.exit_code == 2 and json.loads(result.stdout)["dims"] == {"point": 0}
    result = run("root", "serving", "mem_bandwidth", "target=itl=1ns", *SERVE[1:], "hardware=h100")
    assert result.exit_code == 2 and "nothing feasible" in result.stderr


# --- the grammar --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1:257", list(range(1, 257))),
        ("64:65536:64", list(range(64, 65536, 64))),
        ("10:0:-4", [10, 6, 2]),
        ("-3:4:2", [-3, -1, 1, 3]),
        ("9007199254740986:9007199254740992:2", [2**53 - 6, 2**53 - 4, 2**53 - 2]),
        ("1:8:log2", [1, 2, 4, 8]),
        ("3:48:log2", [3, 6, 12, 24, 48]),
        ("1:1000:log10", [1, 10, 100, 1000]),
        ("0:1:linear:5", [0, 0.25, 0.5, 0.75, 1]),
        ("1:16:log:5", [1, 2, 4, 8, 16]),
        ("0.1:0.5:0.1", [0.1, 0.2, 0.3, 0.4]),
        ("1,2,8:17:4", [1, 2, 8, 12, 16]),
        ("8k", "8k"),
        ("5", 5),
        ("0.5", 0.5),
        ("1e3", 1000),
    ],
)
def test_numbers(text, expected):
    assert grammar.numbers("x", text, "1") == expected


def test_units_in_ranges_and_lists():
    assert grammar.numbers("x", "80 GB:160 GB:80 GB", "byte") == [80e9]
    assert grammar.numbers("x", "1 TB/s, 2 TB/s", "byte/s") == ["1 TB/s", "2 TB/s"]
    with pytest.raises(ValueError, match="x=1 GB:2 s"):
        grammar.numbers("x", "1 GB:2 s", "byte")


@pytest.mark.parametrize(
    "text",
    [
        "1:",
        ":5",
        "1:2:3:4",
        "1:2:3:4:5",
        "1:8:linear",
        "1:8:linear:0",
        "0:8:log2",
        "1:5:0",
        "1:inf",
        "-1:5:log:3",
        "1:1e12",
        "1:2:linear:99999999999",
    ],
)
def test_ranges_that_are_none(text):
    with pytest.raises(ValueError, match="x="):
        grammar.numbers("x", text, "1")


@pytest.mark.parametrize(
    "name", ["ServingModel", "servingmodel", "serving", "SERVING", "serving_model", "Serving-Model"]
)
def test_resolver_names(name):
    assert grammar.named(name) is ms.ServingModel


def test_every_resolver_is_found_by_its_short_name():
    for name, resolver in ms.RESOLVERS.items():
        assert grammar.named(name) is resolver
        short = name.removesuffix("Model").removesuffix("Solver").removesuffix("Optimizer")
        assert grammar.named(short.lower()) is resolver


def test_no_input_is_named_like_an_option():
    from mlsysim.schema.assumptions import Assumptions
    from mlsysim.schema.variables import ALIASES, VARIABLES

    options = {
        "by",
        "where",
        "minimize",
        "maximize",
        "objective",
        "ties",
        "keep",
        "out",
        "k",
        "epsilon",
        "unknown",
        "target",
        "bounds",
        "threads",
        "points",
        "sample",
        "quantile",
        "seed",
    }
    models = [r for r in ms.RESOLVERS.values() if not hasattr(r, "options")]
    inputs = {n for r in models for n in r.parameters()}
    assert options & (inputs | set(ALIASES) | set(Assumptions._fields)) <= {"epsilon"}
    assert "by" not in VARIABLES


def test_an_input_wins_over_an_option_of_its_name():
    assert grammar.split(["epsilon=3"], {"epsilon": None}).options == {"epsilon": "3"}
    assert grammar.split(["epsilon=3"], {"epsilon": "0.1"}, {"epsilon"})[:2] == (
        {"epsilon": "3"},
        {"epsilon": "0.1"},
    )


def test_solvers():
    words = ["hardware=h100", "tp=4", "seq_len=2048", "model=llama3_1_70b", "batch_size=16,32"]
    found = answer(
        "solve",
        "synthesis",
        "resolver=serving",
        "target_itl=20 ms",
        "unknown=mem_bandwidth",
        "devices=0",
        *words,
    )
    need = ms.SynthesisSolver.solve(
        ms.ServingModel,
        targets={"itl": 0.02},
        unknown="mem_bandwidth",
        model="llama3_1_70b",
        hardware="h100",
        tp=4,
        seq_len=2048,
        batch_size=[16, 32],
        devices=0,
    )
    assert found["data_vars"]["mem_bandwidth"]["data"] == need.mem_bandwidth.values.tolist()
    again = answer(
        "solve",
        "synthesis",
        "resolver=serving",
        "targets=itl:20 ms",
        "unknown=mem_bandwidth",
        "devices=0",
        "bounds=1 TB/s:50 TB/s",
        *words,
    )
    np.testing.assert_allclose(again["data_vars"]["mem_bandwidth"]["data"], need.mem_bandwidth.values)
    for targets in ("itl=20ms", "itl = 20 ms", "itl<=20 ms", "itl=20ms,ttft=<= 10 s"):
        more = ["resolver=serving", f"targets={targets}", "unknown=mem_bandwidth", "devices=0"]
        found = answer("solve", "synthesis", *more, *words)
        assert found["data_vars"]["mem_bandwidth"]["data"] == need.mem_bandwidth.values.tolist(), targets
    found = answer("solve", "sensitivity", "resolver=serving", "output=itl", "inputs=mem_bandwidth,peak_flops", *words)
    assert found["coords"]["parameter"]["data"] == ["mem_bandwidth", "peak_flops"]
    with pytest.raises(ValueError, match="must be a number"):
        grammar._own("samples", "many", 1024)
    with pytest.raises(ValueError, match="name=value"):
        grammar._own("prices", "mem_bandwidth", None)
    with pytest.raises(ValueError, match="low:high"):
        grammar._own("bounds", "3", None)
    for text in ("tp:1:8,pp:1:4", "tp=1:8,pp=1:4"):
        assert grammar._own("ranges", text, None) == {"tp": (1, 8), "pp": (1, 4)}
    assert run("solve", "sensitivity", "resolver=serving", "output=itl", *words).exit_code == 0
    assert "answers solve" in fails("best", "synthesis", "itl", "resolver=serving", *words)


def test_options_may_be_written_either_way():
    words = ["serving", *SERVE[1:], "hardware=h100,a100", "tp=2,4,8", "batch_size=1:9"]
    one = answer("best", *words, "--minimize", "usd_per_mtok", "--by", "hardware", "--where", "itl < '50 ms'")
    two = answer("best", *words, "objective=usd_per_mtok", "by=hardware", "where=itl < 0.05")
    assert one["data_vars"] == two["data_vars"]
    assert "by is given twice" in fails("best", *words, "ttft", "--by", "tp", "by=tp")


def test_samples_and_quantiles():
    words = ["model=llama3_1_8b", "hardware=h100", "seq_len=2048", "tp=1,2"]
    inputs = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048, "tp": [1, 2]}
    found = answer("solve", "serving", *words, "sample=64", "seed=3", "keep=itl")
    ds = ms.ServingModel.solve(**inputs, sample=64, seed=3, keep=["itl"])
    assert found["dims"] == {"tp": 2, "sample": 64} and found["data_vars"]["itl"]["data"] == ds["itl"].values.tolist()
    found = answer("solve", "serving", *words, "--quantile", "0.1,0.5,0.9", "--sample", "16")
    ds = ms.ServingModel.solve(**inputs, sample=16, quantile=[0.1, 0.5, 0.9])
    assert found["coords"]["quantile"]["data"] == [0.1, 0.5, 0.9]
    assert found["data_vars"]["itl"]["data"] == ds["itl"].values.tolist()
    found = answer("best", "serving", "itl", *words, "sample=16", "seed=1")
    assert found["data_vars"]["win_share"] and found["attrs"]["samples"] == 16
    assert "win_share" in run("best", "serving", "itl", *words, "sample=16").stdout
    result = run("best", "serving", "itl", *words, "sample=16", "where=itl < '1 ns'")
    assert result.exit_code == 2 and "itl < '1 ns'" in result.stderr
    found = answer("pareto", "serving", "minimize=itl,usd_per_mtok", *words, "sample=16", "seed=1")
    front = ms.ServingModel.pareto(["itl", "usd_per_mtok"], **inputs, sample=16, seed=1)
    assert found["data_vars"]["front_share"]["data"] == front["front_share"].values.tolist()
    assert "share" in run("pareto", "serving", "minimize=itl,usd_per_mtok", *words, "sample=16").stdout
    assert "sample=16: is for mlsysim solve, best and pareto" in fails("top", "serving", "itl", *words, "sample=16")
    assert "quantile=0.5: is for mlsysim solve" in fails("best", "serving", "itl", *words, "quantile=0.5")
    result = run("solve", *SERVE, "hardware=h100", "quantile=0.5")
    assert result.exit_code == 2 and "nothing feasible: in none of 200 samples" in result.stderr
    assert "sample='many'" in fails("solve", "serving", *words, "sample=many")
    assert "sample=1:" in fails("solve", "serving", *words, "sample=1")
    assert "2 is no number from 0 to 1" in fails("solve", "serving", *words, "quantile=0.5,2")
    assert "x is no number from 0 to 1" in fails("solve", "serving", *words, "quantile=x")
    assert "seed=3: goes with sample=" in fails("solve", "serving", *words, "seed=3")
    assert "one answer a draw" in fails("solve", "sensitivity", *words[:3], "quantile=0.5")
    assert "seed" in fails("solve", "sensitivity", *words[:3], "seed=x")  # the solver's own
    for command in ("solve", "best", "pareto"):
        assert "--sample <int>" in run(command, "--help").stdout


def test_aliases_and_quantities():
    words = ["economics", "hardware=h100", "region=usa", "n_accelerators=8"]
    days, text = answer("solve", *words, "duration_days=30"), answer("solve", *words, "duration=30 days")
    assert days["data_vars"]["tco"] == text["data_vars"]["tco"]
    assert answer("solve", *words, "duration_days=30 days")["data_vars"]["tco"] == days["data_vars"]["tco"]


def test_points_from_a_file(tmp_path):
    path = tmp_path / "runs.csv"
    path.write_text("hardware,tp,batch_size\nh100,4,8\nmi300x,2,16\n")
    found = answer("solve", *SERVE, f"points={path}", "keep=itl")
    assert found["dims"] == {"config": 2}
    assert found["coords"]["hardware"]["data"] == ["h100", "mi300x"]


# --- answers ------------------------------------------------------------------------------------------------


def test_solve_agrees_with_python():
    found = answer("solve", *SERVE, "hardware=h100,a100", "tp=2,4", "batch_size=1:4", "--keep", "itl")
    ds = ms.ServingModel.solve(
        model="llama3_1_70b",
        seq_len=2048,
        hardware=["h100", "a100"],
        tp=[2, 4],
        batch_size=[1, 2, 3],
        keep=["itl", "feasible", "limit"],
    )
    assert found["dims"] == {"hardware": 2, "tp": 2, "batch_size": 3}
    assert found["data_vars"]["itl"]["data"] == ds["itl"].values.tolist()
    assert found["data_vars"]["itl"]["attrs"]["units"] == "s"
    assert found["data_vars"]["limit"]["data"][0][0][0] == "none"
    back = asjson.read(json.dumps(found))
    xr.testing.assert_equal(back["itl"], ds["itl"])


def test_optimizers():
    words = [
        "parallelism",
        "model=llama3_1_8b",
        "hardware=h100",
        "seq_len=8192",
        "global_batch=256",
        "n_accelerators=8,16",
    ]
    found = answer("solve", *words, "recompute=none", "keep=mfu")
    ds = ms.RESOLVERS["ParallelismOptimizer"].solve(
        model="llama3_1_8b",
        hardware="h100",
        seq_len=8192,
        global_batch=256,
        n_accelerators=[8, 16],
        recompute="none",
    )
    assert found["data_vars"]["mfu"]["data"] == ds["mfu"].values.tolist()
    words = [*words[:-1], "n_accelerators=8"]
    result = run("solve", *words, "recompute=none", "objective=tokens_per_s", "where=tp <= 2")
    assert result.exit_code == 0 and "stopped_by" in result.stdout
    assert "mlsysim best, top and pareto search" in fails("solve", *SERVE, "hardware=h100", "objective=ttft")
    result = run("solve", *words, "recompute=none", "where=tp > 4000")
    assert result.exit_code == 2 and "tp > 4000" in result.stderr


def test_placement_without_an_objective_takes_its_own():
    words = ["placement", "hardware=h100", "n_accelerators=64", "region=usa,fra", "duration=30 days"]
    found = answer("solve", *words)
    ds = ms.PlacementOptimizer.solve(hardware="h100", n_accelerators=64, region=["usa", "fra"], duration="30 days")
    assert found["coords"]["region"]["data"] == str(ds.region.values)


def test_json_is_strict():
    ds = xr.Dataset(
        {
            "a": ("x", [1.0, np.nan, np.inf, -np.inf]),
            "b": ((), True),
            "limit": (
                "x",
                np.array([0, 3, 1, 0], dtype=np.int8),
                {
                    "flag_values": np.arange(7),
                    "flag_meanings": "none shape capability memory saturation sla budget",
                },
            ),
        },
        {"x": list("pqrs")},
    )
    found = json.loads(asjson.text(ds))
    assert found["data_vars"]["a"]["data"] == [1.0, None, "inf", "-inf"]
    assert found["data_vars"]["b"]["data"] is True
    assert found["data_vars"]["limit"] == {
        "dims": ["x"],
        "attrs": {},
        "data": ["none", "memory", "shape", "none"],
    }
    assert found["coords"]["x"]["data"] == list("pqrs")
    np.testing.assert_array_equal(asjson.read(asjson.text(ds))["a"], ds["a"])


def test_tables():
    out = run("solve", *SERVE, "hardware=h100", "tp=4").stdout
    assert "time to first token" in out and " ms" in out
    out = run("solve", *SERVE, "hardware=h100", "tp=4", "batch_size=1:100", "--keep", "itl").stdout
    assert "20 of 99 rows" in out and "[ms]" in out
    out = run("top", "serving", "ttft", *SERVE[1:], "hardware=h100,a100", "tp=2,4,8", "k=2").stdout
    assert "top ttft of 6 configurations" in out
    out = run("best", "serving", "ttft", *SERVE[1:], "hardware=h100,a100", "tp=2,4,8").stdout
    assert "h100" in out and "tp" in out
    out = run("pareto", *SERVE, "minimize=usd_per_mtok,itl", "hardware=h100", "tp=2,4,8", "batch_size=1:9").stdout
    assert "front of" in out
    out = run(
        "root",
        "serving",
        "mem_bandwidth",
        "target=itl=25ms",
        *SERVE[1:],
        "hardware=a100",
        "tp=4",
        "bounds=1 TB/s:50 TB/s",
    ).stdout
    assert "TB/s" in out and "yes" in out


def test_root_bounds():
    words = ["root", "serving", "mem_bandwidth", "target=itl=25ms", *SERVE[1:], "hardware=a100", "tp=4"]
    assert answer(*words, "bounds=1 TB/s:50 TB/s")["data_vars"]["found"]["data"] is True
    assert "bounds" in fails(*words, "bounds=3 TB/s:1 TB/s")


def test_what_is_left_out_is_told():
    words = ["economics", "hardware=tpu_v5p", "n_accelerators=1024", "duration=1 year", "region=mex"]
    line = run("solve", *words).stdout.splitlines()[-1]
    assert line.startswith("left out: ") and "purchase_cost" in line and "tco" in line
    assert "(needs price, not known for tpu_v5p: give price=...)" in line
    assert "1 output for want of optional inputs" in line and "mlsysim schema EconomicsModel" in line
    assert "left out" not in run("solve", *words, "keep=electricity_cost").stdout
    assert "left out" not in run("solve", *words, "--json").stdout
    assert "left out: purchase_cost" in run("best", *words[:1], "electricity_cost", *words[1:]).stdout
    assert "left out: tco (needs price" in fails("best", *words[:1], "electricity_cost", *words[1:], "keep=tco")


def test_no_output_at_all_is_an_error():
    for more in ([], ["--json"]):
        line = fails("solve", "reliability", "n_accelerators=16384", "job_duration=54 days", *more)
        assert "ReliabilityModel" in line and "accelerators_per_node=..." in line and "fleet_size=..." in line


def test_what_matters_stands_before_its_parts():
    out = run("solve", *SERVE, "hardware=h100", "tp=4").stdout
    names = [line.split()[0] for line in out.splitlines() if line.startswith(" ") and line.split()]
    assert names.index("usd_per_mtok") < names.index("limit") < names.index("prefill_gemm_time")
    out = run("best", "serving", "minimize=kv_cache", *SERVE[1:], "hardware=h100", "tp=4,8").stdout
    names = [line.split()[0] for line in out.splitlines() if line.startswith(" ") and line.split()]
    assert names.index("kv_cache") < names.index("ttft")


def test_narrow_terminals_drop_columns():
    out = run("solve", *SERVE, "hardware=h100", "tp=4", "batch_size=1:4", env={"COLUMNS": "60"}).stdout
    assert max(map(len, out.splitlines()[:8])) <= 60 and "more outputs" in out


def test_results_are_saved(tmp_path):
    words = ["solve", *SERVE, "hardware=h100", "tp=2,4", "keep=itl,limit"]
    table = tmp_path / "a.csv"
    assert run(*words, f"out={table}").exit_code == 0
    lines = table.read_text().splitlines()
    assert lines[0].startswith("tp,") and "itl" in lines[0] and "none" in lines[1]
    single = tmp_path / "b.csv"
    assert run("solve", *SERVE, "hardware=h100", "tp=4", "--out", str(single)).exit_code == 0
    assert len(single.read_text().splitlines()) == 2
    text = tmp_path / "c.json"
    assert run(*words, f"out={text}").exit_code == 0
    assert asjson.read(text.read_text())["itl"].dims == ("tp",)
    try:
        import h5netcdf  # noqa: F401
    except ImportError:
        assert "mlsysim-sweep[store]" in fails(*words, f"out={tmp_path / 'd.nc'}")
    else:
        assert run(*words, f"out={tmp_path / 'd.nc'}").exit_code == 0


def test_explain_schema_walls_zoo():
    words = [
        "explain",
        "distributed+economics",
        "model=llama3_1_70b",
        "hardware=h100",
        "region=usa",
        "tokens=15T",
        "seq_len=8192",
        "global_batch=2048",
        "tp=8",
        "dp=1:1025",
    ]
    found = answer(*words)
    assert found["points"] == 1024 and found["axes"] == {"dp": 1024}
    assert {
        "stage": "EconomicsModel",
        "input": "duration",
        "source": "DistributedModel",
        "output": "training_time",
    } in found["wiring"]
    assert "1,024 points" in run(*words).stdout
    assert {"name": "batch_size", "role": "input"}.items() <= next(
        r for r in answer("schema", "serving") if r["name"] == "batch_size"
    ).items()
    assert "ttft" in run("schema", "serving").stdout
    overlap = next(row for row in answer("schema", "assumptions") if row["name"] == "data_overlap")
    assert overlap["value"] == 0.72 and overlap["spread"] == 0.2 and "published training runs" in overlap["source"]
    assert len(answer("walls")) == 22 and "DistributedModel" in run("walls").stdout
    assert answer("zoo")["tables"]["hardware"] > 100
    assert "rows" in run("zoo").stdout
    row = answer("zoo", "hardware", "H100")
    assert row["key"] == "h100_sxm5_80gb"
    assert row["fields"]["mem_bandwidth"] == {"value": 3.35e12, "unit": "byte/s"}
    assert "source" in run("zoo", "device", "H100").stdout


@pytest.mark.parametrize("table", ms.zoo.TABLES)
def test_zoo_tables(table):
    out = run("zoo", table)
    assert out.exit_code == 0 and ms.zoo.names(table)[0] in out.stdout
    assert len(answer("zoo", table)["rows"]) == len(ms.zoo.names(table))


def test_doctor():
    found = answer("doctor")
    assert found["cache_works"] and found["mlsysim"] == ms.__version__ and found["free_memory"] > 0
    assert "kernel cache" in run("doctor").stdout


def test_doctor_says_how_the_cache_stands(tmp_path, monkeypatch):
    from mlsysim.engine import cache, folder

    def found(place):
        monkeypatch.setenv("MLSYSIM_CACHE", str(place))
        monkeypatch.setattr(cache, "_loaded", {})
        monkeypatch.setattr(folder, "_told", {"folder"})
        out = run("doctor", "--json")
        return out.exit_code, json.loads(out.stdout)

    code, good = found(tmp_path / "cache")
    assert code == 0 and good["cache"] == str(tmp_path / "cache") and good["cache_trouble"] == []
    assert good["cache_readable"] and good["cache_writable"] and good["cache_kernels"] == 1
    assert 0 < good["cache_size"] < good["cache_bound"] == folder.SIZE
    assert "1 kernels kept" in good["cache_note"] and "read and written" in good["cache_note"]
    (tmp_path / "file").write_text("")
    code, bad = found(tmp_path / "file")
    assert code == 1 and not bad["cache_readable"] and not bad["cache_writable"]
    assert f"{tmp_path / 'file'}: it is a file" in bad["cache_note"] and "MLSYSIM_CACHE" in bad["cache_note"]
    (tmp_path / "cache").chmod(0o777)
    code, open_to_all = found(tmp_path / "cache")
    assert code == 1 and "mode 0777" in open_to_all["cache_note"]
    code, off = found("off")
    assert code == 0 and "MLSYSIM_CACHE is off" in off["cache_note"]


def test_texts_are_for_a_terminal():
    assert "``" not in run("schema", "serving").stdout + run("walls").stdout
    out = run("best", "serving", "itl", *SERVE[1:], "hardware=h100", "tp=4").stdout
    assert "best itl of 1 configuration, 1 feasible" in out
    for command in ("solve", "best", "top", "pareto", "root", "sweep", "explain"):
        out = run(command, "--help").stdout
        assert "list[str]" not in out and "RESOLVER key=value" in out and "batch_size=1:257" in out
    assert "--k <int>" in run("top", "--help").stdout and "--epsilon <float>" in run("pareto", "--help").stdout


def test_help_and_version():
    assert run("--version").stdout == f"mlsysim {ms.__version__}\n"
    for words in ([], ["--help"], ["sweep", "--help"], ["solve", "-h"]):
        result = run(*words)
        assert result.exit_code == 0 and "Usage" in result.stdout


# --- the headline -------------------------------------------------------------------------------------------

SMALL = [
    "hardware=h100,b200,mi300x",
    "tp=8",
    "pp=1,2,4",
    "cp=1",
    "dp=16,64,256",
    "micro_batch=1",
    "virtual_stages=1",
    "zero_stage=1",
    "recompute=none,full",
]


def test_headline_is_what_it_says():
    inputs = headline.inputs()
    makers = {ms.zoo.hardware(h)["vendor"] for h in inputs["hardware"]}
    assert len(makers) >= 3
    assert {ms.zoo.grid(r)["carbon_class"] for r in inputs["region"]} == {"life_cycle"} and len(inputs["region"]) >= 4
    assert headline.resolver().program(**inputs).n_points > 10_000_000


def test_sweep_small(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("sweep", *SMALL)
    assert result.exit_code == 0, result.stderr
    assert "432 configurations" in result.stdout
    assert "derived prices: mi300x" in result.stdout and "mlsysim zoo hardware mi300x" in result.stdout
    assert "What stops them" in result.stdout and "feasible" in result.stdout
    assert "The best tco of each hardware" in result.stdout
    assert "The front of tco, training_time, carbon" in result.stdout
    assert "[days]" in result.stdout and "[M$]" in result.stdout
    header = (tmp_path / "front.csv").read_text().splitlines()[0].split(",")
    assert {"tco", "training_time", "carbon", "hardware", "region", "tp", "mfu", "limit"} <= set(header)
    assert (tmp_path / "front.png").stat().st_size > 10_000


def test_sweep_agrees_with_solve(tmp_path):
    out = tmp_path / "f.json"
    found = answer("sweep", *SMALL, f"out={out}")
    inputs = headline.inputs() | grammar.values(grammar.split(SMALL, {}).inputs, headline.resolver())
    ds = headline.resolver().solve(**inputs, keep=["tco", "training_time", "carbon", "n_accelerators", "feasible"])
    good = (ds.feasible & (ds.training_time <= 90 * 86400) & (ds.n_accelerators <= 32768)).values
    assert found["points"] == good.size and found["feasible"] == int(good.sum())
    tco = np.where(good, ds.tco.values, np.inf)
    best = np.asarray(found["best"]["data_vars"]["tco"]["data"], dtype=float)
    axis = list(ds.sizes).index("hardware")
    np.testing.assert_allclose(best, np.moveaxis(tco, axis, 0).reshape(3, -1).min(axis=1), rtol=1e-12)
    assert found["saved"] == str(out) and out.exists()


def test_sweep_options(tmp_path):
    words = ["sweep", *SMALL, f"out={tmp_path / 'g.csv'}"]
    found = answer(*words, "minimize=carbon", "maximize=mfu", "objective=mfu", "by=region", "where=", "epsilon=1 %")
    assert found["front"]["attrs"]["objectives"] == "min carbon, max mfu"
    assert set(found["best"]["dims"]) == {"region"}
    result = run("sweep", *SMALL, "out=none", "where=training_time < '1 s'")
    assert result.exit_code == 2 and "nothing feasible" in result.stderr
    found = answer("sweep", *SERVE, "hardware=h100", "tp=2,4,8", "minimize=ttft,usd_per_mtok", "out=none")
    assert found["points"] == 3 and found["saved"] == ""


@pytest.mark.parametrize(
    "words",
    [
        ["best", "serving", "ttft", *SERVE[1:]],
        ["top", "serving", "ttft", *SERVE[1:]],
        ["pareto", *SERVE, "minimize=ttft,itl"],
        ["sweep", *SERVE, "minimize=ttft,itl", "out=none"],
    ],
)
def test_a_long_search_is_announced_and_a_very_long_one_refused(monkeypatch, words):
    words = [*words, "hardware=h100", "tp=2,4,8", "--threads", "1"]
    assert run(*words).stderr == ""
    line = fails(*words, "batch_size=1:1000001", "prefill_batch=1:500001")  # not even bound
    assert "1,500,000,000,000 points" in line and "batch_size has 1,000,000 values" in line and "--yes" in line
    monkeypatch.setattr("mlsysim.cli.estimate.FEW", 0)
    assert run(*words).stderr == ""
    monkeypatch.setattr("mlsysim.engine.estimate.SEARCH_OPERATION", 0.5)
    result = run(*words)
    assert result.exit_code == 0 and result.stderr.startswith("about 3 points, about ") and result.stdout
    monkeypatch.setattr("mlsysim.engine.estimate.SEARCH_OPERATION", 1e3)
    line = fails(*words)
    assert "about 3 points, about " in line and "coarser ranges (tp has 3 values" in line
    assert run(*words, "--yes").exit_code == 0


def test_the_sweep_of_the_readme_is_short(capsys):
    from mlsysim.cli import estimate
    from mlsysim.search import Counts, Pareto

    inputs = headline.inputs()
    estimate.before(headline.resolver(), inputs, [Pareto(headline.OBJECTIVES), Counts(where=headline.WHERE)], 2, False)
    assert capsys.readouterr().err == ""


def test_a_sweep_replaces_no_file_that_nobody_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "front.csv").write_text("mine")
    (tmp_path / "front-2.png").write_text("mine too")
    result = run("sweep", *SMALL)
    assert result.exit_code == 0 and "The front is in front-3.csv" in result.stdout
    assert "drawn in front-3.png" in result.stdout and (tmp_path / "front-3.png").exists()
    assert (tmp_path / "front.csv").read_text() == "mine" and (tmp_path / "front-2.png").read_text() == "mine too"
    assert run("sweep", *SMALL, "--out", "front.csv").exit_code == 0
    assert (tmp_path / "front.csv").read_text() != "mine"


@pytest.mark.parametrize("words", [["sweep", *SMALL], ["solve", *SERVE, "hardware=h100", "tp=4"]])
def test_where_nothing_can_be_written_is_told_before_the_sweep(tmp_path, monkeypatch, words):
    def never(*args, **more):
        raise AssertionError("it was evaluated")

    monkeypatch.setattr("mlsysim.engine.run.Sweep.run", never)
    assert "nowhere is no folder" in fails(*words, f"out={tmp_path / 'nowhere' / 'front.csv'}")
    (tmp_path / "folder.csv").mkdir()
    assert "is a folder" in fails(*words, f"out={tmp_path / 'folder.csv'}")
    monkeypatch.setattr("os.access", lambda *args: False)
    assert "cannot be written" in fails(*words, f"out={tmp_path / 'front.csv'}")


def test_a_front_that_cannot_be_saved_is_still_told(tmp_path, monkeypatch):
    def full(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr("mlsysim.cli.results.write", full)
    result = run("sweep", *SMALL, f"out={tmp_path / 'front.csv'}")
    assert result.exit_code == 1 and "The front of tco" in result.stdout
    assert result.stderr.startswith("error: the front is not saved") and len(result.stderr.splitlines()) == 1


def test_mixed_carbon_classes_warn():
    kinds = {}
    for key in ms.zoo.names("grids"):
        row = ms.zoo.grid(key)
        if row["carbon_class"] and row["electricity_price"] and row["carbon_intensity"]:
            kinds.setdefault(row["carbon_class"], key)
    assert len(kinds) > 1
    with pytest.warns(UserWarning, match="different classes"):
        from mlsysim.cli.sweep import carbon_classes

        carbon_classes(list(kinds.values()))


def test_no_matplotlib_is_said_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r"pip install 'mlsysim-sweep\[plot\]'"):
        plot.save(xr.Dataset(), "x.png")
    result = run("sweep", *SMALL, f"out={tmp_path / 'front.csv'}")
    assert result.exit_code == 0 and "No picture: matplotlib is not installed" in result.stdout


def test_plot_of_a_front():
    front = ms.ServingModel.pareto(
        ["usd_per_mtok", "itl"],
        model="llama3_1_70b",
        seq_len=2048,
        hardware=["h100", "a100"],
        tp=[2, 4, 8],
        batch_size=[1, 4, 16],
    )
    from matplotlib.figure import Figure

    ax = plot.front(front, ax=Figure().subplots())
    assert ax.get_xlabel().startswith("usd per mtok") and ax.get_ylabel() == "itl [ms]"
    with pytest.raises(ValueError, match="two or three objectives"):
        plot.front(front, ["itl"])


def test_sizes_people_use():
    assert show.quantity(86400.0 * 80, "s") == "80 days"
    assert show.quantity(2.5e6, "USD") == "2.5 M$"
    assert show.quantity(853_600.0, "kg") == "853.6 t CO2e"
    assert show.quantity(float("inf"), "s") == "inf" and show.quantity(float("nan"), "s") == "-"
    assert show.head("training_time", "days") == "training_\ntime\n[days]"


# --- as a process -------------------------------------------------------------------------------------------


def process(*words, **env):
    script = f"import sys; sys.argv[1:] = {words}; from mlsysim.cli import main; main()"
    return Child(script, "command", env).finish()


def test_process():
    code, out, err = process("solve", *SERVE, "hardware=h100", "tp=0")
    assert code == 1 and out == "" and len(err.splitlines()) == 1
    code, out, err = process("solve", *SERVE, "hardware=h100", "tp=4", "--json")
    assert code == 0 and err == "" and "itl" in json.loads(out)["data_vars"]
    assert process("solve", "xyz", MLSYSIM_DEBUG="1")[2].startswith("Traceback")


def test_an_optimizer_has_an_objective_of_its_own():
    out = answer("best", "placement", "hardware=h100", "n_accelerators=8", "duration=1 day", "region=fra,usa")
    assert out["coords"]["region"]["data"] == "fra"


def test_where_no_device_meets_the_targets_the_nearest_is_named():
    words = ["solve", "synthesis", "resolver=serving", "model=llama3_1_70b", "seq_len=2048", "batch_size=8"]
    one = run(*words, "target_itl=1 ms")
    assert one.exit_code == 0 and " place " not in one.stdout  # no table of devices that there are not
    device = next(line.split()[1] for line in one.stdout.splitlines() if line.strip().startswith("nearest_device"))
    assert f"no device meets the targets; nearest: hardware={device}, memory " in one.stderr
    some = run(*words, "target_itl=1 ms,20 s", "tp=8", "devices=1")
    assert "no device meets the targets at 1 of 2 points; nearest: hardware=" in some.stderr
    assert ", itl <= 1 ms " in some.stderr and " place " in some.stdout
