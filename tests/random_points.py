"""Random valid points of every model, thousands in one table, and what no answer to them may hold.

`table` draws the columns of one ``points=`` call from the signature, the schema and the registries: ordinary values,
values far outside what occurs, and values on the bounds.  `flaws` holds an answer against the schema.
"""

import math

import numpy as np
from strategies import RANGES, SCALES

import mlsysim as ms
from mlsysim import zoo
from mlsysim.engine.parameters import REQUIRED
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.records import Accelerator, Fleet, Site, Workload
from mlsysim.schema.variables import LARGEST, SMALLEST, VARIABLES

ROUNDING = 1e-12  #: by how much, relative to it, a value may miss a bound for rounding

#: models of every kind: windowed ones, hybrids, mixtures, latent attention, encoders, networks that are no transformers
WINDOWED = ("mistral_7b", "gemma2_27b", "gemma3_27b", "gpt_oss_20b", "gpt_oss_120b", "llama4_maverick")
KINDS = (
    *WINDOWED,
    "llama3_1_8b",
    "llama3_1_70b",
    "gpt3_175b",
    "falcon_40b",
    "mixtral_8x7b",
    "deepseek_v3",
    "qwen3_30b_a3b",
    "mamba_2_8b",
    "bert_large",
    "t5_base",
    "whisper_large_v3",
    "vit_b16",
    "resnet50",
    "dlrm_mlperf_v1",
    "sdxl_unet",
    "mlperf_tiny_kws_dscnn",
)
#: devices of every kind: for training, for serving, for one desk, and microcontrollers
DEVICES = (
    "h100",
    "a100",
    "h200",
    "b200",
    "mi300x",
    "gaudi3",
    "tpu_v5p",
    "l40s",
    "t4",
    "v100_sxm2_16gb",
    "rtx_4090",
    "jetson_orin_nano_8gb",
    "apple_m2_max",
    "xeon_platinum_8480",
    "cerebras_wse3",
    "coral_edge_tpu",
    "stm32f407",
    "rp2040",
)
#: devices about which everything is published, prices and powers too
KNOWN = ("h100", "a100", "h200", "b200", "mi300x")
SYSTEMS = ("dgx_h100", "dgx_a100", "gb200_nvl72", "tpu_v5p_pod", "meta_rsc1", "lab_64_h100", "hgx_h100_generic")
REGIONS = ("usa", "deu", "fra", "swe", "ind")
#: degrees of parallelism: powers of two where they are not odd, most often one
DEGREES = ("tp", "pp", "cp", "ep", "expert_tp", "dp", "virtual_stages", "replicas")


def _between(rng, low, high, n):
    """Values spread evenly over the orders of magnitude."""
    return np.exp(rng.uniform(math.log(low), math.log(high), n))


def usual(rng, name: str, n: int, around: float | None = None):
    """Values that occur."""
    variable = VARIABLES[name]
    if name in DEGREES:
        return 2.0 ** np.maximum(rng.integers(-3, 4, n), 0)
    if around is not None and around > 0 and math.isfinite(around):
        return around * np.exp(rng.normal(0.0, 1.0, n))
    if variable.high <= 1.0:
        return rng.uniform(variable.low, variable.high, n)
    low, high = RANGES.get(name, (1, 64) if variable.kind == "count" else SCALES.get(variable.unit, (1e-3, 1e3)))
    return _between(rng, max(low, 1e-3 * high, 1e-12) if low <= 0 else low, high, n)


def odd(rng, name: str, n: int):
    """Values far outside, and on the bounds."""
    variable = VARIABLES[name]
    largest = 2.0**52 if variable.kind == "count" else LARGEST
    low, high = max(variable.low, SMALLEST), min(variable.high, largest)
    wide = _between(rng, low, high, n)
    edge = rng.choice([variable.low if not variable.above else low, high], n)
    return np.where(rng.random(n) < 0.7, wide, edge)


def column(rng, name: str, n: int, far, around: float | None = None):
    """Values of one input, as numbers; `far` says in which rows they are odd."""
    short = name.rsplit(".", 1)[-1]
    if short not in VARIABLES:  # an assumption that no output shares
        return around * np.exp(rng.normal(0.0, 0.3, n))
    variable = VARIABLES[short]
    if variable.kind == "option":
        return rng.choice([int(code) for code in variable.options], n).astype(float)
    if variable.kind == "flag":
        return rng.integers(0, 2, n).astype(float)
    values = np.where(far, odd(rng, short, n), usual(rng, short, n, around))
    if variable.kind == "count":
        values = np.rint(values)
    low = variable.low if not variable.above else max(variable.low + 1e-12, SMALLEST)
    return np.clip(values, max(low, 1.0) if variable.kind == "count" and variable.low > 0 else low, variable.high)


def devices(rng, known: bool) -> list:
    """Some devices of the zoo, and some of one's own."""
    names = list(KNOWN if known else DEVICES)
    picked = [str(name) for name in rng.choice(names, min(len(names), 8), replace=False)]
    own = {
        "mem_bandwidth": _between(rng, 1e8, 1e15, 3),
        "mem_capacity": _between(rng, 1e5, 1e13, 3),
        "peak_flops": _between(rng, 1e9, 1e18, 3),
        "host_bandwidth": _between(rng, 1e7, 1e12, 3),
        "link_bandwidth": _between(rng, 1e7, 1e13, 3),
        "tdp": _between(rng, 0.1, 1e5, 3),
    }
    mine = [ms.Hardware(KNOWN[i], name=f"mine {i}", **{k: float(v[i]) for k, v in own.items()}) for i in range(3)]
    return [*picked, *mine]


def models(rng) -> list:
    """Some models of the zoo, and some of one's own."""
    picked = [str(name) for name in rng.choice([n for n in KINDS if n not in WINDOWED], 8, replace=False)]
    picked += [str(name) for name in rng.choice(WINDOWED, 3, replace=False)]
    mine = []
    for i in range(3):
        groups, kv = (int(2 ** rng.integers(0, 4)) for _ in range(2))
        layers = int(rng.integers(1, 200))
        mine.append(
            ms.Workload(
                name=f"mine {i}",
                n_layers=layers,
                hidden=int(64 * rng.integers(1, 300)),
                n_heads=groups * kv,
                n_kv_heads=kv,
                head_dim=int(rng.choice([32, 64, 128, 256])),
                ffn_hidden=int(64 * rng.integers(1, 900)),
                gated_ffn=int(rng.integers(2)),
                vocab=int(rng.integers(1, 300_000)),
                local_layers=int(rng.integers(0, layers + 1)),
                sliding_window=int(rng.choice([1, 128, 1024, 4096])),
                tied_embeddings=int(rng.integers(2)),
            )
        )
    return [*picked, *mine]


def _picked(rng, rows: list, n: int) -> np.ndarray:
    found = np.empty(n, dtype=object)
    found[:] = [rows[i] for i in rng.integers(len(rows), size=n)]
    return found


def _rows(rng, parameters, n: int, known: bool) -> dict:
    """Columns that pick the rows of the records."""
    kinds = {p.record for p in parameters.values() if p.record is not None}
    drawn: dict = {}
    for name, p in parameters.items():
        if p.record not in (Workload, Accelerator) or (p.default is not REQUIRED and rng.random() < 0.5):
            continue
        drawn[name] = _picked(rng, models(rng) if p.record is Workload else devices(rng, known), n)
        if p.record is Accelerator and rng.random() < 0.6:
            drawn[f"{name.removesuffix('hardware')}precision"] = rng.choice(
                ["fp32", "fp16", "bf16", "fp8", "int8", "int4"], n
            )
    if Fleet in kinds and (Accelerator not in kinds or rng.random() < 0.3):
        drawn["fleet"] = rng.choice(SYSTEMS, n)
    if Site in kinds:
        drawn["region"] = rng.choice(REGIONS, n)
    return drawn


def _fields(rng, parameters, n: int, far) -> dict:
    """Columns that replace single fields of the records."""
    drawn = {}
    h100 = {
        "hardware": zoo.accelerator_record(zoo.hardware("h100"), 3),
        "fleet": zoo.fleet_record(None, zoo.hardware("h100")),
        "assume": Assumptions(),
    }
    for name, p in parameters.items():
        if p.record in (Accelerator, Fleet, Assumptions) and p.default is REQUIRED and name in h100:
            for field in rng.choice(p.record._fields, rng.integers(0, 4), replace=False):
                drawn[f"{name}.{field}"] = column(rng, str(field), n, far(), getattr(h100[name], field))
    return drawn


def table(name: str, rng: np.random.Generator, n: int) -> dict:
    """Columns of `n` random points of one model; which inputs they name is drawn as well.

    In half of the rows every value is one that occurs, in the others each value is odd with a chance of its own.
    """
    parameters = ms.RESOLVERS[name].parameters()
    chance = rng.choice([0.0, 0.0, 0.05, 0.3], n)

    def far():
        return rng.random(n) < chance

    drawn = _rows(rng, parameters, n, known=rng.random() < 0.5)
    for parameter, p in parameters.items():
        if p.record is None and (p.default is REQUIRED or rng.random() < 0.6):
            drawn[parameter] = column(rng, parameter, n, far())
    if "cached_prefix" in drawn:  # a part of the prompt, mostly
        drawn["cached_prefix"] = np.where(
            far(), drawn["cached_prefix"], np.floor(rng.random(n) * drawn.get("seq_len", 2048.0))
        )
    return _consistent(rng, drawn, n) | _fields(rng, parameters, n, far)


def _consistent(rng, drawn: dict, n: int) -> dict:
    """Most batches are what the layout divides, and most runs have the devices that it takes."""

    def of(name):
        return drawn.get(name, np.ones(n))

    if "global_batch" in drawn:
        if "n_accelerators" in drawn and "dp" in drawn:
            layout = of("tp") * of("pp") * of("cp") * of("dp")
            drawn["n_accelerators"] = np.where((rng.random(n) < 0.9) & (layout < 1e12), layout, drawn["n_accelerators"])
        ranks = of("dp") if "dp" in drawn else np.maximum(drawn.get("n_accelerators", np.ones(n)), 1.0)
        rounds = np.minimum(of("micro_batch") * ranks * 2.0 ** rng.integers(0, 7, n), 1e12)
        drawn["global_batch"] = np.where(rng.random(n) < 0.9, np.rint(rounds), drawn["global_batch"])
        if "seq_len" in drawn:
            drawn["seq_len"] = np.where(rng.random(n) < 0.9, 2.0 ** rng.integers(6, 18, n), drawn["seq_len"])
    return drawn


# --- what no answer may hold ---------------------------------------------------------------------------

#: outputs that say how far one would have to go: infinite where no such point exists
#: (`loss_delta`: a loss at which all the accuracy at stake is gone; `usd_per_success`: nothing ever succeeds)
NEVER = {
    "break_even_duration",
    "break_even_utilization",
    "equal_utility_batch",
    "equal_utility_dataset",
    "loss_delta",
    "usd_per_success",
}
#: shares of what there is that are in use
IN_USE = ("memory_utilization", "queue_utilization")


def _worst(points: np.ndarray, values: np.ndarray) -> str:
    first = int(np.flatnonzero(points)[0])
    return f"{int(points.sum())} of {points.size}, first at {first}: {float(values.reshape(-1)[first])!r}"


def flaws(dataset) -> dict[str, dict[str, str]]:
    """What is wrong with an answer: kind of flaw -> output -> how many points, and the first.

    * ``nan``: not a number, although no limit says why;
    * ``bounds``: beyond the schema's bounds of the output (`ROUNDING` relative to the bound is allowed);
    * ``capacity``: feasible, and more in use than there is;
    * ``infinite``: feasible, and a time, an energy, a price or a size without end.
    """
    found: dict[str, dict[str, str]] = {"nan": {}, "bounds": {}, "capacity": {}, "infinite": {}}
    outputs = {str(k): v for k, v in dataset.data_vars.items()}
    model = ms.RESOLVERS[dataset.attrs["resolver"]]
    unknown = "feasible" in model.outputs and "feasible" not in outputs  # some device lacks a datum that decides it
    works = np.array(not unknown)
    offload = dataset.coords.get("offload")  # what does not fit then lives in host memory
    to_host = np.array(False) if offload is None else _along(offload, list(dataset.dims)).astype(bool)

    def told(kind, output, points, values):
        points = np.broadcast_to(points, np.broadcast_shapes(np.shape(points), values.shape))
        if points.any():
            found[kind][output] = _worst(points, np.broadcast_to(values, points.shape))

    for output, array in outputs.items():
        variable = VARIABLES[output]
        dims = list(dataset.dims)
        where = _along(outputs["feasible"], dims).astype(bool) if "feasible" in outputs else works
        values = _along(array, dims).astype(float)
        told("nan", output, np.isnan(values) & where, values)
        low, high = (
            bound if math.isinf(bound) else bound * (1.0 + way * ROUNDING)
            for bound, way in ((variable.low, -1.0 if variable.low > 0 else 1.0), (variable.high, 1.0))
        )
        beyond = (values < low) | (values > high)
        if variable.above:
            beyond |= where & (values == variable.low)
        if variable.kind in ("count", "flag", "option"):
            beyond |= np.isfinite(values) & (values != np.rint(values))
        if variable.options is not None:
            beyond |= ~np.isin(values, [int(code) for code in variable.options])
        told("bounds", output, beyond, values)
        if output in IN_USE:
            told(
                "capacity",
                output,
                where & ~(to_host & (output == "memory_utilization")) & (values > 1.0 + ROUNDING),
                values,
            )
        if output not in NEVER and variable.better == "less":
            told("infinite", output, where & np.isinf(values), values)
    if "feasible" in outputs and "limit" in outputs:
        differ = (outputs["limit"].values == 0) != outputs["feasible"].values
        told("capacity", "limit", differ, outputs["limit"].values.astype(float))
    return {kind: by for kind, by in found.items() if by}


def _along(array, dims) -> np.ndarray:
    """The values of an array, shaped to broadcast over `dims`."""
    moved = np.transpose(array.values, [array.dims.index(d) for d in dims if d in array.dims])
    sizes = iter(moved.shape)
    return moved.reshape([next(sizes) if d in array.dims else 1 for d in dims])
