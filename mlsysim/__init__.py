"""mlsysim: what an ML system will do, cost, emit and break on, over labelled arrays.

    import mlsysim as ms
    ms.ServingModel.solve(model="llama3_1_70b", hardware=["h100", "a100"], tp=[2, 4, 8], seq_len=2048)

Every resolver answers ``solve``, ``best``, ``top``, ``pareto``, ``root`` and ``explain`` over any grid of its
inputs; ``ms.compose`` chains them; ``ms.walls()`` lists what can bind.
"""

__version__ = "0.1.0"

from mlsysim import zoo
from mlsysim.models.data import DataModel
from mlsysim.models.economics import EconomicsModel
from mlsysim.models.scaling import ScalingModel
from mlsysim.models.serving import ServingModel
from mlsysim.models.sustainability import SustainabilityModel
from mlsysim.models.transformation import TransformationModel
from mlsysim.models.distributed import DistributedModel
from mlsysim.models.efficiency import EfficiencyModel
from mlsysim.models.single_node import SingleNodeModel
from mlsysim.models.checkpoint import CheckpointModel
from mlsysim.models.continuous_batching import ContinuousBatchingModel
from mlsysim.models.orchestration import OrchestrationModel
from mlsysim.models.reliability import ReliabilityModel
from mlsysim.models.tail_latency import TailLatencyModel
from mlsysim.models.topology import TopologyModel
from mlsysim.models.compression import CompressionModel
from mlsysim.models.responsible import ResponsibleEngineeringModel
from mlsysim.resolver import Composition, Model, Optimizer, Resolver, Solver, compose, kernel
from mlsysim.schema.records import Assumptions
from mlsysim.optimizers.parallelism import ParallelismOptimizer
from mlsysim.optimizers.placement import PlacementOptimizer
from mlsysim.solvers.sensitivity import SensitivitySolver
from mlsysim.solvers.synthesis import SynthesisSolver
from mlsysim.walls import walls
from mlsysim.zoo import Hardware, Workload

#: Every public resolver by name.
RESOLVERS: dict[str, Resolver] = {r.name: r for r in list(globals().values()) if isinstance(r, Resolver)}

__all__ = [
    "RESOLVERS",
    "Assumptions",
    "Composition",
    "Hardware",
    "Model",
    "Optimizer",
    "Resolver",
    "Solver",
    "Workload",
    "compose",
    "kernel",
    "walls",
    "zoo",
    *RESOLVERS,
]
