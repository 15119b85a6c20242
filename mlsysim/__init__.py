"""mlsysim: what an ML system will do, cost, emit and break on, over labelled arrays.

    import mlsysim as ms
    ms.ServingModel.solve(model="llama3_1_70b", hardware=["h100", "a100"], tp=[2, 4, 8], seq_len=2048)

Every resolver answers ``solve``, ``best``, ``top``, ``pareto``, ``root`` and ``explain`` over any grid of its
inputs; ``ms.compose`` chains them; ``ms.walls()`` lists what can bind.
"""

# ruff: noqa: I001  (the resolvers stand in the order of their walls)

from glob import glob as _glob

from mlsysim import accessor as accessor, plot, units as units, zoo
from mlsysim.calibration import calibrate, validate
from mlsysim.report import report
from mlsysim.resolver import RESOLVERS, Composition, Model, Resolver, compose, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.search.near import nearest
from mlsysim.stored.files import load, save
from mlsysim.stored.shown import notebook
from mlsysim.version import __version__ as __version__
from mlsysim.walls import walls
from mlsysim.why import compare, trace
from mlsysim.plans import Plan, run_plan
from mlsysim.zoo import Hardware, Workload

# tier 1: Y = f(X)
from mlsysim.models.single_node import SingleNodeModel
from mlsysim.models.efficiency import EfficiencyModel
from mlsysim.models.serving import ServingModel
from mlsysim.models.continuous_batching import ContinuousBatchingModel
from mlsysim.models.disaggregated_serving import DisaggregatedServingModel
from mlsysim.models.weight_streaming import WeightStreamingModel
from mlsysim.models.tail_latency import TailLatencyModel
from mlsysim.models.data import DataModel
from mlsysim.models.transformation import TransformationModel
from mlsysim.models.topology import TopologyModel
from mlsysim.models.scaling import ScalingModel
from mlsysim.models.inference_scaling import InferenceScalingModel
from mlsysim.models.compression import CompressionModel
from mlsysim.models.distributed import DistributedModel
from mlsysim.models.reliability import ReliabilityModel
from mlsysim.models.orchestration import OrchestrationModel
from mlsysim.models.economics import EconomicsModel
from mlsysim.models.sustainability import SustainabilityModel
from mlsysim.models.checkpoint import CheckpointModel
from mlsysim.models.responsible import ResponsibleEngineeringModel

# tier 2: X = f^-1(Y)
from mlsysim.solvers.sensitivity import SensitivitySolver
from mlsysim.solvers.synthesis import SynthesisSolver

# tier 3: max f(X)
from mlsysim.optimizers.batching import BatchingOptimizer
from mlsysim.optimizers.disaggregation import DisaggregationOptimizer
from mlsysim.optimizers.parallelism import ParallelismOptimizer
from mlsysim.optimizers.placement import PlacementOptimizer

RESOLVERS.update({r.name: r for r in list(globals().values()) if isinstance(r, Resolver)})

# the package of another project bears the same name on PyPI (mlsysim-sweep is ours): one look at what lies beside this one
if _glob("mlsysim-*.dist-info", root_dir=f"{__path__[0]}/.."):
    import warnings as _warnings

    import mlsweep as _mlsweep

    _warnings.warn(_mlsweep.clash(), stacklevel=2)

__all__ = [
    "RESOLVERS",
    "Assumptions",
    "BatchingOptimizer",
    "CheckpointModel",
    "Composition",
    "CompressionModel",
    "ContinuousBatchingModel",
    "DataModel",
    "DisaggregatedServingModel",
    "DisaggregationOptimizer",
    "DistributedModel",
    "EconomicsModel",
    "EfficiencyModel",
    "Hardware",
    "InferenceScalingModel",
    "Model",
    "OrchestrationModel",
    "ParallelismOptimizer",
    "PlacementOptimizer",
    "Plan",
    "ReliabilityModel",
    "Resolver",
    "ResponsibleEngineeringModel",
    "ScalingModel",
    "SensitivitySolver",
    "ServingModel",
    "SingleNodeModel",
    "SustainabilityModel",
    "SynthesisSolver",
    "TailLatencyModel",
    "TopologyModel",
    "TransformationModel",
    "WeightStreamingModel",
    "Workload",
    "__version__",
    "calibrate",
    "compare",
    "compose",
    "kernel",
    "load",
    "nearest",
    "notebook",
    "plot",
    "report",
    "run_plan",
    "save",
    "trace",
    "validate",
    "walls",
    "zoo",
]
