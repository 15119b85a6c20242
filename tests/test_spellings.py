"""One question in several spellings: a field by its name, by its dotted name, or in a row of one's own.

Whatever is derived from a field follows it in every spelling, in every search, and a better device is never slower.
The physics is a function of the leaves of a call, so most of these tests compare leaves and evaluate nothing.
"""

import functools
import warnings
from dataclasses import replace

import numpy as np
import pytest
import xarray as xr

import mlsysim as ms
from mlsysim import zoo
from mlsysim.engine.bind import Binder
from mlsysim.engine.leaves import expand
from mlsysim.schema.codes import Limit
from mlsysim.schema.records import Accelerator, Fleet, Format, Site, Workload
from mlsysim.schema.variables import VARIABLES

#: values stand for a field whatever it measures: most are far from the usual
pytestmark = pytest.mark.filterwarnings("ignore:.*far from the usual")

CHIP = zoo.Hardware(
    name="chip",
    peak_flops="500 TFLOP/s",
    mem_bandwidth="2 TB/s",
    mem_capacity="64 GB",
    tdp="500 W",
    host_bandwidth="60 GB/s",
    sram_capacity="50 MB",
)
#: one device of each kind: own links, links that are the host's, a torus, a chassis that uses a part of the links
DEVICES = ["h100", "mi300x", "a100", "tpu_v5p", "l40s", "gaudi2", "jetson_agx_orin_64gb", "cerebras_wse3", CHIP]
MODELS = ["llama3_1_8b", "deepseek_v3", "mixtral_8x7b", "bert_large", "t5_base", "mamba_2_8b", "resnet50"]
SYSTEMS = ["dgx_h100", "gb200_nvl72", "tpu_v5p_pod", "gaudi2_x8"]
FACTORS = np.array([0.5, 1.0, 2.0])

TRAIN = {"model": "llama3_1_8b", "global_batch": 512, "seq_len": 4096, "tp": 8, "dp": 64}
SERVE = {"model": "llama3_1_8b", "seq_len": 2048, "batch_size": 8, "tp": 4}
RUN = {"region": "usa", "duration": 1e7, "n_accelerators": 64, "compute_utilization": 0.4, "memory_activity": 0.3}
#: a call of every resolver that reads a device
CALLS = {
    ms.DistributedModel: TRAIN,
    ms.ServingModel: SERVE,
    ms.ContinuousBatchingModel: {
        "model": "llama3_1_8b",
        "seq_len": 2048,
        "tp": 4,
        "max_batch": 32,
        "arrival_rate": 1.0,
    },
    ms.InferenceScalingModel: {"model": "llama3_1_8b", "reasoning_steps": 4, "tp": 4},
    ms.SingleNodeModel: {"model": "llama3_1_8b", "batch_size": 8},
    ms.EfficiencyModel: {"model": "llama3_1_8b", "batch_size": 8},
    ms.WeightStreamingModel: {"model": "llama3_1_8b", "batch_size": 8, "phase": "decode"},
    ms.CompressionModel: {"model": "llama3_1_8b", "bits": 4},
    ms.CheckpointModel: {"model": "llama3_1_8b", "n_accelerators": 64},
    ms.EconomicsModel: RUN,
    ms.SustainabilityModel: RUN,
    ms.DataModel: {"samples_per_s": 300.0, "sample_bytes": "110 kB", "storage_bandwidth": "2 GB/s"},
    ms.ScalingModel: {"n_accelerators": 1024, "duration": "30 days", "tokens": "2T"},
}


def leaves(resolver, **inputs):
    """The leaves of a call, bound and not recorded."""
    binder = Binder(resolver.parameters(set(inputs)), resolver.name)
    for name, value in inputs.items():
        binder.add(name, value)
    for parameter in binder.parameters.values():
        if parameter.record is not None:
            binder.record(parameter)
    return binder.leaves


def table(found, *axes):
    """Leaves as one array, over leaves and some axes."""
    spread = [expand(leaf.values, leaf.dims, axes) for leaf in found.values()]
    whole = np.empty((len(spread), *np.broadcast_shapes(*(one.shape for one in spread))))
    for i, one in enumerate(spread):
        whole[i] = one
    return whole


def values(field, base):
    """Values of a field around what it is, inside its bounds; none where nothing around it is allowed."""
    variable = VARIABLES[field]
    if variable.kind == "flag":
        return np.array([0.0, 1.0])
    found = (8.0 if base is None or not base else base) * FACTORS
    found = np.rint(found) if variable.kind == "count" else found
    found = np.unique(np.clip(found, variable.low, variable.high))
    return found[found > variable.low] if variable.above else found


def tried(make, base, field):
    """Own rows that differ in one field, and the values with which they can be made."""
    rows, good = [], []
    for x in values(field, base[field]):
        try:
            rows.append(make(base, name=f"{base.key} {field} {x!r}", **{field: float(x)}))
        except ValueError:  # a model that cannot be
            continue
        good.append(float(x))
    return rows, good


def assert_alike(found, other, axes, other_axes, said):
    """Two calls bind the same leaves; their axes go in pairs."""
    assert found.keys() == other.keys()
    assert_equal(table(found, *axes), table(other, *other_axes), found, said)


def assert_equal(a, b, names, said):
    same = np.isclose(a, b, rtol=1e-12, atol=0.0, equal_nan=True)
    assert same.all(), (said, [(name, x, y) for name, x, y, fine in zip(names, a, b, same) if not fine.all()])


def compare(resolver, selector, record, parameter, make, base, across=(), **rest):
    """Every field of a record: an axis of values by name, by dotted name (in turn) and in own rows bind the same leaves.

    `across` names another input with several values, at each of which they do.  The own rows of all fields lie along
    one axis: they are bound once.
    """
    asked, rows = [], []
    for i, field in enumerate(record._fields):
        made, xs = tried(make, base, field)
        if not xs or (field == "total_params" and (base["n_heads"] or base["recurrent_layers"])):
            continue
        name = (field, f"{parameter}.{field}")[(i + len(base.key)) % 2]
        asked.append((name, xs, slice(len(rows), len(rows) + len(made))))
        rows += made
    assert len(asked) > len(record._fields) // 3
    own = leaves(resolver, **{selector: rows}, **rest)
    whole = table(own, selector, *across)
    for name, xs, here in asked:
        named = leaves(resolver, **{selector: base}, **{name: xs}, **rest)
        assert named.keys() == own.keys()
        assert_equal(table(named, name, *across), whole[:, here], own, (base.key, name))


@pytest.mark.parametrize("device", DEVICES, ids=lambda d: getattr(d, "key", d))
def test_a_field_of_a_device_means_the_same_in_every_spelling(device):
    base = zoo.hardware(device)
    call = {**SERVE, "precision": ["bf16", "fp32"]}
    compare(ms.ServingModel, "hardware", Accelerator, "hardware", zoo.Hardware, base, ["precision"], **call)


@pytest.mark.parametrize("device", ["h100", "l40s"])
def test_a_field_of_a_device_means_the_same_in_a_fleet_that_is_named(device):
    mine = zoo.System("dgx_h100", name="mine", intra_bandwidth="1 TB/s", node_power="5 kW")
    call, base = {**TRAIN, "fleet": ["dgx_h100", "gaudi2_x8", mine]}, zoo.hardware(device)
    compare(ms.DistributedModel, "hardware", Accelerator, "hardware", zoo.Hardware, base, ["fleet"], **call)


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_field_of_a_fleet_means_the_same_in_every_spelling(system):
    base = zoo.system(system)
    compare(ms.DistributedModel, "fleet", Fleet, "fleet", zoo.System, base, **TRAIN)
    call = {**TRAIN, "hardware": ["h100", "l40s"]}
    compare(ms.DistributedModel, "fleet", Fleet, "fleet", zoo.System, base, ["hardware"], **call)


@pytest.mark.parametrize("model", MODELS)
def test_a_field_of_a_model_means_the_same_in_every_spelling(model):
    with np.errstate(all="ignore"):
        compare(ms.SingleNodeModel, "model", Workload, "model", zoo.Workload, zoo.model(model), hardware="h100")


def test_a_field_of_a_place_means_the_same_in_every_spelling():
    for region in ("usa", "us-central1"):
        grid, rest = zoo.grid(region), {"hardware": "h100"}
        for field in Site._fields[:3]:
            rows, xs = tried(zoo.Grid, grid, field)
            own = leaves(ms.EconomicsModel, region=rows, **rest)
            for name in (field, f"site.{field}"):
                named = leaves(ms.EconomicsModel, region=grid, **{name: xs}, **rest)
                assert_alike(named, own, [name], ["region"], (region, name))


def test_the_second_record_of_a_kind_is_spelled_alike():
    """A draft and the device that decodes; a device for decoding that nobody named is the first one."""
    rest = {"model": "llama3_1_70b", "hardware": "h100"}
    for field in ("tdp", "link_bandwidth", "mem_bandwidth", "host_bandwidth"):
        rows, xs = tried(zoo.Hardware, zoo.hardware("l40s"), field)
        own = leaves(ms.ServingModel, decode_hardware=rows, **rest)
        named = leaves(ms.ServingModel, decode_hardware="l40s", **{f"decode_hardware.{field}": xs}, **rest)
        assert_alike(named, own, [f"decode_hardware.{field}"], ["decode_hardware"], field)
        own = leaves(ms.ServingModel, model="llama3_1_70b", hardware=rows, decode_precision="fp8")
        named = leaves(ms.ServingModel, model="llama3_1_70b", hardware="l40s", decode_precision="fp8", **{field: xs})
        assert_alike(named, own, [field], ["hardware"], field)
    for field in ("n_layers", "n_experts", "vocab"):
        rows, xs = tried(zoo.Workload, zoo.model("llama3_2_1b"), field)
        if xs:
            own = leaves(ms.ServingModel, draft=rows, **rest)
            named = leaves(ms.ServingModel, draft="llama3_2_1b", **{f"draft.{field}": xs}, **rest)
            assert_alike(named, own, [f"draft.{field}"], ["draft"], field)


def test_formats_and_assumptions_are_spelled_alike():
    for field in Format._fields:
        plain, dotted = (
            leaves(
                ms.ServingModel,
                model="mixtral_8x7b",
                hardware="h100",
                **{name: [0.0, 1.0] if VARIABLES[field].kind == "flag" else [0.5, 3.0]},
            )
            for name in (field, f"format.{field}")
        )
        assert_alike(plain, dotted, [field], [f"format.{field}"], field)
    narrow = leaves(ms.ServingModel, model="mixtral_8x7b", hardware="h100", weight_bytes=0.5, activation_bytes=1.0)
    assert narrow["format.expert_bytes"].values == 0.5 and narrow["format.kv_bytes"].values == 1.0
    apart = leaves(ms.ServingModel, model="mixtral_8x7b", hardware="h100", weight_bytes=0.5, expert_bytes=2.0)
    assert apart["format.expert_bytes"].values == 2.0 and apart["format.kv_bytes"].values == 2.0
    given = {}
    for field, default in ms.Assumptions._field_defaults.items():
        x = float(default)
        given[field] = 1.0 - x if VARIABLES[field].kind == "flag" else max(0.7 * x, VARIABLES[field].low)
    assert given.keys() == set(ms.Assumptions._fields)
    call = {"model": "mixtral_8x7b", "hardware": "h100"}
    rows = xr.DataArray(np.empty(len(given), dtype=object), dims="row")
    for i, (field, x) in enumerate(given.items()):
        rows.values[i] = ms.Assumptions(**{field: x})
    own = leaves(ms.ServingModel, assume=rows, **call)
    whole = table(own, "row")
    for i, (field, x) in enumerate(given.items()):
        for name in (field, f"assume.{field}"):
            named = leaves(ms.ServingModel, **{name: x}, **call)
            assert named.keys() == own.keys()
            assert_equal(table(named), whole[:, i], own, name)


# --- answers -----------------------------------------------------------------------------------------------

FOLLOWED = (
    "link_bandwidth",
    "link_latency",
    "host_bandwidth",
    "tdp",
    "mem_capacity",
    "vector_flops",
    "vector_ops",
    "peak_flops",
    "allreduce_latency_4",
)


@functools.cache
def followed(*devices):
    """Own rows, and for every field the values over devices and steps with which some of them were made."""
    rows, given = [], {}
    for field in FOLLOWED:
        each = [tried(zoo.Hardware, zoo.hardware(device), field) for device in devices]
        xs = xr.DataArray([xs for _, xs in each], dims=("hardware", "step"), coords={"hardware": list(devices)})
        given[field] = xs, slice(len(rows), len(rows) + xs.size)
        rows += [row for made, _ in each for row in made]
    return rows, given


@pytest.mark.parametrize("resolver", CALLS, ids=lambda r: r.name)
def test_every_resolver_answers_both_spellings_alike(resolver):
    """By name: values over devices and steps. Own rows: as many of each device, one after the other."""
    devices = ["h100", "mi300x", "l40s"]
    rows, given = followed(*devices)
    own = resolver.solve(plan="plain", hardware=rows, **CALLS[resolver])
    for field, (xs, here) in given.items():
        named = resolver.solve(plan="plain", hardware=devices, **{field: xs}, **CALLS[resolver])
        assert {*named.data_vars, field} == {*own.data_vars, field}  # peak_flops is an output as well
        for output in named.data_vars:
            found = own[output].isel(hardware=here) if "hardware" in own[output].dims else own[output]
            b = np.broadcast_to(found.values, xs.size).reshape(xs.shape)
            a = named[output].transpose(..., "hardware", "step", missing_dims="ignore")
            a = np.expand_dims(a.values, [i for i, d in enumerate(("hardware", "step")) if d not in a.dims])
            assert np.allclose(np.broadcast_to(a, xs.shape), b, rtol=1e-12, equal_nan=True), (field, output)


def test_scalars_axes_arrays_and_paired_rows_say_the_same():
    links = np.array([1e11, 4.5e11, 9e11])
    one = [
        ms.DistributedModel.solve(hardware="l40s", link_bandwidth=x, plan="plain", **TRAIN).step_time.item()
        for x in links
    ]
    axis = ms.DistributedModel.solve(hardware="l40s", link_bandwidth=links, plan="plain", **TRAIN).step_time
    grid = xr.DataArray(np.array([links, links[::-1]]), dims=("a", "b"))
    laid = ms.DistributedModel.solve(hardware="l40s", link_bandwidth=grid, plan="plain", **TRAIN).step_time
    rows = {
        "hardware": ["h100", "l40s", "h100", "l40s"],
        "link_bandwidth": links[[1, 0, 0, 2]],
        "tdp": [700, 300, 500, 400],
    }
    paired = ms.DistributedModel.solve(points=rows, plan="plain", **TRAIN).step_time
    crossed = ms.DistributedModel.solve(
        hardware=["h100", "l40s"], link_bandwidth=links, plan="plain", **TRAIN
    ).step_time
    assert axis.values == pytest.approx(one, rel=1e-12)
    assert laid.values == pytest.approx(np.array([one, one[::-1]]), rel=1e-12)
    assert crossed.sel(hardware="l40s").values == pytest.approx(one, rel=1e-12)
    expected = [
        crossed.sel(hardware=d, link_bandwidth=x).item() for d, x in zip(rows["hardware"], rows["link_bandwidth"])
    ]
    assert paired.values == pytest.approx(expected, rel=1e-12)
    best = ms.DistributedModel.best("step_time", hardware="h100", link_bandwidth=links, plan="plain", **TRAIN)
    assert best.link_bandwidth == links.max()


def test_a_long_axis_says_what_single_calls_say():
    links = np.linspace(1e10, 2e12, 100_000)
    found = leaves(ms.DistributedModel, hardware="h100", link_bandwidth=links, **TRAIN)
    powers = leaves(
        ms.SustainabilityModel, hardware=["h100", "mi300x"], tdp=np.linspace(100, 2000, 100_000), region="usa"
    )
    places = [0, 77, 50_001, 99_999]
    few = {name: replace(v, values=v.values[places] if v.dims else v.values) for name, v in found.items()}
    for i, at_place in zip(places, table(few, "link_bandwidth").T):
        one = leaves(ms.DistributedModel, hardware="h100", link_bandwidth=float(links[i]), **TRAIN)
        assert one.keys() == found.keys()
        assert_equal(table(one), at_place, one, i)
    idle = powers["hardware.idle_power"]
    assert idle.dims == ("hardware", "tdp") and idle.values[1] == pytest.approx(0.1 * np.linspace(100, 2000, 100_000))
    assert found["fleet.torus_axes"].dims == () and found["hardware.bus_bandwidth_8"].dims == ("link_bandwidth",)


def test_what_is_given_is_certain_and_what_follows_keeps_its_spread():
    call = {"region": "usa", "duration": 1e7, "sample": 40}
    own = ms.SustainabilityModel.program(hardware=zoo.Hardware("mi300x", tdp=900, name="mine"), **call).binder.leaves
    named = ms.SustainabilityModel.program(hardware="mi300x", tdp=[450, 900], **call).binder.leaves
    idle = named["hardware.idle_power"]
    assert idle.dims == ("tdp", "sample") and np.std(np.log(idle.values[0])) == pytest.approx(0.3, rel=0.1)
    assert idle.values[1] == pytest.approx(own["hardware.idle_power"].values, rel=1e-12)
    assert idle.values[1] == pytest.approx(2 * idle.values[0], rel=1e-12)
    sure = ms.SustainabilityModel.program(hardware="mi300x", tdp=900, idle_power=90, **call).binder.leaves
    assert sure["hardware.idle_power"].dims == sure["hardware.tdp"].dims == ()
    curve = ms.SingleNodeModel.solve(
        hardware="mi300x", gemm_efficiency=0.5, model="llama3_1_8b", plan="plain", sample=40
    )
    mine = zoo.Hardware("mi300x", gemm_efficiency=0.5)
    assert mine.spread("gemm_efficiency") == 0.0 < zoo.hardware("mi300x").spread("gemm_efficiency")
    same = ms.SingleNodeModel.solve(hardware=mine, model="llama3_1_8b", plan="plain", sample=40)
    assert curve.latency.values == pytest.approx(same.latency.values, rel=1e-12)


def test_the_story_tells_what_is_derived_and_nothing_that_was_given():
    plain = ms.ServingModel.solve(hardware="l40s", plan="plain", **SERVE).attrs["derived"]
    given = ms.ServingModel.solve(
        hardware="l40s", link_bandwidth=["64 GB/s", "128 GB/s"], idle_power=50, plan="plain", **SERVE
    )
    assert "l40s.link_bandwidth: no accelerator link" in plain and "l40s.idle_power" in plain
    told = given.attrs["derived"]
    assert "l40s.link_bandwidth:" not in told and "l40s.idle_power" not in told
    assert "scaled by the link bandwidths (64 to 128 against" in told and "l40s.embodied_carbon" in told
    mine = zoo.Hardware(name="mine", peak_flops=1e15, mem_bandwidth=4e12, mem_capacity=96e9)
    unknown = ms.DataModel.solve(hardware=mine, plan="plain", **CALLS[ms.DataModel])
    known = ms.DataModel.solve(hardware=mine, host_bandwidth=1e10, plan="plain", **CALLS[ms.DataModel])
    assert "host_bandwidth" in unknown.attrs["omitted"] and "host_bandwidth" not in known.attrs["omitted"]


# --- searches ----------------------------------------------------------------------------------------------

#: resolver, call, device, input, output, target
CROSSINGS = [
    (ms.DistributedModel, TRAIN, "h100", "link_bandwidth", "step_time", 0.8),
    (ms.DistributedModel, TRAIN, "h100", "hardware.link_bandwidth", "step_time", 0.7),
    (ms.DistributedModel, TRAIN, "l40s", "host_bandwidth", "step_time", 6.0),
    (ms.ServingModel, {**SERVE, "tp": 8}, "l40s", "host_bandwidth", "itl", 0.007),
    (ms.SustainabilityModel, RUN, "mi300x", "tdp", "carbon", 40000.0),
    (ms.SingleNodeModel, {"model": "llama3_1_8b", "batch_size": 8}, "l40s", "tdp", "energy_per_sample", 5.0),
]


def asked_of_own_row(resolver, call, device, field, x, output):
    row = zoo.Hardware(device, name="own", **{field.rsplit(".", 1)[-1]: float(x)})
    return resolver.solve(hardware=row, plan="plain", keep=[output], **call)[output].item()


@pytest.mark.parametrize(
    "resolver, call, device, field, output, target", CROSSINGS, ids=lambda v: getattr(v, "name", None)
)
def test_roots_and_regions_move_what_is_derived(resolver, call, device, field, output, target):
    ask = functools.partial(asked_of_own_row, resolver, call, device, field)
    root = resolver.root(field, {output: target}, hardware=device, **call)
    assert root.found and ask(root[field].item(), output) == pytest.approx(target, rel=1e-9)
    need = ms.SynthesisSolver.solve(
        resolver, unknown=field, targets={output: target}, hardware=device, devices=0, **call
    )
    assert need[field].item() == pytest.approx(root[field].item(), rel=1e-9)


@pytest.mark.parametrize(
    "resolver, call, device, field, output, target", CROSSINGS, ids=lambda v: getattr(v, "name", None)
)
def test_elasticities_move_what_is_derived(resolver, call, device, field, output, target):
    here = zoo.hardware(device)[field.rsplit(".", 1)[-1]]
    ask = functools.partial(asked_of_own_row, resolver, call, device, field, output=output)
    step = 0.01
    slopes = ms.SensitivitySolver.solve(
        resolver, output=output, inputs=field, perturbation=step, hardware=device, **call
    )
    low, high = ask(here / (1 + step)), ask(here * (1 + step))
    assert slopes[f"{output}_low"].item() == pytest.approx(low, rel=1e-12)
    assert slopes[f"{output}_high"].item() == pytest.approx(high, rel=1e-12)
    assert slopes[output].item() == pytest.approx(ask(here), rel=1e-12)
    assert slopes.sensitivities.item() == pytest.approx(np.log(high / low) / np.log((1 + step) ** 2), rel=1e-2)
    assert abs(slopes.sensitivities.item()) > 1e-3


def test_elasticities_of_several_devices_and_of_a_group():
    call = {**TRAIN, "hardware": ["h100", "l40s"], "output": "step_time"}
    slopes = ms.SensitivitySolver.solve(ms.DistributedModel, plan="plain", **call)
    alone = ms.SensitivitySolver.solve(ms.DistributedModel, plan="plain", **{**call, "hardware": "l40s"})
    assert slopes.sensitivities.sel(parameter="link_bandwidth", hardware="h100") < -0.1
    assert slopes.sensitivities.sel(parameter="host_bandwidth", hardware="l40s") < -0.1
    assert slopes.sensitivities.sel(parameter="host_bandwidth", hardware="h100") == 0
    both = slopes.sensitivities.sel(hardware="l40s").reindex(parameter=alone.parameter)
    assert both.values == pytest.approx(alone.sensitivities.values, abs=1e-9)
    shares = ms.SensitivitySolver.solve(
        ms.DistributedModel,
        output="step_time",
        hardware="h100",
        samples=16,
        seed=1,
        ranges={"link_bandwidth": (2e11, 9e11), "mem_bandwidth": (3e12, 3.1e12)},
        **TRAIN,
    )
    assert shares.total_order.sel(parameter="link_bandwidth") > 0.9


# --- devices of one's own ----------------------------------------------------------------------------------


def test_a_device_of_ones_own_computes_at_the_rate_that_was_given():
    """What `peak_flops` says holds for attention and vectors too; a rate by format says the same."""
    rest = {"mem_bandwidth": "2 TB/s", "mem_capacity": "64 GB", "sram_capacity": "50 MB"}
    whole = zoo.Hardware(name="whole", peak_flops="500 TFLOP/s", **rest)
    by_format = zoo.Hardware(name="by format", peak_bf16="500 TFLOP/s", **rest)
    assert {"attention_peak_flops", "vector_ops"} <= whole.derived.keys()
    for resolver, call in ((ms.SingleNodeModel, {}), (ms.ServingModel, {"seq_len": 2048}), (ms.EfficiencyModel, {})):
        asked = resolver.solve(model="llama3_1_8b", hardware=[whole, by_format], plan="plain", **call)
        for output in asked.data_vars:
            a, b = np.broadcast_to(asked[output].values, 2)
            assert a == pytest.approx(b, rel=1e-12), output
        assert asked.feasible.all()
    assert ms.SingleNodeModel.solve(model="llama3_1_8b", hardware=whole).latency < 1.0
    bare = zoo.Hardware(
        name="bare", peak_flops=5e14, mem_bandwidth=2e12, mem_capacity=64e9
    )  # only small ones need a scratchpad
    assert ms.SingleNodeModel.solve(model="llama3_1_8b", hardware=bare, plan="plain").feasible
    small = zoo.Hardware(bare, name="small", mem_capacity=1e6)
    assert "sram_capacity" in ms.SingleNodeModel.solve(model="resnet50", hardware=small, plan="plain").attrs["omitted"]
    rateless = zoo.Hardware(name="rateless", **rest)
    assert not ms.ServingModel.solve(model="llama3_1_8b", hardware=rateless, seq_len=2048).feasible
    for resolver in list(CALLS)[:6]:
        without = resolver.solve(hardware="h100", attention_peak_flops=0, plan="plain", **CALLS[resolver])
        assert not without.feasible and without.limit == Limit.CAPABILITY, resolver.name


@pytest.mark.parametrize("precision", ["bf16", "fp8", "int4", "fp32"])
def test_a_rate_for_every_format_is_said(precision):
    """One `peak_flops` for a device that lists a rate for each format holds for all of them; the answer tells."""
    call = {"model": "llama3_1_8b", "seq_len": 512, "precision": precision, "plan": "plain"}
    one = ms.ServingModel.solve(hardware=ms.Hardware("h100", peak_flops=5e14), **call)
    assert (
        "at every number format (the row lists" in one.attrs["derived"] and f"for {precision})" in one.attrs["derived"]
    )
    for device in (ms.Hardware("h100", peak_bf16=5e14), "h100"):
        assert "every number format" not in ms.ServingModel.solve(hardware=device, **call).attrs.get("derived", "")


@pytest.mark.parametrize(
    "make",
    [
        lambda: zoo.Hardware("h100", mem_bandwidth=True),
        lambda: zoo.Hardware("h100", mem_bandwidth_Bps=True),
        lambda: zoo.Hardware("h100", tdp=np.True_),
        lambda: zoo.Workload("llama3_1_8b", n_layers=1e300),
        lambda: zoo.Workload("llama3_1_8b", hidden=10**15),
        lambda: zoo.Workload("llama3_1_8b", n_layers=10**400),
        lambda: zoo.System("dgx_h100", accelerators_per_node=2.0**60),
        lambda: zoo.Grid("usa", carbon_intensity=False),
    ],
)
def test_nonsense_in_a_row_of_ones_own_is_refused(make):
    with pytest.raises(ValueError, match=r"mem_bandwidth|tdp|n_layers|hidden|accelerators_per_node|carbon_intensity"):
        make()


# --- a better device is never slower -------------------------------------------------------------------------

#: outputs that a user waits for; parts of them may grow when another part hides them less
TIMES = (
    "latency",
    "ttft",
    "itl",
    "e2e_latency",
    "step_time",
    "total_reasoning_time",
    "offload_latency",
    "checkpoint_write_time",
    "restore_time",
    "memory_time",
)
WAITS = {
    ms.ServingModel: [
        {**SERVE, "batch_size": [1, 256], "tp": [1, 8], "pp": [1, 4]},
        {"model": "mixtral_8x7b", "seq_len": 300, "batch_size": 64, "tp": 8, "ep": [1, 8]},
    ],
    ms.DistributedModel: [
        {**TRAIN, "tp": [1, 8], "zero_stage": [0, 3]},
        {**TRAIN, "model": "mixtral_8x7b", "dp": 16, "pp": [1, 4], "ep": 8},
    ],
    ms.ContinuousBatchingModel: [CALLS[ms.ContinuousBatchingModel]],
    ms.InferenceScalingModel: [CALLS[ms.InferenceScalingModel]],
    ms.SingleNodeModel: [
        {"model": ["llama3_1_8b", "resnet50"], "batch_size": [1, 256]},
        {"model": "llama3_1_70b", "offload": 1},
        {"model": "llama3_1_8b", "is_training": 1},
    ],
    ms.EfficiencyModel: [{"model": "llama3_1_8b", "workload_type": ["gemm", "decode", "prefill", "training"]}],
    ms.WeightStreamingModel: [
        {
            "model": ["llama3_1_8b", "llama3_1_70b"],
            "phase": ["prefill", "decode", "training"],
            "batch_size": [1, 64, 512],
            "injection_bandwidth": ["150 GB/s", "1 PB/s"],
        }
    ],
    ms.CheckpointModel: [CALLS[ms.CheckpointModel]],
}


def improved(make, base, record):
    """Own rows that are better in one field."""
    found = []
    for field in record._fields:
        variable, x = VARIABLES[field], base[field]
        if variable.better not in ("less", "more") or not x:
            continue
        for factor in (1.17, 2.0, 8.0):
            y = x * factor if variable.better == "more" else x / factor
            y = round(y) if variable.kind == "count" else y
            y = min(max(y, variable.low), variable.high, 1.0 if "efficiency" in field else np.inf)
            if y != x:
                found.append(make(base, name=f"{field} x{factor:g}", **{field: y}))
    return found


@functools.cache
def better(device):
    """A device and those that are better in one field, and so for its fleet where it has one: rows of one's own."""
    base = zoo.hardware(device)
    rows = {"hardware": [base, *improved(zoo.Hardware, base, Accelerator)]}
    assert len(rows["hardware"]) > 80
    if base["default_system"]:
        system = zoo.system(base["default_system"])
        rows["fleet"] = [system, *improved(zoo.System, system, Fleet)]
        assert len(rows["fleet"]) > 8
    return base, rows


@pytest.mark.parametrize("device", ["h100", "mi300x", "l40s", "tpu_v5p"])
@pytest.mark.parametrize("resolver", WAITS, ids=lambda r: r.name)
def test_a_better_device_or_fleet_is_never_slower(resolver, device):
    base, rows = better(device)
    for call in WAITS[resolver]:
        for axis, variants in rows.items():
            if axis not in ("hardware", *resolver.parameters()):
                continue
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = resolver.solve(plan="plain", **{"hardware": base, axis: variants}, **call)
            assert any(n in found for n in TIMES)
            for output in (n for n in TIMES if n in found and axis in found[n].dims):
                times = found[output].transpose(axis, ...).values
                slower = ~(times <= times[0] * (1 + 1e-9)) & np.isfinite(times[0])
                guilty = sorted({variants[i].key for i in np.argwhere(slower)[:, 0]})
                assert not guilty, (output, call, guilty)
