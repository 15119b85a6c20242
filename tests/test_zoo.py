"""The zoo: sound tables, every name found, every row a record."""

import hashlib
import json
import math
import pickle
import re
import statistics
import subprocess
import sys
import warnings
from pathlib import Path

import pytest
from terminal import runner

import mlsysim as ms
from mlsysim import zoo
from mlsysim.cli.commands import app
from mlsysim.equations import architecture
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Limit, Precision
from mlsysim.schema.records import Accelerator
from mlsysim.schema.variables import VARIABLES
from mlsysim.zoo import accelerators, curves, prices, tables, workloads
from mlsysim.zoo.row import CANONICAL

HARDWARE = zoo.names("hardware")
KWH = 3.6e6


def rows(table):
    return tables.rows(table).values()


def cell(row, column, default=0.0):
    value = row.values_by_column[column]
    return default if value is None else value


# --- the tables ----------------------------------------------------------------------------------------

REQUIRED = {
    "hardware": ["release_year", "mem_capacity_bytes"],
    "models": ["total_params"],
    "fabrics": ["bandwidth_Bps", "latency_s"],
    "systems": ["accelerators_per_node"],
    "datacenters": ["pue", "year"],
    "reliability": ["value"],
    "constants": ["value"],
    "grids": ["kind"],
    "curves": ["gemm_efficiency"],
    "frameworks": ["kind", "since"],
}
NUMERIC_ENDINGS = (
    "_Bps",
    "_bytes",
    "_W",
    "_usd",
    "_s",
    "_kWh",
    "_params",
    "_year",
    "_count",
    "_fraction",
    "_per_hour",
)


@pytest.mark.parametrize("table", zoo.TABLES)
def test_table_is_well_formed(table):
    seen = {}
    for row in rows(table):
        assert re.fullmatch("[a-z][a-z0-9_]*", row.key), row.key
        assert None not in row.values_by_column, (row.key, "more cells than columns")
        for label in (row.key, *row.aliases):
            assert seen.setdefault(zoo.spelling.fold(label), row.key) == row.key, (label, "names two rows")
        for column in [*REQUIRED[table], "source", "verified"]:
            if row.key != "hailo8":  # no external memory: nothing to state
                assert row.values_by_column[column] is not None, (row.key, column)
        for column, value in row.values_by_column.items():
            if column.endswith(NUMERIC_ENDINGS) or column.startswith("peak_"):
                assert value is None or isinstance(value, float), (row.key, column, value)
        low, high = row.get("low") if table in ("constants", "reliability") else None, None
        if low is not None:
            high = row["high"]
            assert high is None or low <= row["value"] <= high, row.key


def test_every_alias_resolves():
    count = 0
    for table in zoo.TABLES:
        for row in rows(table):
            for label in (row.key, *row.aliases):
                for spelled in (label, label.upper(), label.replace("_", " - "), label.replace("-", "_")):
                    assert zoo.lookup(table, spelled) is row
                    count += 1
    assert count > 3000


def test_rates_are_dense():
    """No format beats the next wider one by more than its width allows; more would be a sparse rate."""
    limits = [("bf16", "tf32", 2.1), ("fp16", "tf32", 2.1), ("fp8", "bf16", 2.1), ("fp4", "fp8", 3.1)]
    limits += [("int8", "bf16", 4.2), ("fp64", "fp32", 1.05), ("tf32", "fp32", 16.0)]
    confirmed = {
        ("gaudi3", "bf16"),
        ("trainium3", "fp8"),
        ("rtx_5090", "fp4"),
        ("maia_200", "fp8"),
    }  # by the sources named in the rows
    for row in rows("hardware"):
        if row["status"] == "announced" or row["vendor"] == "Apple" or row["class"] == "tiny":
            continue
        for narrow, wide, limit in limits:
            a, b = row[f"peak_{narrow}"], row[f"peak_{wide}"]
            if a and b and (row.key, narrow) not in confirmed:
                assert a <= limit * b, (row.key, narrow, wide, a / b)


def test_hardware_orders():
    for row in rows("hardware"):
        memory, link, host = (row.values_by_column[c] for c in ("mem_bandwidth_Bps", "intra_link_Bps", "host_link_Bps"))
        assert not (memory and link) or link <= 2 * memory, row.key
        assert not (link and host) or host <= link, row.key
        label, reported = row["mem_capacity_bytes"], row["mem_device_reported_bytes"]
        assert reported is None or 0.9 <= reported / label <= 1.1, row.key
        assert cell(row, "idle_W") < cell(row, "tdp_W", math.inf), row.key
        for column, table in (
            ("default_system", "systems"),
            ("kernel_relative", "curves"),
            ("kernel_curve", "curves"),
        ):
            name = row[column]
            if name:
                zoo.lookup(table, name if table == "systems" else f"{name}_bf16")


@pytest.mark.parametrize("row", [r for r in rows("models") if r["n_heads"]], ids=lambda r: r.key)
def test_parameter_count_follows_from_configuration(row):
    count, used = (workloads.parameters(row.values_by_column, active) for active in (False, True))
    assert count == pytest.approx(row["total_params"], rel=0.02)
    assert count == pytest.approx(row["config_params"], rel=1e-5)
    assert row["n_heads"] % row["n_kv_heads"] == 0
    if row["n_experts"]:
        assert 0.8 <= row["active_params"] / used <= 1.03


def test_models_orders():
    for row in rows("models"):
        assert cell(row, "active_params") <= row["total_params"], row.key
        assert cell(row, "local_layers") <= cell(row, "n_layers"), row.key


def test_systems_refer_to_what_exists():
    for row in rows("systems"):
        assert row["accelerator"] in HARDWARE, row.key
        for column in ("intra_fabric", "inter_fabric"):
            if row[column]:
                assert row[column] in zoo.names("fabrics"), row.key
        if row["intra_fabric"]:
            assert cell(row, "intra_bw_Bps_per_accelerator") <= 1.001 * zoo.fabric(row["intra_fabric"])["bandwidth_Bps"]
        if row["nodes"]:
            assert row["nodes"] * row["accelerators_per_node"] == row["total_accelerators"], row.key


@pytest.mark.parametrize(
    "pattern, steps",
    [
        ("nvlink{}", "1 2 3 4 5 6"),
        ("pcie_gen{}_x16", "3 4 5 6 7"),
        ("infiniband_{}", "edr hdr ndr xdr gdr"),
        ("ethernet_{}g", "10 25 100 200 400 800 1600"),
    ],
)
def test_generations_get_faster(pattern, steps):
    ladder = [zoo.fabric(pattern.format(step))["bandwidth_Bps"] for step in steps.split()]
    assert ladder == sorted(set(ladder))


def test_grids_and_buildings():
    for row in rows("grids"):
        carbon = row.values_by_column["carbon_gCO2e_per_kWh"]
        assert 0 <= cell(row, "carbon_gCO2e_per_kWh") < 1200 and 0 <= cell(row, "carbon_free_fraction") <= 1, row.key
        assert (carbon is None) == (row["carbon_class"] is None), row.key
        parent = row["parent"]
        assert parent is None or parent in zoo.names("grids"), row.key
        assert parent or row["kind"] not in ("cloud_region", "us_state", "province"), row.key
    assert all(1 <= row["pue"] < 3 for row in rows("datacenters"))


def test_regions_of_the_clouds_take_what_is_known_of_their_state_or_country():
    for row in rows("grids"):
        if row["kind"] not in ("cloud_region", "grid_operator") or row.key == "aws_me_south_1":
            continue
        around = zoo.grid(row["parent"])
        assert "electricity_price" in row.derived and row["electricity_price"] == around["electricity_price"], row.key
        own = row["carbon_gCO2e_per_kWh"]
        assert ("carbon_intensity" in row.derived) == (own is None), row.key
        if own is None:
            assert row["carbon_intensity"] == around["carbon_intensity"] and row.spread("carbon_intensity") == 0.35
            assert (
                zoo.carbon_class(row) == zoo.carbon_class(around) == around["carbon_class"]
                and row["carbon_class"] is None
            )
    counts = {name: sum(k.startswith(name) for k in zoo.names("grids")) for name in ("aws_", "gcp_", "azure_")}
    assert counts["aws_"] >= 39 and counts["gcp_"] >= 43 and counts["azure_"] >= 72, counts


def test_carbon_figures_of_a_region_and_of_its_country_are_of_one_method():
    with pytest.warns(UserWarning, match="provider"):
        ms.SustainabilityModel.solve(
            region=["azure_westeurope", "gcp_europe_west4"], hardware="h100", n_accelerators=8, duration="1 day"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ms.SustainabilityModel.solve(region=["westeurope", "nld"], hardware="h100", n_accelerators=8, duration="1 day")


@pytest.mark.parametrize(
    "name, state", [("PJM", "us_pa"), ("ISO New England", "us_ma"), ("iso-ne", "us_ct"), ("MISO", "us_in")]
)
def test_an_operator_of_several_states_is_refused_with_its_states(name, state):
    with pytest.raises(zoo.UnknownName, match=f"region: .*several places.*{state}"):
        zoo.lookup("grids", name, "region")


def test_prices_of_electricity_are_those_of_large_users_with_year_and_basis():
    for row in rows("grids"):
        price = row["industrial_price_usd_per_kWh"]
        if price is None:
            continue
        assert row["price_year"] >= 2020 and len(row["price_basis"]) > 10, row.key
        low, high = cell(row, "price_low", price), cell(row, "price_high", price)
        assert 0.999 * low <= price <= 1.001 * high, row.key
    prices = {
        key: zoo.grid(key)["industrial_price_usd_per_kWh"] for key in ("usa", "deu", "fra", "swe", "fin", "dnk", "irl")
    }
    assert prices == {
        "usa": 0.0813,
        "deu": 0.1552,
        "fra": 0.1024,
        "swe": 0.0682,
        "fin": 0.0571,
        "dnk": 0.1293,
        "irl": 0.228,
    }
    assert all(
        row["industrial_price_usd_per_kWh"]
        for row in rows("grids")
        if row["kind"] in ("country", "us_state", "province")
    )


def test_reliability_counts_add_up():
    """Interruptions of the Llama 3 run: 419 by cause, over 16,384 devices and 54 days."""
    causes = [
        r
        for r in rows("reliability")
        if r.key.startswith("llama3_") and r["metric"] == "count" and r["component"] != "job"
    ]
    assert sum(r["value"] for r in causes) == 419
    hours = 16384 * 54 * 24
    for row in causes:
        assert hours / row["value"] == pytest.approx(row["derived_per_device_mtbf_h"], abs=1.0)
        assert row["mtbf"] == 3600 * row["derived_per_device_mtbf_h"] and row.unit("mtbf") == "s"


def test_all_facts_are_there():
    counts = {table: len(rows(table)) for table in zoo.TABLES}
    assert counts["hardware"] >= 139 and counts["models"] >= 135 and counts["fabrics"] >= 60
    assert counts["systems"] >= 71 and counts["grids"] >= 325 and counts["constants"] >= 240


@pytest.mark.parametrize(
    "device, reported",
    [
        ("rtx_3090", 23.69),
        ("a100_sxm4_40gb", 39.38),
        ("a100_pcie_40gb", 39.38),
        ("a800_sxm4_80gb", 79.33),
        ("v100_sxm2_32gb", 31.74),
        ("t4", 14.6),
        ("h200_nvl_141gb", 139.8),
        ("gh200_141gb", 139.8),
        ("rtx_a6000", 47.5),
        ("mi210", 63.98),
        ("mi355x", 287.98),
        ("gaudi3", 128.0),
    ],
)
def test_memory_is_what_the_device_reports(device, reported):
    """GiB that logs of programs print; they and the driver differ by up to 4 %, a label in decimal GB by 5 to 7 %."""
    assert zoo.hardware(device)["mem_capacity"] == pytest.approx(reported * 2**30, rel=0.04)


def test_the_gb_of_a_label_are_binary_where_nobody_printed_what_the_device_reports():
    for row in rows("hardware"):
        label, reported = row["mem_capacity_bytes"], row["mem_device_reported_bytes"]
        if "mem_capacity" in row.derived:
            keeps = 16 * 2**20 if row["vendor"] == "AMD" else 0
            assert (
                reported is None
                and row["mem_capacity"] == label / 1e9 * 2**30 - keeps
                and row.spread("mem_capacity") > 0
            )
        elif label and not label % 1e9 and row["mem_type"] and not row["mem_type"].startswith(("SRAM", "DDR")):
            assert reported and row["mem_capacity"] == reported, row.key
    assert zoo.Hardware("b100_sxm", mem_capacity="192 GB")["mem_capacity"] == 192e9
    assert "mem_capacity" in zoo.hardware("b100_sxm").derived


def test_a_card_of_24_gib_serves_what_its_log_says():
    import mlsysim as ms

    ds = ms.ServingModel.solve(
        model="llama3_1_8b", hardware="rtx_3090", precision="fp16", seq_len=35000, prefill_chunk=512
    )
    assert bool(ds.feasible) and float(ds.max_batch) >= 1


# --- names ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "find, name, says",
    [
        (zoo.hardware, "h1000", ["hardware: ", "'h1000'", "H100"]),
        (zoo.model, "llama 3.1 71B", ["model: ", "Llama-3.1-70B"]),
        (zoo.grid, "germny", ["region: ", "Germany"]),
        (zoo.constant, "chinchila_a", ["constant: ", "chinchilla_a"]),
        (zoo.system, "zzzz", ["fleet: ", "zoo.names('systems')"]),
    ],
)
def test_unknown_name_names_what_is_near(find, name, says):
    with pytest.raises(zoo.UnknownName) as caught:
        find(name)
    assert isinstance(caught.value, KeyError) and isinstance(caught.value, ValueError)
    text = str(caught.value)
    assert "\n" not in text and all(part in text for part in says), text


def test_row_of_another_table_is_refused():
    with pytest.raises(zoo.UnknownName, match="row of grids, not of hardware"):
        zoo.hardware(zoo.grid("deu"))
    assert zoo.hardware(zoo.hardware("h100")) is zoo.hardware("H100-SXM")


def test_find_by_attribute():
    found = zoo.find("hardware", vendor="AMD", status="shipping")
    assert {"mi300x", "mi355x"} <= {row.key for row in found} and "mi455x_announced" not in {row.key for row in found}
    assert [r.key for r in zoo.find("grids", kind="country", offsite_water=lambda litres: litres > 0)][:1] == ["usa"]
    assert len(zoo.find("models", kind=["SSM", "tiny"])) == 6
    with pytest.raises(zoo.UnknownName, match="vendor"):
        zoo.find("hardware", vender="AMD")


def test_table_is_a_dataframe():
    frame = zoo.table("hardware")
    assert frame.loc["h100_sxm5_80gb", "vendor"] == "NVIDIA" and len(frame) == len(HARDWARE)


def test_import_is_light():
    """Of a row looked up: no pandas loaded that `import mlsysim` did not load."""
    code = "import sys, mlsysim; before = 'pandas' in sys.modules; mlsysim.zoo.hardware('h100')['tdp']; "
    code += "sys.exit('pandas' in sys.modules and not before)"
    assert subprocess.run([sys.executable, "-c", "import mlsysim.zoo\n" + code]).returncode == 0


# --- rows ----------------------------------------------------------------------------------------------


def test_row_is_a_mapping():
    row = zoo.hardware("h100")
    assert dict(row)["vendor"] == "NVIDIA" and len(row) == len(list(row))
    assert row["mem_capacity"] == row["mem_device_reported_bytes"] and row["mem_capacity_bytes"] == 80e9
    assert row["hourly_price"] == pytest.approx(3.95 / 3600) and row.unit("hourly_price") == "USD/s"
    assert row.unit("cloud_usd_per_hour") == "USD/hour" and row.unit("mem_bandwidth") == "byte/s"
    assert row.source("gemm_efficiency").startswith("aiconfigurator 0.12.0") and "Open Book" in row.source()
    assert row.verified and "H100" in row.aliases and "8" in row.notes
    assert hash(row) == hash(zoo.hardware("H100")) and row != zoo.Hardware("h100", name="other")
    assert zoo.hardware("tpu_v4i")["hourly_price"] is None
    assert zoo.grid("deu")["carbon_intensity"] == pytest.approx(0.38095 / KWH)
    assert zoo.fabric("NDR")["bandwidth"] == 5e10
    with pytest.raises(zoo.UnknownName, match="mem_bandwidth"):
        row["mem_bandwith"]


@pytest.mark.parametrize(
    "row",
    [zoo.hardware("h100"), zoo.model("llama3_1_70b"), zoo.grid("usa"), zoo.reliability("llama3_hbm3")],
    ids=lambda row: row.key,
)
def test_row_displays(row):
    assert row.key in repr(row) and "source" in repr(row)
    assert row._repr_html_().startswith("<table>")
    assert pickle.loads(pickle.dumps(row)).values_by_column == row.values_by_column


def test_constant():
    rate = zoo.constant("idle_power_fraction_gpu_datacenter")
    assert rate == 0.1 and (rate.low, rate.high, rate.unit) == (0.08, 0.2, "fraction") and not rate.verified
    assert rate.source and rate.topic == "power" and pickle.loads(pickle.dumps(rate)) == 0.1


def test_digest_follows_the_tables():
    folder = Path(tables.__file__).parent
    total = hashlib.sha256()
    for table in sorted({*zoo.TABLES, "prices", "settings", "networks", "checkpoints"}):
        total.update(table.encode() + (folder / f"{table}.csv").read_bytes())
    assert zoo.digest() == total.hexdigest()[:12]


# --- records -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", Precision)
def test_every_device_gives_an_accelerator(precision):
    for key in HARDWARE:
        record = zoo.accelerator_record(key, precision)
        for name, value in record._asdict().items():
            assert type(value) is float, (key, name)
            variable = VARIABLES[name]
            assert math.isnan(value) or variable.low <= value <= variable.high, (key, name, value)
            assert not (variable.above and value == variable.low), (key, name)
        assert 0 < record.gemm_efficiency <= 1 and 0 < record.gemm_bandwidth_efficiency <= 1, key
        assert record.gemm_exponent in (0.0, 2.0, 4.0) and 0 < record.training_gemm_efficiency <= 1, key


def test_every_model_gives_a_workload():
    for key in zoo.names("models"):
        record = zoo.workload_record(key)
        assert all(type(value) is float and math.isfinite(value) for value in record), key
        assert record.total_params >= record.active_params > 0, key
        if record.n_heads == record.recurrent_layers == 0:
            assert record.hidden == record.n_layers == 0 and record.flops_per_sample > 0, key
        for name, value in record._asdict().items():
            if VARIABLES[name].kind in ("count", "flag"):
                assert value == int(value), (key, name)


#: systems of several nodes, or of one, of which no network between nodes is published
NO_NETWORK = (
    "cs3",
    "sambarack_sn40l_16",
    "inf2_48xlarge",
    "opt_175b_cluster",
    "vera_rubin_nvl144_cpx",
    "tpu_8i_pod",
    "mtia_400_rack",
)


def test_every_system_gives_a_fleet():
    for key in zoo.names("systems"):
        record = zoo.fleet_record(key, None)
        assert record.accelerators_per_node >= 1 and record.domain_size >= 1, key
        assert math.isnan(record.inter_bandwidth) == (key in NO_NETWORK), key
    for key in HARDWARE:
        record = zoo.fleet_record(None, key)
        assert record.accelerators_per_node >= 1 and 0 < record.intra_efficiency <= 1, key


#: countries, and a region in one of them, of which a price was read and no carbon figure
PRICE_ONLY = {
    "alb",
    "arm",
    "aze",
    "bhr",
    "bih",
    "blr",
    "cyp",
    "dza",
    "gha",
    "grl",
    "irn",
    "kgz",
    "lie",
    "mda",
    "mkd",
    "mlt",
    "mne",
    "sen",
    "srb",
    "tjk",
    "tkm",
    "uzb",
    "xkx",
    "aws_me_south_1",
}


def test_every_grid_gives_a_site():
    for key in zoo.names("grids"):
        site = zoo.site_record(key, "us_average_2023")
        assert site.pue == 1.4
        if zoo.grid(key)["kind"] == "price_region" or key in PRICE_ONLY:
            assert math.isnan(site.carbon_intensity) and site.electricity_price > 0, key
        else:
            assert 0 <= site.carbon_intensity < 1.2 / KWH, key
            assert site.electricity_price > 0, key


def test_derived_assumptions_are_named():
    """Every number of a record that no cell of the table gives is in row.derived, with reason and spread."""
    for key in HARDWARE:
        row = zoo.hardware(key)
        record = zoo.accelerator_record(row, accelerators.usual_precision(row))
        for name, (column, _) in CANONICAL["hardware"].items():
            given = row.values_by_column[column] is not None
            if name == "mem_capacity":  # the label is there, and what the device reports follows from it
                assert not (name in row.derived and row["mem_device_reported_bytes"]), key
                continue
            assert given or math.isnan(getattr(record, name)) or name in row.derived, (key, name)
            assert not (given and name in row.derived), (key, name)
        if not row["kernel_curve"]:
            assert "gemm_efficiency" in row.derived and row.spread("gemm_efficiency") == curves.SPREAD
        else:
            assert 0 < row.spread("gemm_efficiency") < curves.SPREAD
        for name, sentence in row.derived.items():
            assert name in Accelerator._fields and len(sentence) > 20 and sentence.spread >= 0, (key, name)
    assert "0.1 of TDP" in zoo.hardware("mi300x").source("idle_power")
    assert zoo.hardware("mi300x")["embodied_carbon"] == pytest.approx(0.28 * 750)
    assert zoo.hardware("a100")["embodied_carbon"] == 127.6 and zoo.hardware("h100").spread("price") == 0.0
    assert "of us_ia" in zoo.grid("us-central1").derived["electricity_price"]
    assert set(zoo.grid("nor").derived) == {"offsite_water"} and zoo.grid("nor")["electricity_price"] == pytest.approx(
        0.0541 / KWH
    )
    assert "offsite_water" in zoo.grid("deu").derived and zoo.grid("us_tx")["offsite_water"] == pytest.approx(
        4.52 / KWH
    )


def test_prices_and_power_of_the_headline_sweep():
    for key in ("a100", "h100", "h200", "b200", "mi300x"):
        record = zoo.accelerator_record(key, Precision.BF16)
        fleet = zoo.fleet_record(None, key)
        assert record.price > 0 and record.idle_power > 0 and record.embodied_carbon > 0
        assert all(
            math.isfinite(getattr(fleet, name))
            for name in ("inter_bandwidth", "node_power", "host_memory", "intra_latency")
        )
    for key in ("usa", "deu", "fra", "swe"):
        assert zoo.site_record(key, "us_average_2023").electricity_price > 0


def test_peaks_by_precision():
    def peak(key, precision):
        return zoo.accelerator_record(key, precision).peak_flops

    assert peak("h100", Precision.FP8) == 1978.9e12 and peak("h100", Precision.BF16) == 989.4e12
    assert peak("h100", Precision.INT4) == peak("h100", Precision.BF16)  # weights only
    assert peak("b200", Precision.NVFP4) == 9e15
    assert peak("h100", Precision.NVFP4) == peak("h100", Precision.BF16)  # widened to 16 bits
    assert peak("v100", Precision.BF16) == 0 and peak("v100", Precision.FP16) == 125e12
    assert zoo.accelerator_record("b200", Precision.NVFP4).attention_peak_flops == 2.25e15
    assert zoo.accelerator_record("h100", Precision.FP32).attention_peak_flops == 66.9e12


def test_formats():
    expected = {  # weight, activation, cache, GEMM input, parameter, weight only, quantised
        Precision.FP32: (4, 4, 4, 4, 4, 0, 0),
        Precision.TF32: (4, 4, 4, 4, 4, 0, 0),
        Precision.BF16: (2, 2, 2, 2, 2, 0, 0),
        Precision.FP8: (1, 2, 2, 1, 2, 0, 1),
        Precision.INT8: (1, 2, 2, 1, 2, 0, 1),
        Precision.INT4: (4.125 / 8, 2, 2, 2, 2, 1, 0),
        Precision.NVFP4: (4.5 / 8, 2, 1, 4.5 / 8, 2, 0, 1),  # its checkpoints state an 8-bit cache
        Precision.MXFP4: (4.25 / 8, 2, 2, 4.25 / 8, 2, 0, 1),
    }
    parts = {f"{part}_bytes" for part in zoo.formats.PARTS}
    for precision, values in expected.items():
        record = zoo.format_record(precision)
        assert tuple(v for name, v in record._asdict().items() if name not in parts) == values, precision
        assert record.expert_bytes == record.attention_bytes == record.shared_expert_bytes == record.weight_bytes
        assert record.head_bytes == record.embedding_bytes == record.activation_bytes
    assert zoo.format_record(Precision.BF16, Precision.FP8).kv_bytes == 1.0


# --- curves --------------------------------------------------------------------------------------------

ALLREDUCE_US = [  # medians of the custom kernel, microseconds at 0.25, 1, 4, 16, 64 MiB
    ("h100", 8, [10, 26, 52, 122, 322]),
    ("h100", 2, [4, 6, 17, 79, 254]),
    ("a100", 8, [16, 83, 76, 217, 603]),
]


@pytest.mark.parametrize("key, n, expected", ALLREDUCE_US)
def test_reference_allreduce_points(key, n, expected):
    record = zoo.accelerator_record(key, Precision.BF16)
    assert [round(1e6 * getattr(record, f"allreduce_{size}_{n}")) for size in curves.SIZES] == expected


def test_reference_gemm_shares():
    """Median share of peak of large products: A100 bf16 .84, H100 .78, B200 .65, fp8 .62 and .53."""
    for key, precision, share in [
        ("a100", 3, 0.84),
        ("h100", 3, 0.78),
        ("b200", 3, 0.65),
        ("h100", 4, 0.62),
        ("b200", 4, 0.53),
    ]:
        assert zoo.accelerator_record(key, precision).gemm_efficiency == pytest.approx(share, abs=0.04)
    assert zoo.accelerator_record("h100", Precision.FP8).training_gemm_efficiency == pytest.approx(0.709)


def test_reference_prefill_attention():
    """H100: share of the bf16 peak at 512 ... 16k tokens."""
    record = zoo.accelerator_record("h100", Precision.BF16)
    for length, share in zip((512, 1024, 2048, 4096, 8192, 16384), (0.16, 0.25, 0.35, 0.43, 0.49, 0.53)):
        assert record.attention_efficiency * length / (length + record.attention_half_length) == pytest.approx(
            share, abs=0.01
        )
    narrow = zoo.accelerator_record("h100", Precision.BF16, Precision.FP8)
    assert (
        narrow.attention_efficiency > record.attention_efficiency and narrow.gemm_efficiency == record.gemm_efficiency
    )


def test_unmeasured_devices_follow_the_rule():
    h100, mi300x = (zoo.accelerator_record(key, Precision.BF16) for key in ("h100", "mi300x"))
    assert mi300x.gemm_efficiency == pytest.approx(h100.gemm_efficiency * 0.511 / 0.803)
    assert mi300x.bus_bandwidth_8 == pytest.approx(h100.bus_bandwidth_8 * 448 / 450)
    h800 = zoo.accelerator_record("h800", Precision.BF16)
    assert h800.gemm_efficiency == h100.gemm_efficiency and h800.bus_bandwidth_8 == pytest.approx(
        h100.bus_bandwidth_8 * 200 / 450
    )
    a100_int8 = zoo.accelerator_record("a100", Precision.INT8)
    assert a100_int8.gemm_efficiency < zoo.accelerator_record("a100", Precision.BF16).gemm_efficiency
    bridge = zoo.accelerator_record("h100_pcie", Precision.BF16)
    assert bridge.bus_bandwidth_2 > 4 * bridge.bus_bandwidth_8  # a bridge joins two, four and eight meet on PCIe


def test_tdp_and_host_link_are_derived_by_class_where_nobody_prints_them():
    points = [
        (math.log(row["mem_bandwidth_Bps"] / 1e12), math.log(row["tdp_W"]))
        for row in rows("hardware")
        if row["class"] in accelerators.IN_SERVERS
        and row["release_year"] >= 2018
        and row["vendor"] != "Apple"
        and row["tdp_W"]
        and row["mem_bandwidth_Bps"]
        and (row["peak_bf16"] or row["peak_fp16"])
        and not row["mem_type"].startswith(("SRAM", "DDR"))
    ]
    fit = statistics.linear_regression(*zip(*points))
    assert fit.slope == pytest.approx(accelerators.TDP_EXPONENT, abs=0.02)
    assert math.exp(fit.intercept) == pytest.approx(accelerators.TDP_AT_1_TBPS, rel=0.03)
    for row in rows("hardware"):
        server = row["class"] in accelerators.IN_SERVERS
        assert not server or row["host_bandwidth"] > 0 or row["mem_bandwidth"] is None, row.key
        assert not server or row["tdp"] or row["mem_bandwidth"] is None or row["mem_type"].startswith("SRAM"), row.key
        if "host_bandwidth" in row.derived and "unified" in str(row["mem_type"]):
            assert row["host_bandwidth"] == row["mem_bandwidth"] and "link_bandwidth" not in row.derived, row.key
    assert zoo.hardware("trainium3")["host_bandwidth"] == zoo.fabric("pcie_gen5_x16")["bandwidth"]
    assert zoo.Hardware(name="bare", mem_bandwidth="4 TB/s")["tdp"] is None


#: shipping and without a price of an hour, or to buy: used inside one company, part of something else, or sold as a whole
NOT_RENTED = {
    "tpu_v1",
    "tpu_v4i",
    "grace_cpu_72c",
    "gap9",
    "maia_200",
    "mtia_300",
    "mtia_v2",
    "d_matrix_corsair",
    "snapdragon_x2_elite_extreme",
}
NOT_SOLD = NOT_RENTED | {
    "tpu_v2",
    "tpu_v3",
    "tpu_v4",
    "tpu_v5e",
    "tpu_v5p",
    "tpu_v6e",
    "tpu_v7_ironwood",
    "inferentia1",
    "inferentia2",
    "trainium1",
    "trainium2",
    "trainium3",
    "sambanova_sn40l",
}


def test_every_device_on_sale_has_its_prices():
    shipping = [row for row in rows("hardware") if row["status"] == "shipping"]
    assert {row.key for row in shipping if row["hourly_price"] is None} == NOT_RENTED
    assert {row.key for row in shipping if row["price"] is None} == NOT_SOLD
    for row in rows("hardware"):
        for field, column in (("price", "unit_price_usd"), ("hourly_price", "cloud_usd_per_hour")):
            assert row[field] is None or (row[column] is None) == (field in row.derived), row.key
            if field in row.derived:
                assert 0.1 < row.spread(field) < 0.7 and len(row.source(field)) > 40, (row.key, field)
        if row["price"] and not any(q.seller == "market" and q.quantity == "unit" for q in row.quotes):
            assert "price" in row.derived, row.key  # what no seller asks is never taken for a price that was read
        assert row["vendor"] not in ("AWS", "Meta", "Microsoft") or row["price"] is None, row.key
    assert "never sold" in zoo.hardware("tpu_v5p").notes and zoo.hardware("tpu_v5p")["price"] is None


def test_quotes_name_seller_date_and_source():
    assert set(prices.devices()) <= set(zoo.names("hardware"))
    for device in prices.devices():
        release = zoo.hardware(device)["release_year"]
        for quote in zoo.hardware(device).quotes:
            assert quote.seller in prices.SELLERS and quote.basis and quote.source, (device, quote)
            assert quote.quantity in ("hourly", "unit", "production_cost"), (device, quote)
            assert release - 2 <= quote.year <= 2026 and quote.date.startswith(str(quote.year)), (device, quote)
            if quote.low is not None and quote.high is not None:
                assert 0.999 * quote.low <= quote.value <= 1.001 * quote.high, (device, quote)
            row = zoo.hardware(device)
            rate, bandwidth = row["peak_bf16"] or row["peak_fp16"], row["mem_bandwidth_Bps"]
            if (
                quote.seller == "derived"
                and "fit on compute and bandwidth" in quote.basis
                and row.key != "mi455x_announced"
            ):
                assert quote.value == pytest.approx(prices.rent_by_fit(rate, bandwidth), rel=0.02), device
            if (
                quote.seller == "derived"
                and "fit on bandwidth and year" in quote.basis
                and row.key != "mi455x_announced"
            ):
                assert quote.value == pytest.approx(prices.purchase_by_fit(bandwidth, release), rel=0.02), device
    assert len(zoo.hardware("h100").quotes) >= 8 and "hyperscaler" in repr(zoo.hardware("h100"))


def test_prices_of_an_hour_are_of_one_basis():
    share, payback = [], []
    for device in prices.devices():
        asked = {
            s: [
                q.value
                for q in zoo.hardware(device).quotes
                if q.quantity == "hourly" and q.seller == s and q.year >= 2025
            ]
            for s in ("specialist", "hyperscaler")
        }
        hour, bought = prices.hourly(device), prices.purchase(device)
        if asked["specialist"] and asked["hyperscaler"]:
            share.append(hour.value / statistics.median(asked["hyperscaler"]))
        if asked["specialist"]:
            assert not hour.rule and hour.basis.startswith("specialists"), device
            if hour.year >= 2026 and bought and not bought.rule and bought.year >= 2025:
                payback.append(bought.value / hour.value)
    assert statistics.median(share) == pytest.approx(prices.SPECIALIST_SHARE, rel=0.05) and len(share) >= 10
    assert statistics.median(payback) == pytest.approx(prices.PAYBACK_HOURS, rel=0.05) and len(payback) >= 15
    server = float(Assumptions().server_multiplier)
    assert zoo.hardware("gb200")["price"] == pytest.approx(41667 / server)  # one of 72 in a rack
    assert zoo.hardware("gb300")["hourly_price"] == pytest.approx(0.47 * 18.0 / 3600)
    assert zoo.hardware("gb300")["price"] != zoo.hardware("gb200")["price"]


def test_money_is_answered_for_every_device_on_sale():
    names = [row.key for row in rows("hardware") if row["status"] == "shipping" and row.key not in NOT_RENTED]
    serving = ms.ServingModel.program(model="llama3_2_1b", hardware=names, precision="fp16", seq_len=1024, batch_size=1)
    answers = dict(zip(names, serving.known_along("hardware", ["itl"])))
    priced = dict(zip(names, serving.known_along("hardware", ["usd_per_mtok"])))
    assert sum(answers.values()) >= 60 and [n for n in names if answers[n] and not priced[n]] == []
    sold = [n for n in names if n not in NOT_SOLD and answers[n]]
    owning = ms.EconomicsModel.program(hardware=sold, n_accelerators=8, duration="1 year", region="usa")
    unknown = [n for n, known in zip(sold, owning.known_along("hardware", ["tco"])) if not known]
    assert unknown == [
        "graphcore_gc200",
        "graphcore_bow",
    ]  # power: no limit published, and no rule holds for memory on chip


def test_vector_share_is_the_median():
    shares = [
        row["peak_fp32"] / max(cell(row, "peak_fp16"), cell(row, "peak_bf16"))
        for row in zoo.find("hardware", **{"class": "cloud"})
        if row.values_by_column["peak_fp32"]
        and (row["peak_fp16"] or row["peak_bf16"])
        and row.key != "mi308x"  # scaled from mi300x, which is counted
    ]
    assert statistics.median(shares) == pytest.approx(accelerators.VECTOR_SHARE, rel=0.05)


# --- rows of one's own ---------------------------------------------------------------------------------


def test_own_hardware():
    mine = zoo.Hardware("h100", mem_bandwidth="4 TB/s", tdp_W=600, name="mine")
    record, base = (zoo.accelerator_record(r, Precision.BF16) for r in (mine, "h100"))
    assert record.mem_bandwidth == 4e12 and record.tdp == 600 and record.gemm_efficiency == base.gemm_efficiency
    assert (
        mine.key == "mine" and mine.source("mem_bandwidth") == "given by the user" and mine["mem_bandwidth_Bps"] == 4e12
    )
    assert zoo.Hardware(mine, mem_capacity="120 GB")["mem_capacity"] == 120e9
    assert zoo.Hardware("h100", tdp=500).key == "h100_sxm5_80gb(tdp=500)"
    assert zoo.Hardware("h100", hourly_price="$1.8/hour")["cloud_usd_per_hour"] == pytest.approx(1.8)
    assert zoo.Hardware("h100", cloud_usd_per_hour=1.8)["hourly_price"] == pytest.approx(0.0005)
    assert zoo.Hardware("h100", price=None)["price"] is None
    assert zoo.accelerator_record(zoo.Hardware("h100", gemm_efficiency=0.7), Precision.FP8).gemm_efficiency == 0.7
    faster = zoo.accelerator_record(zoo.Hardware("h100", link_bandwidth="900 GB/s"), Precision.BF16)
    assert faster.bus_bandwidth_8 == pytest.approx(2 * base.bus_bandwidth_8)
    assert zoo.fleet_record(None, zoo.Hardware("h100", link_bandwidth="900 GB/s")).intra_bandwidth == 9e11


def test_own_hardware_from_nothing():
    mine = zoo.Hardware(
        name="mine",
        peak_bf16="1 PFLOP/s",
        mem_bandwidth="4 TB/s",
        mem_capacity="96 GB",
        link_bandwidth="300 GB/s",
    )
    record = zoo.accelerator_record(mine, Precision.BF16)
    assert record.peak_flops == 1e15 and math.isnan(record.price) and record.bus_bandwidth_8 > 0
    assert zoo.accelerator_record(mine, Precision.FP16).peak_flops == 0
    assert zoo.accelerator_record(mine, Precision.FP8).widens_weights == 1
    assert zoo.fleet_record(None, mine).domain_size == 8


@pytest.mark.parametrize(
    "make, error, says",
    [
        (lambda: zoo.Hardware("h100", mem_bandwith="4 TB/s"), zoo.UnknownName, "mem_bandwidth"),
        (
            lambda: zoo.Hardware("h100", mem_bandwidth="4 TB"),
            ValueError,
            r"Hardware: mem_bandwidth: '4 TB'.*TB/s",
        ),
        (lambda: zoo.Hardware("h100", mem_bandwidth=-1.0), ValueError, "above 0"),
        (lambda: zoo.Hardware("h100", mem_bandwidth=math.nan), ValueError, "finite"),
        (lambda: zoo.Hardware(tdp=1.0), ValueError, "name="),
        (lambda: zoo.Hardware("h1000"), zoo.UnknownName, "H100"),
        (lambda: zoo.Workload("llama3_1_70b", n_layers=2.5), ValueError, "whole number"),
        (lambda: zoo.Datacenter("us_average_2023", pue=0.9), ValueError, "at least 1"),
    ],
)
def test_own_row_is_checked(make, error, says):
    with pytest.raises(error, match=says):
        make()


def test_own_workload_counts_its_parameters():
    base = zoo.model("llama3_1_70b")
    more = zoo.Workload(base, n_layers=90)
    layer = (workloads.parameters(base.values_by_column) - base["vocab"] * base["hidden"] * 2) / 80
    assert more["total_params"] - base["total_params"] == pytest.approx(10 * layer)
    assert more["active_params"] == more["total_params"] and "n_layers" in more.derived["total_params"]
    assert zoo.Workload(base, n_layers=90, total_params="80B")["total_params"] == 80e9
    assert zoo.workload_record(zoo.Workload(base, name="same")) == zoo.workload_record(base)
    sparse = zoo.Workload("mixtral_8x7b", n_experts=16)
    assert sparse["total_params"] > 1.8 * zoo.model("mixtral_8x7b")["total_params"]
    assert sparse["active_params"] == pytest.approx(zoo.model("mixtral_8x7b")["active_params"], rel=1e-3)


def test_a_count_that_is_given_holds_in_every_resolver():
    """Within 5 % of the configuration the difference is weights beyond the layers; further off it is refused."""
    mine = zoo.Workload("llama3_1_8b", total_params="8.3B")
    record = zoo.workload_record(mine)
    assert float(architecture.total_params(record)) == pytest.approx(8.3e9) == record.active_params
    asked = {"model": mine, "hardware": "h100", "seq_len": 1024}
    for weights in (
        ms.ServingModel.solve(**asked).memory_weights,
        ms.SingleNodeModel.solve(**asked).memory_weights,
        ms.DistributedModel.solve(**asked, n_accelerators=1, global_batch=1).memory_weights,
    ):
        assert weights.item() == pytest.approx(2 * 8.3e9, rel=1e-6)
    assert zoo.workload_record(zoo.Workload("resnet50", total_params="10M")).active_params == 10e6
    wider = ms.SingleNodeModel.solve(model="llama3_1_8b", hardware="h100", n_layers=[32, 64]).memory_weights
    layers = 2 * 32 * float(architecture.dense_layer_params(zoo.workload_record("llama3_1_8b")))
    assert wider.values[1] - wider.values[0] == pytest.approx(layers)


@pytest.mark.parametrize(
    ("base", "fields", "says"),
    [
        ("llama3_1_8b", {"total_params": "100B"}, "total_params=1e.11: the configuration counts 8.03e.09, 5%"),
        ("llama3_1_8b", {"active_params": "9B"}, "active_params=9e.09: must be at most total_params"),
        ("llama3_1_8b", {"hidden": 0}, "hidden=0: a model with n_heads=32 has at least 1"),
        ("llama3_1_8b", {"n_heads": 7, "n_kv_heads": 3}, "n_kv_heads=3: must divide n_heads=7"),
        ("mixtral_8x7b", {"experts_per_token": 9}, "experts_per_token=9: .* at most n_experts=8"),
        ("llama3_1_8b", {"local_layers": 40, "sliding_window": 128}, "local_layers=40: must be at most n_layers=32"),
        (None, {"name": "x", "n_layers": 2, "hidden": 64, "n_heads": 4}, "head_dim=0: .* at least 1"),
    ],
)
def test_a_model_that_cannot_be_is_refused(base, fields, says):
    with pytest.raises(ValueError, match=says):
        zoo.Workload(base, **fields)


@pytest.mark.parametrize("model", ["bert_large", "vit_b16", "whisper_base", "t5_base"])
def test_what_answers_in_one_pass_does_not_decode(model):
    for kind in (ms.ServingModel, ms.ContinuousBatchingModel, ms.InferenceScalingModel):
        asked = kind.solve(model=model, hardware="h100", seq_len=100)
        assert asked.limit.item() == Limit.CAPABILITY and not asked.feasible.item()
    kinds = ms.EfficiencyModel.solve(model=model, hardware="h100", seq_len=100, workload_type=["decode", "conv", "ffn"])
    assert kinds.limit.values.tolist() == [Limit.CAPABILITY, Limit.CAPABILITY, 0]
    assert ms.SingleNodeModel.solve(model=model, hardware="h100", seq_len=100).feasible.item()
    assert zoo.workload_record(model).flops_per_sample > 0


def test_own_site_and_system():
    grid = zoo.Grid("deu", electricity_price="0.12 USD/kWh", carbon_intensity="50 g/kWh")
    site = zoo.site_record(grid, zoo.Datacenter(name="mine", pue=1.1, wue="0.2 L/kWh"))
    assert (site.electricity_price * KWH, site.carbon_intensity * KWH, site.wue * KWH) == pytest.approx(
        (0.12, 0.05, 0.2)
    )
    fleet = zoo.fleet_record(zoo.System("dgx_h100", fleet_size=1024, inter_bandwidth="100 GB/s"), "h100")
    assert fleet.fleet_size == 1024 and fleet.inter_bandwidth == 1e11 and fleet.node_power == 10200


def test_registered_row_is_found_by_name():
    zoo.register(zoo.Hardware("h100", gemm_efficiency=0.6, name="test fitted h100"))
    try:
        assert zoo.hardware("Test-Fitted_H100")["gemm_efficiency"] == 0.6
        assert "test fitted h100" in zoo.names("hardware")
        with pytest.raises(ValueError, match="another name"):
            zoo.register(zoo.Hardware("h100", name="A100"))
    finally:
        tables._REGISTERED.clear()


def test_foreign_device_in_a_chassis_keeps_its_own_link():
    assert zoo.fleet_record(None, "h800").intra_bandwidth == 2e11
    assert zoo.fleet_record("dgx_h100", "h20").node_power == pytest.approx(1.65 * 8 * 400)
    assert zoo.fleet_record("gb200_nvl72", None).domain_size == 72


# --- checkpoints ---------------------------------------------------------------------------------------

LLAMA = {"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32}
LLAMA |= {
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
}
DEEPSEEK = {
    "model_type": "deepseek_v3",
    "hidden_size": 7168,
    "intermediate_size": 18432,
    "moe_intermediate_size": 2048,
}
DEEPSEEK |= {
    "num_hidden_layers": 61,
    "num_attention_heads": 128,
    "num_key_value_heads": 128,
    "vocab_size": 129280,
}
DEEPSEEK |= {
    "n_routed_experts": 256,
    "num_experts_per_tok": 8,
    "n_shared_experts": 1,
    "first_k_dense_replace": 3,
    "n_group": 8,
    "topk_group": 4,
}
DEEPSEEK |= {"moe_layer_freq": 1, "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128}
DEEPSEEK |= {
    "qk_rope_head_dim": 64,
    "v_head_dim": 128,
    "max_position_embeddings": 163840,
    "tie_word_embeddings": False,
}
MIXTRAL = {
    **LLAMA,
    "model_type": "mixtral",
    "vocab_size": 32000,
    "num_local_experts": 8,
    "num_experts_per_tok": 2,
}
MIXTRAL |= {"max_position_embeddings": 32768, "sliding_window": None}
QWEN = {
    "model_type": "qwen3_moe",
    "hidden_size": 2048,
    "intermediate_size": 6144,
    "moe_intermediate_size": 768,
}
QWEN |= {"num_hidden_layers": 48, "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128}
QWEN |= {"vocab_size": 151936, "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1}
QWEN |= {"sliding_window": 4096, "use_sliding_window": False, "max_position_embeddings": 40960}
GPT2 = {
    "model_type": "gpt2",
    "n_embd": 768,
    "n_layer": 12,
    "n_head": 12,
    "n_positions": 1024,
    "vocab_size": 50257,
}
GEMMA2 = {"model_type": "gemma2", "hidden_size": 2304, "intermediate_size": 9216, "num_hidden_layers": 26}
GEMMA2 |= {"num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256, "vocab_size": 256000}
GEMMA2 |= {"sliding_window": 4096, "max_position_embeddings": 8192}
CHECKPOINTS = [(LLAMA, "llama3_1_8b"), (DEEPSEEK, "deepseek_v3_671b"), (MIXTRAL, "mixtral_8x7b")]
CHECKPOINTS += [(QWEN, "qwen3_30b_a3b"), (GPT2, "gpt2_small"), (GEMMA2, "gemma2_2b")]


@pytest.mark.parametrize("config, key", CHECKPOINTS, ids=[key for _, key in CHECKPOINTS])
def test_checkpoint_config_equals_the_row(config, key):
    got, row = zoo.workload_record(zoo.from_config(config)), zoo.model(key)
    want = zoo.workload_record(row)
    assert got.total_params == row["config_params"] and got.active_params == row["config_active_params"]
    for name in want._fields:
        if name not in ("total_params", "active_params"):
            assert getattr(got, name) == getattr(want, name), name


def test_checkpoint_config_from_a_folder(tmp_path):
    folder = tmp_path / "my-model"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "llava", "text_config": LLAMA}))
    row = zoo.from_config(folder)
    assert row.key == "my-model" and row["n_layers"] == 32 and zoo.from_config(folder / "config.json").key == "my-model"


def test_checkpoint_config_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match=r"model_type 'lama'.*llama.*gated_ffn"):
        zoo.from_config({**LLAMA, "model_type": "lama"})
    assert zoo.from_config({**LLAMA, "model_type": "new"}, gated_ffn=1, tied_embeddings=0, name="new")["gated_ffn"] == 1
    with pytest.raises(ValueError, match=r"hidden_size.*add hidden="):
        zoo.from_config({k: v for k, v in LLAMA.items() if k != "hidden_size"})


def test_numbers_of_a_checkpoint_config_may_be_text():
    as_text = {k: str(v) if isinstance(v, int) and not isinstance(v, bool) else v for k, v in DEEPSEEK.items()}
    assert zoo.workload_record(zoo.from_config(as_text)) == zoo.workload_record(zoo.from_config(DEEPSEEK))
    assert zoo.from_config({**LLAMA, "tie_word_embeddings": "false"})["tied_embeddings"] == 0


@pytest.mark.parametrize(
    "base, key, value, says",
    [
        (LLAMA, "num_hidden_layers", 10**30, "at most 100000"),
        (LLAMA, "num_hidden_layers", True, "must be a number"),
        (LLAMA, "num_hidden_layers", "many", "must be a number"),
        (LLAMA, "num_hidden_layers", 32.5, "whole number"),
        (LLAMA, "hidden_size", [4096, 2048], "differs from layer to layer"),
        (LLAMA, "hidden_size", {"a": 1}, "must be a number"),
        (LLAMA, "num_attention_heads", 0, "at least 1"),
        (LLAMA, "num_key_value_heads", -8, "at least 1"),
        (LLAMA, "vocab_size", float("nan"), "whole number"),
        (LLAMA, "tie_word_embeddings", "perhaps", "true or false"),
        (LLAMA, "model_type", 7, "must be a text"),
        (GPT2, "n_positions", 10**18, "at most 1e"),
        (GEMMA2, "sliding_window_pattern", 0, "at least 1"),
        (GEMMA2, "layer_types", "full_attention", "list of texts"),
        (QWEN, "moe_intermediate_size", 0, "at least 1"),
        (DEEPSEEK, "moe_layer_freq", [0, 1, 1], "differs from layer to layer"),
    ],
)
def test_checkpoint_config_names_the_key_of_a_value_that_cannot_be(base, key, value, says):
    with pytest.raises(ValueError, match=rf"^config: {key}=.*{says}") as caught:
        zoo.from_config({**base, key: value})
    assert len(str(caught.value)) < 160


@pytest.mark.parametrize(
    "key, value",
    [
        ("hybrid_override_pattern", "M-M*"),
        ("full_attention_interval", 4),
        ("attn_layer_period", 8),
        ("mamba_num_heads", 8),
        ("linear_num_key_heads", 16),
        ("ssm_state_size", 128),
        ("num_decoder_layers", 24),
        ("encoder_layers", 6),
        ("ffn_config", {"ffn_hidden_size": 10752}),
        ("attn_type_list", [0, 0, 1]),
        ("mlp_only_layers", [0, 1]),
        ("layer_types", ["linear_attention", "full_attention"]),
        ("block_configs", [{"attention": {}}]),
    ],
)
@pytest.mark.parametrize("hints", [{}, {"gated_ffn": 1, "tied_embeddings": 0}], ids=["no hints", "hints"])
def test_layers_that_are_not_understood_are_refused_by_name_whatever_is_added(key, value, hints):
    """An answer that leaves a kind of layer uncounted would look right and be off by factors."""
    with pytest.raises(ValueError, match=rf"{key}=.*understood"):
        zoo.from_config({**LLAMA, key: value}, **hints)


@pytest.mark.parametrize(
    "content, says",
    [
        (b"", "is empty"),
        (b"\x00\xff\xfe\x01", "no text in UTF-8"),
        (b'{"a": 1}x', "no JSON"),
        (b"[1]", "holds a list"),
        (b"null", "holds a NoneType"),
        (b"3", "holds a int"),
        (b"[" * 100_000, "nested too deep|no JSON"),
        (b'{"hidden_size": ' + b"9" * 5000 + b"}", "too long"),
        (b"{}" + b" " * 2**24, "larger than"),
    ],
)
def test_a_file_that_is_no_config_is_refused_in_one_line(tmp_path, content, says):
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"config\.json: .*({says})") as caught:
        zoo.from_config(path)
    assert str(caught.value).count("\n") == 0


def test_places_without_a_config_are_refused_in_one_line(tmp_path):
    for place in (tmp_path, tmp_path / "no such folder", "a\0b"):
        with pytest.raises(ValueError, match=r"no such file|cannot be read"):
            zoo.from_config(place)
    for thing in (None, 3, [LLAMA]):
        with pytest.raises(ValueError, match=r"give the path of a config\.json"):
            zoo.from_config(thing)


def test_a_byte_order_mark_is_no_part_of_a_config(tmp_path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(LLAMA), encoding="utf-8-sig")
    assert zoo.from_config(path)["n_layers"] == 32


def test_every_fourth_layer_of_llama4_sees_the_whole_context_also_where_the_file_is_silent():
    """Class default of the family: 36 chunked and 12 global layers (transformers pull request 37344)."""
    scout = {
        "model_type": "llama4_text",
        "hidden_size": 5120,
        "num_hidden_layers": 48,
        "num_attention_heads": 40,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "intermediate_size": 8192,
        "intermediate_size_mlp": 16384,
        "num_local_experts": 16,
        "num_experts_per_tok": 1,
        "vocab_size": 202048,
        "attention_chunk_size": 8192,
    }
    assert zoo.from_config(scout)["local_layers"] == 36 == zoo.model("llama4_scout")["local_layers"]


def test_four_bit_checkpoints_run_where_the_products_are_wider():
    """gpt-oss ships in mxfp4 and runs on one 80 GB H100: its weights are widened on the way to 16-bit products."""
    hopper = zoo.accelerator_record("h100", Precision.MXFP4)
    assert hopper.peak_flops == zoo.accelerator_record("h100", Precision.BF16).peak_flops
    assert zoo.accelerator_record("b200", Precision.MXFP4).peak_flops > 2 * hopper.peak_flops
    assert ms.ServingModel.solve(model="gpt_oss_120b", hardware="h100", precision="mxfp4", seq_len=1024).feasible


def test_a_device_in_a_file_is_the_device(tmp_path):
    """The arguments of Hardware in a TOML file, from Python and from the command line."""
    place = tmp_path / "mine.toml"
    place.write_text('base = "h100"\nmem_bandwidth = "4 TB/s"\n')
    own = zoo.Hardware("h100", mem_bandwidth="4 TB/s", name="mine")
    call = {"model": "llama3_1_8b", "seq_len": 2048}
    itl = [float(ms.ServingModel.solve(hardware=h, **call).itl) for h in (place, str(place), own)]
    assert itl[0] == itl[1] == itl[2] < float(ms.ServingModel.solve(hardware="h100", **call).itl)
    assert zoo.hardware(place).key == "mine"
    out = runner().invoke(app, ["solve", "serving", f"hardware={place}", "model=llama3_1_8b", "seq_len=2048", "--json"])
    assert json.loads(out.stdout)["data_vars"]["itl"]["data"] == itl[0]


@pytest.mark.parametrize(
    "text, says",
    [
        (None, "no file can be read at"),
        ("peak_flop = 1", "no field is named 'peak_flop'; nearest: peak_flops"),
        ("peak_flops = ", "is no TOML file"),
        ('base = "h1000"', "nearest"),
    ],
)
def test_a_file_that_is_no_device_says_why(tmp_path, text, says):
    place = tmp_path / "mine.toml"
    if text is not None:
        place.write_text(text)
    with pytest.raises(ValueError, match=re.escape(says)) as told:
        zoo.hardware(place)
    assert "\n" not in str(told.value)
