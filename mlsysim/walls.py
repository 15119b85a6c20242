"""The 22 walls: the constraints that an ML system meets, and the resolver that evaluates each."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd


class Wall(NamedTuple):
    """One constraint."""

    number: int
    name: str
    domain: str
    resolver: str
    equation: str
    binds_when: str
    source: str


WALLS = tuple(
    Wall(*row)
    for row in (
        (
            1,
            "Compute",
            "node",
            "SingleNodeModel",
            "T = ops / (peak x eta)",
            "operations per byte exceed the ridge point, peak over bandwidth: training, prefill, large batches",
            "Williams 2009",
        ),
        (
            2,
            "Memory",
            "node",
            "SingleNodeModel",
            "T = bytes / bandwidth",
            "operations per byte stay below the ridge point: decode, small batches, element-wise work",
            "Williams 2009",
        ),
        (
            3,
            "Software",
            "node",
            "EfficiencyModel",
            "eta = achieved / peak",
            "kernels reach less of the peak than the roofline allows: narrow products, short sequences, many launches",
            "Chowdhery 2022; Dao 2022",
        ),
        (
            4,
            "Serving",
            "node",
            "ServingModel",
            "prefill: ops / peak; decode: bytes / bandwidth",
            "weights and cache exceed the device, or a prompt or a token takes longer than promised",
            "Pope 2023; Yu 2022",
        ),
        (
            5,
            "Batching",
            "node",
            "ContinuousBatchingModel",
            "N_max = KV pool / E[blocks]",
            "the cache of the running requests fills the memory before the batch fills the arithmetic",
            "Kwon 2023",
        ),
        (
            6,
            "Streaming",
            "node",
            "WeightStreamingModel",
            "T = max(weights / injection, compute)",
            "weights do not fit on the chip and stream in more slowly than they are used",
            "Lie 2022",
        ),
        (
            7,
            "Tail latency",
            "node",
            "TailLatencyModel",
            "P(W > x) = C(c, a) exp(-(c mu - lambda) x)",
            "replicas are busy most of the time, or one request waits for the slowest of many",
            "Erlang 1917; Dean and Barroso 2013",
        ),
        (
            8,
            "Ingestion",
            "data",
            "DataModel",
            "rho = demand / supply",
            "the input pipeline delivers fewer bytes per second than a step consumes",
            "Mohan 2022",
        ),
        (
            9,
            "Transformation",
            "data",
            "TransformationModel",
            "T = B s / R",
            "the cores of the host prepare a batch more slowly than the accelerator consumes it",
            "Murray 2021",
        ),
        (
            10,
            "Locality",
            "data",
            "TopologyModel",
            "bisection / oversubscription",
            "more traffic crosses the middle of the network than its links carry, or starts outweigh bytes",
            "Leiserson 1985; Dally and Towles 2003",
        ),
        (
            11,
            "Complexity",
            "algorithm",
            "ScalingModel",
            "C = 6 N D; L = E + A/N^a + B/D^b",
            "the compute budget is spent on too large a model or on too many tokens",
            "Hoffmann 2022",
        ),
        (
            12,
            "Reasoning",
            "algorithm",
            "InferenceScalingModel",
            "T = sum over steps",
            "answers take many tokens one after another: time and cost grow with every reasoning step",
            "Wei 2022; Snell 2024",
        ),
        (
            13,
            "Fidelity",
            "algorithm",
            "CompressionModel",
            "ratio against accuracy",
            "fewer bits or weights cost more accuracy than the speed is worth",
            "Han 2015; Gholami 2021",
        ),
        (
            14,
            "Communication",
            "fleet",
            "DistributedModel",
            "T = alpha + bytes / bandwidth",
            "what must be exchanged takes longer than the computation that hides it",
            "Shoeybi 2019; Patarasuk and Yuan 2009",
        ),
        (
            15,
            "Fragility",
            "fleet",
            "ReliabilityModel",
            "MTBF = 1 / sum of rates",
            "the mean time between failures nears the time to save and restart",
            "Young 1974; Daly 2006",
        ),
        (
            16,
            "Multi-tenant",
            "fleet",
            "OrchestrationModel",
            "L = lambda W",
            "jobs ask for nearly as many device-hours as there are: queues grow without end",
            "Little 1961",
        ),
        (
            17,
            "Capital",
            "operations",
            "EconomicsModel",
            "TCO = CapEx + OpEx",
            "the hardware stands idle, or the run is too short to spread its price",
            "Barroso 2018",
        ),
        (
            18,
            "Sustainability",
            "operations",
            "SustainabilityModel",
            "carbon = energy x PUE x intensity + embodied",
            "the grid is dirty, the building wasteful, or chips are replaced before they are worn out",
            "Patterson 2022",
        ),
        (
            19,
            "Checkpoint",
            "operations",
            "CheckpointModel",
            "penalty = write / interval",
            "writing a checkpoint takes long against the interval between two",
            "Eisenman 2022",
        ),
        (
            20,
            "Safety",
            "operations",
            "ResponsibleEngineeringModel",
            "noise against epsilon",
            "epsilon is small: the noise asks for larger batches, or for more data than there is",
            "Abadi 2016",
        ),
        (
            21,
            "Sensitivity",
            "analysis",
            "SensitivitySolver",
            "d ln y / d ln x",
            "always: of all inputs, the one with the largest elasticity is worth most",
            "Williams 2009",
        ),
        (
            22,
            "Synthesis",
            "analysis",
            "SynthesisSolver",
            "x = f^-1(y)",
            "the hardware at hand misses a target: the figure that it lacks is the wall",
            "Williams 2009",
        ),
    )
)


def walls() -> pd.DataFrame:
    """The 22 walls as a table: number, name, domain, resolver, equation, when it binds, source.

    >>> walls().loc[14, "resolver"]
    'DistributedModel'
    """
    import pandas as pd

    return pd.DataFrame(WALLS).set_index("number")
