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
    source: str


WALLS = tuple(
    Wall(*row)
    for row in (
        (1, "Compute", "node", "SingleNodeModel", "T = ops / (peak x eta)", "Williams 2009"),
        (2, "Memory", "node", "SingleNodeModel", "T = bytes / bandwidth", "Williams 2009"),
        (3, "Software", "node", "EfficiencyModel", "eta = achieved / peak", "Chowdhery 2022; Dao 2022"),
        (4, "Serving", "node", "ServingModel", "prefill: ops / peak; decode: bytes / bandwidth", "Pope 2023; Yu 2022"),
        (5, "Batching", "node", "ContinuousBatchingModel", "N_max = KV pool / E[blocks]", "Kwon 2023"),
        (6, "Streaming", "node", "WeightStreamingModel", "T = max(weights / injection, compute)", "Lie 2022"),
        (
            7,
            "Tail latency",
            "node",
            "TailLatencyModel",
            "P(W > x) = C(c, a) exp(-(c mu - lambda) x)",
            "Erlang 1917; Dean and Barroso 2013",
        ),
        (8, "Ingestion", "data", "DataModel", "rho = demand / supply", "Mohan 2022"),
        (9, "Transformation", "data", "TransformationModel", "T = B s / R", "Murray 2021"),
        (
            10,
            "Locality",
            "data",
            "TopologyModel",
            "bisection / oversubscription",
            "Leiserson 1985; Dally and Towles 2003",
        ),
        (11, "Complexity", "algorithm", "ScalingModel", "C = 6 N D; L = E + A/N^a + B/D^b", "Hoffmann 2022"),
        (12, "Reasoning", "algorithm", "InferenceScalingModel", "T = sum over steps", "Wei 2022; Snell 2024"),
        (13, "Fidelity", "algorithm", "CompressionModel", "ratio against accuracy", "Han 2015; Gholami 2021"),
        (
            14,
            "Communication",
            "fleet",
            "DistributedModel",
            "T = alpha + bytes / bandwidth",
            "Shoeybi 2019; Patarasuk and Yuan 2009",
        ),
        (15, "Fragility", "fleet", "ReliabilityModel", "MTBF = 1 / sum of rates", "Young 1974; Daly 2006"),
        (16, "Multi-tenant", "fleet", "OrchestrationModel", "L = lambda W", "Little 1961"),
        (17, "Capital", "operations", "EconomicsModel", "TCO = CapEx + OpEx", "Barroso 2018"),
        (
            18,
            "Sustainability",
            "operations",
            "SustainabilityModel",
            "carbon = energy x PUE x intensity + embodied",
            "Patterson 2022",
        ),
        (19, "Checkpoint", "operations", "CheckpointModel", "penalty = write / interval", "Eisenman 2022"),
        (20, "Safety", "operations", "ResponsibleEngineeringModel", "noise against epsilon", "Abadi 2016"),
        (21, "Sensitivity", "analysis", "SensitivitySolver", "d ln y / d ln x", "Williams 2009"),
        (22, "Synthesis", "analysis", "SynthesisSolver", "x = f^-1(y)", "Williams 2009"),
    )
)


def walls() -> pd.DataFrame:
    """The 22 walls as a table: number, name, domain, resolver, equation, source.

    >>> walls().loc[14, "resolver"]
    'DistributedModel'
    """
    import pandas as pd

    return pd.DataFrame(WALLS).set_index("number")
