"""Plan files: each that comes along holds, a condition turned round exits 2, what cannot be is refused in a line."""

import json
import re
import tomllib

import numpy as np
import pytest
from terminal import runner

import mlsysim as ms
from mlsysim import plans
from mlsysim.cli.commands import app
from mlsysim.plans import form
from mlsysim.plans.read import FOLDER
from mlsysim.plans.score import clauses

WAIT = {
    "title": "Wait",
    "resolver": "tail_latency",
    "inputs": {"arrival_rate": 50, "service_latency": "0.1 s"},
    "axes": {"replicas": [2, 6, 8]},
}
TURNED = {"<": ">", "<=": ">", ">": "<", ">=": "<"}


def run(*words):
    return runner().invoke(app, ["run", *map(str, words)])


# --- those that come along -----------------------------------------------------------------------------------


def test_the_ten_are_there():
    assert set(plans.names()) >= {
        "chat_serving",
        "disaggregated_serving",
        "edge_vision",
        "frontier_training",
        "green_data_centre",
        "keyword_spotting",
        "long_context_rag",
        "lora_fine_tuning",
        "mixture_serving",
        "research_cluster",
    }
    listed = run("--list")
    assert listed.exit_code == 0 and all(name in listed.stdout for name in plans.names())
    assert set(json.loads(run("--list", "--json").stdout)) == set(plans.names())


@pytest.mark.parametrize("name", plans.names())
def test_a_plan_that_comes_along_holds(name):
    told = run(name)
    assert told.exit_code == 0, told.stdout + told.stderr
    assert "PASS" in told.stdout and "FAIL" not in told.stdout and "assumed:" in told.stdout
    plan = ms.Plan.read(name)
    assert plan.question.endswith("?") and all(len(step.asserts) >= 2 for step in plan.steps)


@pytest.mark.parametrize("name", plans.names())
def test_a_condition_turned_round_exits_2(name, tmp_path):
    text = (FOLDER / f"{name}.toml").read_text(encoding="utf-8")
    first = tomllib.loads(text)
    condition = (first["step"][0] if "step" in first else first)["assert"][0]
    turned = re.sub(r"<=|>=|<|>", lambda sign: TURNED[sign[0]], condition)
    assert turned != condition
    path = tmp_path / "turned.toml"
    path.write_text(text.replace(condition, turned), encoding="utf-8")
    told = run(path)
    assert told.exit_code == 2 and "FAIL" in told.stdout


# --- what a plan says ----------------------------------------------------------------------------------------


def test_the_scorecard_has_the_figures_of_the_answer():
    found = ms.run_plan(
        WAIT | {"assert": ["response_p99 < 1 s", "some response_p99 < 500 ms", "queue_utilization < 0.7"]}
    )
    answer = ms.TailLatencyModel.solve(arrival_rate=50, service_latency="0.1 s", replicas=[2, 6, 8])
    assert np.array_equal(found.answer.response_p99, answer.response_p99)
    works = answer.feasible.values
    assert found.scorecard["condition"].tolist()[0] == "something works"
    slow, some, load = found.scores[1:]
    p99 = answer.response_p99.values[works]
    assert slow.holds == (p99 < 1).sum() and slow.passed == (p99 < 1).all() and slow.points == works.sum() == 2
    assert some.passed == (p99 < 0.5).any()
    assert not load.passed and load.holds == (answer.queue_utilization.values[works] < 0.7).sum() == 1
    assert "0.625 to 0.8333" in load.value and not found.passed
    assert "FAIL  queue_utilization < 0.7 at 1 of 2" in repr(found) and "<table" in found._repr_html_()


def test_conditions_mean_what_they_mean_in_a_search():
    inputs = {"model": "llama3_1_8b", "hardware": ["h100", "a100"], "seq_len": 2048, "batch_size": [1, 8, 64]}
    answer = ms.ServingModel.solve(**inputs)
    for text in (
        "itl < 12 ms",
        "hardware == 'h100' and batch_size <= 8",
        "decode_bottleneck == 'memory' and ttft < 1 s",
    ):
        held = np.logical_and.reduce(list(clauses(answer, text).values())) & answer.feasible.values
        counts = ms.ServingModel.sweep([ms.search.Counts(where=text)], **inputs)[0]["configurations"]
        assert 0 < held.sum() == counts.sel(limit="none").item() < held.size, text
    with pytest.raises(ValueError, match="assert: itl: '3 GB' is no value in s"):
        clauses(answer, "itl < 3 GB")


def test_feasibility_itself_can_be_a_condition():
    found = ms.run_plan(WAIT | {"assert": ["feasible", "some limit == 'saturation'"]})
    assert [score.passed for score in found.scores] == [True, False, True]


def test_nothing_that_works_exits_2(tmp_path):
    path = tmp_path / "too_large.toml"
    path.write_text(
        'title = "t"\nresolver = "serving"\nassert = "itl < 1 s"\n'
        '[inputs]\nmodel = "llama3_1_70b"\nhardware = "h100"\nseq_len = 2048\n'
    )
    told = run(path)
    assert told.exit_code == 2 and "it works" in told.stdout and "no: memory" in told.stdout


def test_an_optimizer_has_one_answer_beside_its_counts():
    place = {
        "title": "t",
        "resolver": "PlacementOptimizer",
        "axes": {"region": ["usa", "fra"]},
        "assert": "carbon > 0 t",
    }
    place["inputs"] = {"hardware": "a100", "n_accelerators": 8, "duration": "1 day"}
    found = ms.run_plan(place)
    assert [(s.condition, s.passed, s.points) for s in found.scores] == [
        ("it works", True, 1),
        ("carbon > 0 t", True, 1),
    ]
    other = ms.PlacementOptimizer(region=["usa"], hardware="a100", n_accelerators=8, duration="1 day")
    assert ms.compare(found.answer, other).points == 1


def test_a_search_that_finds_nothing_tells_what_stopped_how_many():
    found = ms.run_plan("chat_serving", hardware="h100", tp="1", precision="bf16")
    assert not found.passed and found.scores[0].value.startswith("no: memory: ") and "ttft" in found.scores[0].value


def test_a_later_step_uses_an_earlier_figure():
    found = ms.run_plan("green_data_centre")
    split, place = found.answers["split"], found.answers["place"]
    alone = ms.PlacementOptimizer.solve(
        hardware="a100",
        n_accelerators=1024,
        duration=split.training_time.item(),
        region=["usa", "fra", "swe", "irl", "deu", "chn"],
    )
    assert place.duration.item() == split.training_time.item() and place.carbon.item() == alone.carbon.item()


def test_a_step_whose_figure_never_was_fails():
    steps = [
        {
            "name": "one",
            "resolver": "tail_latency",
            "inputs": {"arrival_rate": 50, "service_latency": "1 s", "replicas": 1},
        },
        {
            "name": "two",
            "resolver": "tail_latency",
            "inputs": {"arrival_rate": 1, "service_latency": {"from": "one.response_p50"}, "replicas": 1},
        },
    ]
    found = ms.run_plan({"title": "t", "step": steps})
    assert list(found.answers) == ["one"] and found.scores[-1].value == "nothing works in one" and not found.passed


def test_inputs_in_place_of_those_of_the_plan():
    few = ms.run_plan("chat_serving", hardware=["h100"], batch_size="1:3")
    assert few.answer.hardware.item() == "h100" and few.answer.attrs["points"] < 64
    told = run("chat_serving", "hardware=h100", "tp=4", "--json")
    answer = json.loads(told.stdout)[0]
    assert answer["passed"] is (told.exit_code == 0) and answer["answers"]["answer"]["coords"]["tp"]["data"] == 4
    with pytest.raises(ValueError, match="hardwrae: no input of this plan; nearest: hardware"):
        ms.run_plan("chat_serving", hardwrae="h100")


def test_several_plans_at_once():
    told = run("keyword_spotting", "edge_vision")
    assert told.exit_code == 0 and told.stdout.index("Keyword spotting") < told.stdout.index("Edge vision")


@pytest.mark.parametrize("ask", ["top", "pareto", "root", "quantiles"])
def test_every_question(ask):
    tables = {"title": "t", "resolver": "serving", "axes": {"tp": [1, 2], "batch_size": "1:9"}}
    tables["inputs"] = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048}
    more = {
        "top": {"ask": "top", "k": 3, "maximize": "tokens_per_s"},
        "pareto": {"ask": "pareto", "minimize": "itl", "maximize": ["tokens_per_s_per_device"], "epsilon": "1 %"},
        "root": {"ask": "root", "unknown": "mem_bandwidth", "target": "itl = 9 ms"},
        "quantiles": {"quantile": "0.1,0.9", "sample": 20},
    }[ask]
    answer = ms.run_plan(tables | more).answer
    assert {"top": "rank", "pareto": "point", "root": "tp", "quantiles": "quantile"}[ask] in answer.dims


@pytest.mark.parametrize("name", [name for name in plans.names() if ms.Plan.read(name).pictures])
def test_pictures_are_drawn_where_one_wants_them(name, tmp_path):
    pytest.importorskip("matplotlib")
    found = ms.run_plan(name, pictures=tmp_path)
    assert [path.name for path in found.drawn] == [f"{name}-{picture.kind}.png" for picture in found.plan.pictures]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in found.drawn)
    assert "1 picture: --pictures DIR draws it" in run(name).stdout


def test_a_page_to_pass_on(tmp_path):
    pytest.importorskip("plotly")
    path = tmp_path / "page.html"
    told = run("keyword_spotting", "green_data_centre", "--report", path)
    assert told.exit_code == 0 and f"The report is in {path}." in told.stderr
    page = path.read_text(encoding="utf-8")
    assert "Keyword spotting and A green data centre" in page and page.count(">PASS<") >= 8


def test_a_page_that_cannot_be_is_refused_before_anything_is_run(tmp_path):
    assert "must end in .html" in run("keyword_spotting", "--report", tmp_path / "page.pdf").stderr
    assert ms.run_plan("keyword_spotting").sections()[1][0] == "Scorecard"


# --- form ----------------------------------------------------------------------------------------------------


def test_the_schema_knows_every_plan_and_refuses_what_the_form_refuses():
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(run("--schema").stdout)
    assert schema == form.schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    check = jsonschema.Draft202012Validator(schema)
    for name in plans.names():
        tables = tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
        assert not list(check.iter_errors(tables)), name
    for wrong in (
        {"titel": "t"},
        {"title": "t"},
        {"title": "t", "resolver": "serving", "ask": "bset"},
        {"title": "t", "resolver": "serving", "inputs": {"tp": [1, 2]}},
        {"title": "t", "resolver": "serving", "where": 3},
    ):
        assert list(check.iter_errors(wrong)), wrong
        with pytest.raises(ValueError):
            ms.Plan.read(wrong)
    assert "batch_size" in schema["properties"]["axes"]["properties"]


@pytest.mark.parametrize(
    ("tables", "words"),
    [
        ({"titel": "t"}, "titel: no such key; nearest: title"),
        ({"title": "t"}, "resolver is missing"),
        ({"title": "t", "resolver": "servign"}, "no resolver is named 'servign'; nearest: ServingModel"),
        ({"ask": "bset"}, "ask='bset': allowed are solve, best, top, pareto, root"),
        ({"where": "utilization < 1"}, "where: goes with ask = 'best' or 'top' or 'pareto', not with 'solve'"),
        ({"ask": "best", "k": 3, "minimize": "response_p99"}, "k: goes with ask = 'top', not with 'best'"),
        (
            {"inputs": {"replicas": [1, 2]}},
            r"inputs.replicas=\[1, 2\]: must be a number, a text, .*several belong to \[axes\]",
        ),
        ({"inputs": {"arrival_rate": "1:4"}}, r"inputs.arrival_rate=1:4: has 3 values: put it in \[axes\]"),
        ({"axes": {"arrival_rate": [1]}}, r"arrival_rate: is in \[inputs\] and in \[axes\]"),
        ({"axes": {"replicsa": [1]}}, "no input 'replicsa'; nearest: replicas"),
        ({"axes": {"replicas": "1:2:3:4:5"}}, "a range is a:b"),
        ({"inputs": {"arrival_rate": {"from": "one.x"}}}, "no step before is named 'one'"),
        ({"inputs": {"arrival_rate": {"from": "one"}}}, "write { from = 'step.output' }"),
        ({"assert": 3}, "assert=3: must be a text or a list of texts"),
        ({"step": [WAIT | {"name": "a"}]}, r"resolver: a plan with \[\[step\]\] has its questions there"),
        ({"picture": [{"kind": "heatmpa"}]}, "picture.kind='heatmpa': no such picture; nearest: heatmap"),
        ({"picture": [{"kind": "heatmap"}]}, "picture heatmap: needs output"),
        ({"picture": [{"kind": "heatmap", "output": "x", "z": "y"}]}, "picture heatmap: has no argument 'z'"),
        ({"picture": [{"kind": "scorecard", "of": "b"}]}, "picture.of='b': no step of this name"),
    ],
)
def test_what_is_no_plan(tables, words):
    whole = tables if "title" in tables or "titel" in tables else WAIT | tables
    with pytest.raises((TypeError, ValueError), match=words):
        ms.Plan.read(whole)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"assert": ["queue_utilisation < 1"]}, "the answer has no 'queue_utilisation'; nearest: queue_utilization"),
        ({"assert": ["response_p99"]}, "assert: 'response_p99': a number, no condition"),
        ({"keep": ["respones_p99"]}, "keep='respones_p99'.*nearest: response_p99"),
    ],
)
def test_what_the_answer_does_not_have(more, words):
    with pytest.raises(ValueError, match=words):
        ms.run_plan(WAIT | more)


def test_files_that_are_none(tmp_path):
    assert "no plan is named 'chat'; nearest: chat_serving" in run("chat").stderr
    assert "no such file" in run(tmp_path / "none.toml").stderr
    path = tmp_path / "broken.toml"
    path.write_text("title = ")
    told = run(path)
    assert told.exit_code == 1 and "broken.toml: no TOML" in told.stderr
    path.write_text('title = "t"\nresolver = "serving"\nwhare = "x"\n')
    assert "broken.toml: whare: no such key; nearest: where" in run(path).stderr
    assert "name a plan" in run().stderr
    assert "is no folder" in run("keyword_spotting", "--pictures", tmp_path / "no").stderr


# --- one after the other on the command line -----------------------------------------------------------------


def test_two_optimizers_chained_on_the_command_line():
    split = "model=gpt3_175b cluster_size=1024 hardware=a100 tokens=300e9 seq_len=2048 global_batch=1536 recompute=selective"
    words = [
        "solve",
        "ParallelismOptimizer",
        *split.split(),
        "schedule=1f1b",
        "then",
        "PlacementOptimizer",
        "region=usa,fra,swe",
    ]
    told = runner().invoke(app, words)
    assert told.exit_code == 0 and "duration <- ParallelismOptimizer.training_time" in told.stdout
    answers = json.loads(runner().invoke(app, [*words, "--json"]).stdout)
    training = answers["ParallelismOptimizer"]["data_vars"]["training_time"]["data"]
    place = answers["PlacementOptimizer"]
    assert place["coords"]["duration"]["data"] == training and place["coords"]["hardware"]["data"] == "a100"
    assert place["coords"]["region"]["data"] in ("fra", "swe") and place["coords"]["n_accelerators"]["data"] == 1024


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["serving", "model=llama3_1_8b", "then"], "then: stands between two resolvers"),
        (["serving", "model=llama3_1_8b", "then", "region=usa"], "region=usa: name a resolver first"),
        (["serving", "then", "serving"], "ServingModel is asked twice"),
        (["serving", "then", "economics", "--keep", "tco"], "keep: write it among the words of the resolver"),
    ],
)
def test_chains_that_cannot_be(words, error):
    told = runner().invoke(app, ["solve", *words])
    assert told.exit_code == 1 and error in told.stderr


def test_the_example_of_the_documentation_holds():
    text = "\n".join(line.removeprefix("    ") for line in plans.__doc__.split("``mlsysim run")[0].splitlines()[2:])
    assert ms.run_plan(tomllib.loads(text)).passed
