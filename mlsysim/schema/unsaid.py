"""What a resolver takes an answer to rest on where an input is not given and its default decides much.

Resolver -> inputs, of which none is given -> what is assumed.  The sentences stand in ``attrs["assumed"]`` of a result.
"""

from collections.abc import Collection, Iterable

UNSAID: dict[str, dict[tuple[str, ...], str]] = {
    "EconomicsModel": {
        (
            "compute_utilization",
        ): "compute_utilization is compute_activity (0.8 of full load while in use, as in a training)",
    },
    "SustainabilityModel": {
        (
            "compute_utilization",
        ): "compute_utilization is compute_activity (0.8 of full load while in use, as in a training)",
    },
    "OrchestrationModel": {
        ("devices_per_job",): "devices_per_job is the whole cluster: one job runs at a time",
    },
    "TransformationModel": {
        ("cores", "sample_cpu_time"): "cores is 1: cpu_throughput is that of all cores together",
        ("sample_bytes", "sample_cpu_time"): "without sample_bytes, cpu_throughput counts samples per second",
        ("step_time",): "without step_time nothing says whether the accelerator waits",
    },
    "ResponsibleEngineeringModel": {
        ("epsilon", "noise_multiplier"): "without epsilon and noise, dp_slowdown is that of one step",
        ("model",): "without model, one of 8.9e6 parameters (Wide-ResNet-40-4)",
        ("batch_size",): "batch_size is 256 (or all samples)",
        ("dataset_size",): "dataset_size is as for 50,000 samples in batches of 256",
        ("epochs", "training_steps"): "epochs is 200",
    },
}


def assumed(resolvers: Iterable[str], given: Collection[str], inputs: Collection[str]) -> list[str]:
    """Sentences for some resolvers: of inputs that they have (and no other resolver feeds) and nobody gave."""
    found: dict[str, None] = {}
    for resolver in resolvers:
        for names, sentence in UNSAID.get(resolver, {}).items():
            if names[0] in inputs and not any(name in given for name in names):
                found[sentence] = None
    return list(found)
