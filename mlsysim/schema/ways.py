"""What may be given in several ways, of which a resolver needs one: resolver -> the inputs of each way."""

WAYS: dict[str, tuple[tuple[str, ...], ...]] = {
    "DataModel": (("workload_data_rate",), ("samples_per_s", "sample_bytes")),
    "TransformationModel": (("sample_cpu_time",), ("cpu_throughput",)),
    "TopologyModel": (("n_nodes",), ("n_accelerators",), ("side_x",), ("side_y",), ("side_z",)),
    "ScalingModel": (("compute_budget",), ("hardware", "n_accelerators", "duration"), ("params", "tokens")),
}
