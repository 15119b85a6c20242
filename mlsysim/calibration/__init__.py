"""Measured runs against predictions: `validate` tells how far they are apart, `calibrate` brings them together.

**What was fitted.**  The defaults of `Assumptions` that say "fitted" stand for something a device or a program does,
never for a source: how close matrix products of training, attention and element-wise work come to what kernels alone
reach, how much of an exchange hides behind computation, what stragglers, host and front end add.  They were fitted by
least squares on the logarithm of predicted over measured, each source of equal weight, with a loss that a wrong row
cannot lead:

* training: seven figures, to the 237 runs of 17 sources in ``benchmarks/measured/training.csv``;
* serving: six figures, to the rows of ``benchmarks/measured/serving.csv`` and to 157 published runs of closed-loop
  load generators that come with the PyPI package aiconfigurator 0.12.0 (not copied here).

Kernel curves of devices (``zoo/curves.csv``) were fitted to kernel latencies alone, before and apart; of TPU v6e one figure,
the share of peak that products reach, to twelve published runs on it.  Nothing was fitted to what ``benchmarks/measure.py``
found on an H100 and an H200, nor to the maximum loads of TensorRT-LLM 1, nor to DeepSeek-R1 under SGLang and TensorRT-LLM
(which widened the intervals of mixtures, no more): their errors stand in the README beside the others.  Grouped products of
experts were fitted to 2,405 measured layers, apart from any run: tiles, width, fullest rank, rate by format.

**Options of frameworks and engines** (``zoo/settings.csv``) follow from their documentation where that says enough;
a setting that was read off published runs is marked `fitted` there, counts as a parameter and is fitted
anew when a source is left out: the traffic of Adam written out tensor by tensor (Megatron-LM up to 2022,
llm-foundry), the cost of element-wise work in eager PyTorch, host time of a step and front-end time of a client of
each serving engine, how often an early decode kernel reads a head that queries share.  What a launch script told its
engine (chunks, how often the scheduler looks at its queue, captured graphs) is a column of the run; for published tables
without such columns ``benchmarks/measured/load_settings.csv`` has it, with the script it was read in.

**With what spread.** Published levels differ for the same layout: by 6 % (one standard deviation) between sources of dense
training in 16 bits and 10 % in 8, by 30 % for mixtures of experts, by 6 % (dense) to 10 % (mixtures) among serving engines
and their builds, by 18 % for the time to the first token. Inside a source 3 to 4 % remain. An engine of which nothing is
known has a level of 11 %, a run that says itself what its program does between kernels, and a cluster whose recipe is stated,
one of 3 %. What a row leaves open beside (slots and acceptance of a cluster, the back end of llama.cpp, rings and trees
between nodes) widens its own interval. `training_level`, `narrow_training_level`, `mixture_level`, `serving_level`,
`mixture_serving_level` and the `*_scatter` carry this into every ``sample=`` and ``quantile=``; so intervals are made of
level and scatter, and `calibrate` on three runs of one's own removes the level.  Of collectives (nccl-tests),
`collective_level` (bytes, 11 %), `collective_step_level` (steps) and `collective_call` carry it.

**What the runs do not fix.**  The overlap of tensor-parallel exchanges, the optimizer traffic of both frameworks
above, the host time of most engines (known to a factor of 2 to 4: a decode step hides it), and anything about a Zipf
law of experts or their imbalance, which move predictions like the speed of grouped products.  ``python
benchmarks/accuracy.py --json`` prints every figure with its standard error, and says of those why.

**What a source leaves open** is filled by rules that are the same for every row: `mlsysim.calibration.training`,
`mlsysim.calibration.serving`, `mlsysim.calibration.networks`; a run that names no framework is taken as usual for its year
(`mlsysim.calibration.frameworks`).

From the outside in: `validate` and `fit` answer the two questions; `figures` is what a fit gives, `holdout` predicts
what was left out; `regression` judges; `system` and `least_squares` solve; `problem` records the runs as calls,
`checks` refuses what cannot be, `overrides` changes models by columns; `runs` reads tables: `text_tables` a file,
`words` and `measures` its headings, `cells` and `columns_of` its cells, `load_files` and `training_files` what tools write.
"""

from mlsysim.calibration.figures import Calibration
from mlsysim.calibration.fit import calibrate
from mlsysim.calibration.validate import Validation, validate

__all__ = ["Calibration", "Validation", "calibrate", "validate"]
