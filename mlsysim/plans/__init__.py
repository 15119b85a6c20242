"""Plans: questions in a file, with the conditions that their answers must meet.

`form` says what a file may hold, `read` reads one, `run` asks it, `score` judges the answer, `pictures` draws it.  The files
beside them are plans of their own: ``mlsysim run chat_serving``.
"""

from mlsysim.plans.form import schema
from mlsysim.plans.read import Plan, names
from mlsysim.plans.run import Outcome, run_plan

__all__ = ["Outcome", "Plan", "names", "run_plan", "schema"]
