"""Plans: questions in a file, with the conditions that their answers must meet.

    title = "Chat serving"
    resolver = "serving"                     # as on the command line; a+b composes
    ask = "best"                             # solve, best, top, pareto or root
    minimize = "usd_per_mtok"
    where = ["ttft < 2 s", "itl < 50 ms"]    # of the search
    assert = ["usd_per_mtok < 6"]            # of the answer: at each point that works; "some ..." at one of them

    [inputs]                                 # one value each
    model = "llama3_1_70b"
    seq_len = 1024
    output_len = 256

    [axes]                                   # several: lists, or ranges of the command line
    hardware = ["h100", "h200"]
    tp = [2, 4, 8]
    batch_size = "1:256:log2"

``mlsysim run FILE.toml`` asks it and exits 2 when a condition fails or nothing works.  Several questions are ``[[step]]``, each
with a name; an input ``{ from = "step.output" }`` takes a figure of an earlier one.  ``[[picture]]`` names a function of
`mlsysim.plot`.  ``mlsysim run --schema`` prints all keys as a JSON schema.

`form` says what a file may hold, `read` reads one, `run` asks it, `score` judges the answer, `pictures` draws it.  The files
beside them come along: ``mlsysim run chat_serving``.
"""

from mlsysim.plans.form import schema
from mlsysim.plans.read import Plan, names
from mlsysim.plans.run import Outcome, run_plan

__all__ = ["Outcome", "Plan", "names", "run_plan", "schema"]
