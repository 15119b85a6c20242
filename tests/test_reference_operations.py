"""Money, energy, carbon, failures, checkpoints and privacy against hand calculations and published runs.

An expected value is text: it holds to the digits printed.
"""

import math
from decimal import Decimal

import numpy as np
import pytest

from mlsysim import zoo
from mlsysim.equations import money, privacy
from mlsysim.equations import reliability as failures
from mlsysim.models.checkpoint import checkpoint
from mlsysim.models.economics import economics
from mlsysim.models.reliability import reliability
from mlsysim.models.responsible import responsible_engineering
from mlsysim.models.sustainability import sustainability
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import Clipping, Conversion, Limit, Optimizer, Precision, PriceBasis, Procurement
from mlsysim.schema.records import Accelerator, Fleet, Site, Workload

HOUR, DAY, KWH, MWH = 3600.0, 86400.0, 3.6e6, 3.6e9
HAND = "hand calculation"
LLAMA3 = "Grattafiori et al. 2024, table 5"
YOUNG, DALY = "Young 1974", "Daly 2006"


def agrees(computed, expected: str):
    """Is a number the printed one, to half a unit of its last digit?"""
    printed = Decimal(expected)
    half = 0.5000001 * 10.0 ** printed.as_tuple().exponent  # type: ignore[operator]
    return abs(float(computed) - float(printed)) <= half + 1e-12 * abs(float(printed))


def record(kind, **known):
    return kind(**{**dict.fromkeys(kind._fields, math.nan), **known})


#: nothing but the devices: no host, no network, no building, no staff
BARE = Assumptions(
    compute_activity=1.0,
    host_power_fraction=0.0,
    network_power_fraction=0.0,
    server_multiplier=1.0,
    infrastructure_multiplier=1.0,
    facility_price=0.0,
    maintenance_share=0.0,
    staff_price=0.0,
    residual_share=0.0,
    embodied_multiplier=1.0,
)
DEVICE = record(
    Accelerator,
    tdp=700.0,
    idle_power=70.0,
    price=30_000.0,
    hourly_price=2.99 / HOUR,
    embodied_carbon=164.0,
    host_bandwidth=63e9,
)
FLEET = record(Fleet, fleet_size=0.0, accelerators_per_node=8.0, node_price=250_000.0, host_memory=2e12)
SITE = Site(carbon_intensity=0.4 / KWH, electricity_price=0.08 / KWH, offsite_water=4.52 / KWH, pue=1.2, wue=1.8 / KWH)


def cost(duration=720.0 * HOUR, n=1024.0, assume=BARE, device=DEVICE, site=SITE, **more):
    return economics(device, FLEET, site, assume, duration, n, **more)


def footprint(duration=720.0 * HOUR, n=1024.0, assume=BARE, device=DEVICE, site=SITE, **more):
    return sustainability(device, FLEET, site, assume, duration, n, **more)


# --- EconomicsModel ------------------------------------------------------------------------------------

YEAR = BARE.year
STRAIGHT = BARE._replace(cost_of_capital=0.0, hardware_life=3.0 * YEAR)
H800 = DEVICE._replace(hourly_price=2.0 / HOUR)
DEEPSEEK = "DeepSeek-AI 2024 (arXiv:2412.19437), table 1: 2 USD per H800-hour"

ECONOMICS = [
    ("crf", lambda: money.capital_recovery_factor(0.08, 4.0), ".301920804", HAND),
    ("crf-no-interest", lambda: money.capital_recovery_factor(0.0, 4.0), ".25", HAND),
    ("annual-capex", lambda: cost(YEAR).capex, "9275007.11", HAND),
    (
        "annual-capex-10%-residual",
        lambda: cost(YEAR, assume=BARE._replace(residual_share=0.1)).capex,
        "8593266.40",
        HAND,
    ),
    (
        "capex-per-useful-hour",
        lambda: cost(cluster_utilization=0.9).capex_per_device_time * HOUR,
        "1.14886151",
        HAND,
    ),
    ("electricity", lambda: cost().electricity_cost, "49545.216", HAND),
    ("straight-line-3-years", lambda: cost(3.0 * YEAR, assume=STRAIGHT).capex, "30720000.000", HAND),
    (
        "straight-line-electricity",
        lambda: cost(3.0 * YEAR, assume=STRAIGHT).electricity_cost,
        "1808400.384",
        HAND,
    ),
    ("straight-line-tco", lambda: cost(3.0 * YEAR, assume=STRAIGHT).tco, "32528400.384", HAND),
    ("purchase", lambda: cost().purchase_cost, "30720000", HAND),
    ("node-price", lambda: cost(n=8.0, price_basis=PriceBasis.NODE).purchase_cost, "250000", HAND),
    (
        "maintenance",
        lambda: cost(YEAR, assume=BARE._replace(maintenance_share=0.05)).maintenance_cost,
        "1536000.000",
        HAND,
    ),
    (
        "deepseek-v3-pre-training",
        lambda: cost(2.664e6 * HOUR, 1.0, device=H800, procurement=Procurement.ON_DEMAND).tco,
        "5328000.0",
        DEEPSEEK,
    ),
    (
        "deepseek-v3-context",
        lambda: cost(119e3 * HOUR, 1.0, device=H800, procurement=Procurement.ON_DEMAND).tco,
        "238000.0",
        DEEPSEEK,
    ),
    (
        "deepseek-v3",
        lambda: cost(2788e3 * HOUR, 1.0, device=H800, procurement=Procurement.ON_DEMAND).tco,
        "5576000.0",
        DEEPSEEK,
    ),
    (
        "llama-3.1-405b-rented",
        lambda: cost(30.84e6 * HOUR, 1.0).rent_cost,
        "92211600.0",
        "30.84e6 h x 2.99 USD/h",
    ),
    ("reserved", lambda: cost(1000.0 * HOUR, 8.0, procurement=Procurement.RESERVED).tco, "11960.0", HAND),
    ("spot", lambda: cost(1000.0 * HOUR, 8.0, procurement=Procurement.SPOT).tco, "8372.0", HAND),
    (
        "deepseek-v3-per-mtok",
        lambda: cost(2.664e6 * HOUR, 1.0, device=H800, procurement=Procurement.ON_DEMAND, tokens=14.8e12).usd_per_mtok,
        ".36",
        DEEPSEEK,
    ),
    (
        "per-mtok-by-rate",
        lambda: cost(HOUR, 4.0, procurement=Procurement.ON_DEMAND, tokens_per_s=3813.15856).usd_per_mtok,
        ".871252",
        "4 x 2.99 USD/h over 3,813 tokens/s",
    ),
    (
        "break-even-utilization",
        lambda: cost(site=SITE._replace(electricity_price=0.0)).break_even_utilization,
        ".3458112",
        "30,000 USD x .301920804 / 8,760 h over 2.99 USD/h",
    ),
    (
        "payback",
        lambda: cost(site=SITE._replace(electricity_price=0.0)).break_even_duration / HOUR,
        "10033.4448",
        "30,000 USD / 2.99 USD/h",
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), ECONOMICS, ids=[v[0] for v in ECONOMICS])
def test_reference_economics(name, computed, expected, source):
    assert agrees(computed(), expected), source


def test_reference_budget_and_fleet_limit():
    assert cost(budget=1e9).limit == Limit.NONE
    assert cost(budget=1e3).limit == Limit.BUDGET
    small = FLEET._replace(fleet_size=64.0)
    assert economics(DEVICE, small, SITE, BARE, DAY, 128.0).limit == Limit.SHAPE
    assert float(economics(DEVICE, small, SITE, BARE, DAY).purchase_cost) == 64 * 30_000.0
    assert float(economics(DEVICE, FLEET, SITE, BARE, DAY).purchase_cost) == 8 * 30_000.0


# --- SustainabilityModel -------------------------------------------------------------------------------


def published(hours, watts, grams=0.0):
    device = DEVICE._replace(tdp=watts)
    site = Site(carbon_intensity=grams / 1000.0 / KWH, electricity_price=0.0, offsite_water=0.0, pue=1.0, wue=0.0)
    return footprint(hours * HOUR, 1.0, device=device, site=site)


LLAMA2 = "Touvron et al. 2023 (arXiv:2307.09288), table 2"
SUSTAINABILITY = [
    ("it-energy", lambda: footprint().it_energy / KWH, "516096.0", HAND),
    ("facility-energy", lambda: footprint().energy / KWH, "619315.2", HAND),
    ("carbon", lambda: footprint().carbon_operational, "247726.08", HAND),
    ("water-on-site", lambda: footprint().water_onsite, "928972.8", HAND),
    ("water-off-site", lambda: footprint().water_offsite, "2799304.704", HAND),
    ("water", lambda: footprint().water, "3728277.504", HAND),
    (
        "embodied",
        lambda: footprint(BARE.hardware_life, 8.0).carbon_embodied,
        "1312.000000",
        "product carbon footprint of an HGX H100 baseboard, over its life",
    ),
    ("average-power", lambda: footprint().average_power, "860160.0", HAND),
    ("half-busy", lambda: footprint(compute_utilization=0.5).it_energy / KWH, "283852.8", "385 W each"),
    (
        "memory-bound",
        lambda: footprint(HOUR, 1.0, compute_utilization=0.1, memory_activity=1.0).it_energy / HOUR,
        "448.0",
        "70 + 630 x .6 W",
    ),
    ("contracts", lambda: footprint(clean_energy_share=0.75).carbon_operational_market, "61931.520", HAND),
    (
        "gpt-3",
        lambda: published(1.0, 1287e6, 429.0).carbon_operational / 1000.0,
        "552.123",
        "Patterson et al. 2021 (arXiv:2104.10350): 1,287 MWh, 552 t",
    ),
    (
        "bloom",
        lambda: published(1.0, 433_196e3, 57.0).carbon_operational / 1000.0,
        "24.6922",
        "Luccioni et al. 2023: 433,196 kWh, 24.7 t",
    ),
    ("llama-2-70b", lambda: published(1_720_320.0, 400.0).it_energy / KWH, "688128.0", LLAMA2),
    (
        "llama-2-70b-carbon",
        lambda: published(1_720_320.0, 400.0, 423.497).carbon_operational / 1000.0,
        "291.42",
        LLAMA2,
    ),
    (
        "llama-2-7b-carbon",
        lambda: published(184_320.0, 400.0, 423.497).carbon_operational / 1000.0,
        "31.22",
        LLAMA2,
    ),
    (
        "llama-2-13b-carbon",
        lambda: published(368_640.0, 400.0, 423.497).carbon_operational / 1000.0,
        "62.4",
        LLAMA2,
    ),
    (
        "llama-2-34b-carbon",
        lambda: published(1_038_336.0, 350.0, 423.497).carbon_operational / 1000.0,
        "153.9",
        LLAMA2,
    ),
    (
        "llama-3.1-405b",
        lambda: published(30.84e6, 700.0).it_energy / KWH,
        "21588000.0",
        "Llama 3.1 model card",
    ),
    (
        "llama-3.1-405b-carbon",
        lambda: published(30.84e6, 700.0, 413.656).carbon_operational / 1000.0,
        "8930",
        "Llama 3.1 model card",
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), SUSTAINABILITY, ids=[v[0] for v in SUSTAINABILITY])
def test_reference_sustainability(name, computed, expected, source):
    assert agrees(computed(), expected), source


def test_reference_node_power_of_a_dgx_h100_in_training():
    """Measured: 7.75 to 8.4 kW with eight devices near their 700 W (arXiv:2412.08602, arXiv:2506.14551)."""
    device = DEVICE
    node = 8.0 * float(
        sustainability(
            device, FLEET, SITE, Assumptions(network_power_fraction=0.0, compute_activity=1.0), 1.0, 1.0
        ).it_energy
    )
    assert 7750.0 <= node <= 8400.0


# --- ReliabilityModel ----------------------------------------------------------------------------------

DEVICE_HOURS = 21_233_664.0
PLANNED = Assumptions(planned_interruption_rate=47.0 / (DEVICE_HOURS * HOUR))


def job(duration=54.0 * DAY, n=16_384.0, assume=None, **more):
    return reliability(FLEET, assume or Assumptions(), duration, n, **more)


def every(mtbf):
    """A job that fails once in `mtbf` seconds, on average."""
    quiet = dict.fromkeys(
        (
            "hbm_failure_rate",
            "nic_failure_rate",
            "network_failure_rate",
            "software_failure_rate",
            "host_failure_rate",
            "psu_failure_rate",
        ),
        0.0,
    )
    return Assumptions(gpu_failure_rate=1.0 / mtbf, **quiet)


def saved(cost_of_one, mtbf, restart=0.0, **more):
    return job(DAY, 1.0, every(mtbf), checkpoint_blocking_time=cost_of_one, restart_time=restart, **more)


def counted(name):
    """Failures of a kind in the 54 days, whatever the job lost to them."""
    found = job()
    return getattr(found, name) * 54.0 * DAY / found.completion_time


RELIABILITY = [
    ("mtbf-419", lambda: job().mtbf / HOUR, "3.09307876", LLAMA3),
    ("mtbf-466", lambda: job(assume=PLANNED).mtbf / HOUR, "2.78111588", LLAMA3),
    ("device-hours-per-failure", lambda: job().mtbf / HOUR * 16_384.0, "50677.0024", LLAMA3),
    ("failure-probability", lambda: job(DAY, 1024.0).failure_probability, ".384274298", LLAMA3),
    (
        "failure-probability-50677-h",
        lambda: failures.failure_probability(DAY, 1024.0 / (50_677.0 * HOUR)),
        ".384274312",
        "one failure in 50,677 device-hours, rounded as printed",
    ),
    ("count", lambda: counted("expected_failures"), "419.000000", LLAMA3),
    ("count-gpu", lambda: counted("expected_gpu_failures"), "196.000000", LLAMA3),
    ("count-hbm", lambda: counted("expected_hbm_failures"), "72.000000", LLAMA3),
    ("count-network", lambda: counted("expected_network_failures"), "42.000000", LLAMA3),
    ("count-host", lambda: counted("expected_host_failures"), "46.000000", LLAMA3),
    ("count-software", lambda: counted("expected_software_failures"), "63.000000", LLAMA3),
    ("young", lambda: saved(60.0, 11124.0).young_interval, "1155.37007", YOUNG),
    ("daly", lambda: saved(60.0, 11124.0).optimal_interval, "1115.71628", DALY),
    ("exact", lambda: saved(60.0, 11124.0).exact_interval, "1115.72110", DALY),
    ("goodput", lambda: saved(60.0, 11124.0).goodput, ".899701447", DALY),
    ("daly-300", lambda: saved(300.0, 10800.0).optimal_interval, "2349.51278", DALY),
    ("goodput-300-600", lambda: saved(300.0, 10800.0, 600.0).goodput, ".740157408", DALY),
    (
        "first-order-300-600",
        lambda: failures.goodput_first_order(2349.51278, 300.0, 600.0, 10800.0),
        ".694",
        DALY,
    ),
    ("daly-5", lambda: saved(5.0, 3600.0).optimal_interval, "186.417966", DALY),
    ("daly-600", lambda: saved(600.0, 600.0).optimal_interval, "495.668590", DALY),
    ("exact-600", lambda: saved(600.0, 600.0).exact_interval, "504.843396", DALY),
    ("daly-rare", lambda: saved(900.0, 400.0).optimal_interval, "400", "Daly 2006: M where delta >= 2 M"),
    ("completion", lambda: saved(60.0, 11124.0).completion_time, "96031.8562", "a day over .899701447"),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), RELIABILITY, ids=[v[0] for v in RELIABILITY])
def test_reference_reliability(name, computed, expected, source):
    assert agrees(computed(), expected), source


GROUPS = {
    "gpu_failure_rate": (
        "faulty_gpu",
        "gpu_sram",
        "gpu_system_processor",
        "gpu_thermal",
        "silent_data_corruption",
    ),
    "hbm_failure_rate": ("hbm3",),
    "nic_failure_rate": ("nic",),
    "network_failure_rate": ("switch_cable",),
    "software_failure_rate": ("software_bug", "dependency", "nccl_watchdog"),
    "host_failure_rate": ("host_maintenance", "ssd", "cpu", "system_memory", "io_board", "server_chassis"),
    "psu_failure_rate": ("power_supply",),
}


@pytest.mark.parametrize("rate", GROUPS)
def test_reference_failure_rates_are_the_published_counts(rate):
    counts = [zoo.reliability(f"llama3_{cause}")["value"] for cause in GROUPS[rate]]
    hours = DEVICE_HOURS / (8.0 if rate in ("host_failure_rate", "psu_failure_rate") else 1.0)
    assert float(getattr(Assumptions(), rate)) == pytest.approx(sum(counts) / (hours * HOUR), rel=1e-14)


def test_reference_eighteen_causes_make_419():
    causes = [cause for group in GROUPS.values() for cause in group]
    assert len(causes) == 18
    assert sum(zoo.reliability(f"llama3_{cause}")["value"] for cause in causes) == 419


def test_reference_goodput_of_llama_3_is_above_90_percent():
    """Published: more than 90 % effective training time; snapshots took seconds (asynchronous)."""
    found = job(checkpoint_blocking_time=5.0, checkpoint_write_time=60.0)
    assert found.goodput > 0.9


# --- CheckpointModel -----------------------------------------------------------------------------------


def save(name="Llama-3.1-405B", n=16_384.0, precision=Precision.BF16, assume=None, **more):
    model = zoo.workload_record(zoo.model(name))
    return checkpoint(model, DEVICE, FLEET, zoo.format_record(precision), assume or Assumptions(), n, **more)


def bloom():
    """2.3 TB from 48 nodes to storage that takes 57.5 GB/s."""
    model = record(Workload, total_params=2.3e12 / 14.0)
    storage = Assumptions(checkpoint_bandwidth=57.5e9)
    return checkpoint(model, DEVICE, FLEET, zoo.format_record(Precision.BF16), storage, 384.0)


ZERO = "Rajbhandari et al. 2020, bytes per parameter"
CHECKPOINT = [
    ("70b", lambda: save("Llama-3.1-70B").checkpoint_size, "987751890944", ZERO),
    ("405b", lambda: save().checkpoint_size, "5681947443200", ZERO),
    ("405b-write", lambda: save().checkpoint_write_time, "56.819474432", "at 100 GB/s"),
    ("405b-weights", lambda: save().checkpoint_weights, "811706777600", ZERO),
    ("405b-master", lambda: save().checkpoint_master_weights, "1623413555200", ZERO),
    ("405b-moments", lambda: save().checkpoint_moments, "3246827110400", ZERO),
    (
        "405b-8-bit",
        lambda: save(optimizer=Optimizer.ADAM_8BIT).checkpoint_size,
        "3246827110400",
        "2 + 4 + 2 byte",
    ),
    (
        "405b-momentum",
        lambda: save(optimizer=Optimizer.SGD_MOMENTUM).checkpoint_size,
        "4058533888000",
        "2 + 4 + 4 byte",
    ),
    ("405b-fp32", lambda: save(precision=Precision.FP32).checkpoint_size, "4870240665600", "4 + 8 byte"),
    (
        "one-node",
        lambda: save("Llama-3.1-70B", 8.0).checkpoint_write_time,
        "39.51007563776",
        "at 25 GB/s a node",
    ),
    ("one-writer", lambda: save(sharded=0.0).checkpoint_write_time, "227.277897728", "at 25 GB/s a node"),
    ("bloom", lambda: bloom().checkpoint_write_time, "40.000000000", "BLOOM: 2.3 TB in 40 s"),
    (
        "snapshot",
        lambda: save("Llama-3.1-70B", 64.0, asynchronous=1.0).snapshot_memory,
        "123468986368",
        "size / 8 nodes",
    ),
    ("penalty", lambda: save(checkpoint_interval=1800.0).mfu_penalty, ".030600", "56.82 / (1800 + 56.82)"),
    (
        "required",
        lambda: save(checkpoint_interval=1800.0).required_bandwidth / 1e9,
        "3.06004",
        "5.68 TB in 1856.82 s",
    ),
]


@pytest.mark.parametrize(("name", "computed", "expected", "source"), CHECKPOINT, ids=[v[0] for v in CHECKPOINT])
def test_reference_checkpoint(name, computed, expected, source):
    assert agrees(computed(), expected), source


def test_reference_checkpoint_limits():
    assert save(asynchronous=1.0, checkpoint_interval=10.0).limit == Limit.SATURATION
    assert save("Llama-3.1-405B", 8.0, asynchronous=1.0).limit == Limit.MEMORY
    assert save(n=64.0, writers=9.0).limit == Limit.SHAPE
    assert save(asynchronous=1.0).feasible


# --- ResponsibleEngineeringModel -----------------------------------------------------------------------

MNIST = 256.0 / 60_000.0
TF_PRIVACY = "TensorFlow Privacy tutorial (3.01, 1.19, 7.10 printed)"
ABADI = "Abadi et al. 2016 (1.26 printed)"
RDP = "Mironov et al. 2019"
#: (q, sigma, steps, delta), then classic, improved, classic and improved with whole orders
SPENT = [
    ((MNIST, 1.1, 14062.0, 1e-5), ("3.00827", "2.59656", "3.00910", "2.59698"), TF_PRIVACY),
    ((MNIST, 1.3, 3515.0, 1e-5), ("1.19213", ".954430", "1.19213", ".954430"), TF_PRIVACY),
    ((MNIST, 0.7, 10546.0, 1e-5), ("7.10027", "6.31810", "7.12262", "6.37284"), TF_PRIVACY),
    ((0.01, 4.0, 10000.0, 1e-5), ("1.25857", "1.03549", "1.25857", "1.03549"), ABADI),
    ((0.01, 1.0, 1000.0, 1e-5), ("2.53798", "2.10137", "2.53835", "2.10775"), RDP),
]
COLUMNS = [
    (Conversion.CLASSIC, 1.0),
    (Conversion.IMPROVED, 1.0),
    (Conversion.CLASSIC, 0.0),
    (Conversion.IMPROVED, 0.0),
]


@pytest.mark.parametrize("column", range(4), ids=["classic", "improved", "classic-whole", "improved-whole"])
@pytest.mark.parametrize(("run", "expected", "source"), SPENT, ids=[f"{r[0][1]}-{r[0][2]:.0f}" for r in SPENT])
def test_reference_epsilon(run, expected, source, column):
    rate, sigma, steps, delta = run
    conversion, fractional = COLUMNS[column]
    found = responsible_engineering(
        Assumptions(),
        1.0,
        batch_size=rate * 60_000.0,
        dataset_size=60_000.0,
        training_steps=steps,
        delta=delta,
        noise_multiplier=sigma,
        conversion=conversion,
        fractional_orders=fractional,
    )
    assert agrees(found.epsilon_spent, expected[column]), source


@pytest.mark.parametrize(("batch", "epochs", "limit"), [(256.0, 10.0, 0), (1e6, 10.0, 1), (60_000.0, 0.5, 1)])
def test_a_batch_comes_from_the_data_set(batch, epochs, limit):
    """More samples than there are, or a training without a step, is no shape; the time alone needs neither."""
    found = responsible_engineering(Assumptions(), HOUR, 3.0, batch_size=batch, dataset_size=60_000.0, epochs=epochs)
    assert found.limit == limit and bool(found.feasible) == (limit == Limit.NONE)


NOISE = [
    (3.0, ("1.10188", "1.01400", "1.10201", "1.01447")),
    (1.0, ("2.59563", "2.17842", "2.59563", "2.17842")),
]


@pytest.mark.parametrize("column", range(4), ids=["classic", "improved", "classic-whole", "improved-whole"])
@pytest.mark.parametrize(("wanted", "expected"), NOISE, ids=["3", "1"])
def test_reference_noise_multiplier(wanted, expected, column):
    conversion, fractional = COLUMNS[column]
    found = responsible_engineering(
        Assumptions(),
        1.0,
        wanted,
        batch_size=256.0,
        dataset_size=60_000.0,
        training_steps=14062.0,
        delta=1e-5,
        conversion=conversion,
        fractional_orders=fractional,
    )
    assert agrees(found.noise_multiplier, expected[column]), RDP
    assert found.feasible


PRIVACY = [
    ("rdp-2", lambda: privacy.renyi_divergence(0.01, 1.0, 2.0) * 1e4, "1.71813422", RDP),
    ("rdp-8", lambda: privacy.renyi_divergence(0.01, 1.0, 8.0) * 1e4, "8.93643908", RDP),
    ("rdp-32", lambda: privacy.renyi_divergence(0.01, 4.0, 32.0) * 1e4, "1.05263607", RDP),
    ("rdp-all-samples", lambda: privacy.renyi_divergence(1.0, 2.0, 6.0), ".75", "a / (2 sigma^2)"),
    ("steps", lambda: privacy.steps_of(60.0, 60_000.0, 256.0), "14062", "floor(epochs n / B)"),
    (
        "per-sample-slowdown",
        lambda: private(Clipping.PER_SAMPLE).dp_slowdown,
        "4.5",
        "Rodriguez Beltran et al. 2024",
    ),
    (
        "ghost-slowdown",
        lambda: private(Clipping.GHOST).dp_training_time,
        "7920.0000",
        "Rodriguez Beltran et al. 2024",
    ),
    ("loop-slowdown", lambda: private(Clipping.LOOP).dp_training_time, "360000.0", "Subramani et al. 2021"),
    ("subgroup", lambda: private(Clipping.GHOST, subgroup_share=0.1).subgroup_data_factor, "10", HAND),
    ("noise-batch", lambda: privacy.batch_for_noise(1.1, 25_557_032.0, 1.0), "5560.936", "sigma sqrt(d)"),
]


def private(clipping, **more):
    return responsible_engineering(Assumptions(), HOUR, clipping=clipping, **more)


@pytest.mark.parametrize(("name", "computed", "expected", "source"), PRIVACY, ids=[v[0] for v in PRIVACY])
def test_reference_responsible_engineering(name, computed, expected, source):
    assert agrees(computed(), expected), source


def test_reference_published_epsilons_hold():
    """More privacy spent than allowed is infeasible by budget."""
    known = {
        "batch_size": 256.0,
        "dataset_size": 60_000.0,
        "epochs": 60.0,
        "noise_multiplier": 1.1,
        "conversion": Conversion.CLASSIC,
    }
    assert responsible_engineering(Assumptions(), 1.0, 3.1, **known).feasible
    assert responsible_engineering(Assumptions(), 1.0, 3.0, **known).limit == Limit.BUDGET


def test_reference_units_of_the_zoo():
    """The same chain from rows: an H100 in the United States."""
    device = zoo.accelerator_record(zoo.hardware("h100"), Precision.BF16)
    site = zoo.site_record(zoo.grid("usa"), zoo.datacenter("us_average_2023"))
    fleet = zoo.fleet_record(None, zoo.hardware("h100"))
    found = sustainability(device, fleet, site, BARE, DAY, 1.0)
    assert float(found.energy) / KWH == pytest.approx(0.7 * 24 * 1.4)
    assert float(found.carbon_operational) == pytest.approx(0.7 * 24 * 1.4 * 0.369473)
    assert np.isfinite(float(economics(device, fleet, site, BARE, DAY, 1.0).tco))
