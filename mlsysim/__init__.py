"""mlsysim: what an ML system will do, cost, emit and break on, over labelled arrays.

    import mlsysim as ms
    ms.ServingModel.solve(model="llama3_1_70b", hardware=["h100", "a100"], tp=[2, 4, 8], seq_len=2048)

Every resolver answers ``solve``, ``best``, ``top``, ``pareto``, ``root`` and ``explain`` over any grid of its
inputs; ``ms.compose`` chains them; ``ms.walls()`` lists what can bind.
"""

# ruff: noqa: I001  (the resolvers stand in the order of their walls)

from mlsysim import zoo
from mlsysim.calibration import calibrate, validate
from mlsysim.resolver import Composition, Model, Resolver, compose, kernel
from mlsysim.schema.assumptions import Assumptions
from mlsysim.version import __version__ as __version__
from mlsysim.walls import walls
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

#: Every public resolver by name, in the order of the walls.
RESOLVERS: dict[str, Resolver] = {r.name: r for r in list(globals().values()) if isinstance(r, Resolver)}

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
    "compose",
    "kernel",
    "validate",
    "walls",
    "zoo",
]
