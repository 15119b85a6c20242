"""What fleets used and lost: energy and carbon of trainings, interruptions, goodput, checkpoints, supply of data.

A row states one `quantity` of an `area`; `value` and `unit` are converted to base units.  ``group`` is area and class:

=========================== ===================================================================================
group                       what is predicted
=========================== ===================================================================================
training_energy/definition  a source's own account, devices at a stated (or their design) power all the time:
                            ``device_hours x power x pue``, times the grid for carbon.  Such are rows that give
                            `power_per_device_W` and the quantities `energy_devices` and `carbon_dynamic`
training_energy/model       SustainabilityModel at its default activity (`energy`, `carbon_location`), doing nothing
                            (`energy_idle_infrastructure`, `carbon_idle`), with its making (`carbon_with_embodied`)
training_energy/from tokens the same where no hours are stated: those of `training_hours`
training_hours              tokens through the fastest layout (as for training runs, over tensor degrees as well),
                            over the goodput of such a job (ReliabilityModel, with the times of CheckpointModel)
                            and the share of evaluation
interruptions/own rates     ReliabilityModel on the run that its rates were read off: says that the sum is right
interruptions/other fleets  ReliabilityModel on others; the interval is that between sites
goodput, checkpoint         ReliabilityModel and CheckpointModel
storage_supply              what devices take that are fed for the stated share of the time: a submission adds devices
                            until their `least_busy_share` is the least that the rules allow, so these rows test the demand
                            and not a maximum
=========================== ===================================================================================

Blank cells follow the same rules for every row: the hours of a run are devices times duration, its tokens those of the
zoo's model; where the power is stated, it is that of the building (`pue` 1), else the building is the default of the zoo
(the average of the United States); the carbon of the grid is as stated, else of the `region`, else of the United States;
1,024 devices, nodes of eight, 4,096 tokens in a sequence, batches of 4 Mi tokens (16 Mi on devices whose midlife is 2024 or
later), 8 bits where the weights were published so, else 16, no recomputation before it is needed.  A count of
interruptions is of wall-clock time.  Causes finer than ReliabilityModel's are not predicted.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from mlsysim import zoo
from mlsysim.calibration import frameworks, training
from mlsysim.calibration.rules import Refused, device, given
from mlsysim.models.checkpoint import checkpoint
from mlsysim.models.distributed import DistributedModel
from mlsysim.models.reliability import reliability
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.codes import PenaltyBasis
from mlsysim.zoo.row import Row

HOUR = 3600.0
#: what is predicted, in the order in which it is told
TARGETS = (
    "energy",
    "carbon",
    "device_hours",
    "interruptions",
    "mtbf",
    "goodput",
    "checkpoint_size",
    "checkpoint_write_time",
    "checkpoint_share",
    "samples_per_s",
)
UNITS = {"MWh": 1e3 * 3.6e6, "kWh": 3.6e6, "t": 1e3, "kg": 1.0, "h": HOUR, "s": 1.0, "1": 1.0, "byte": 1.0, "1/s": 1.0}
REGION, BUILDING, NODES = "usa", "us_average_2023", "h100"
NODE, DEVICES, SEQUENCE, TENSOR, EXPERT = 8.0, 1024.0, 4096.0, (1.0, 2.0, 4.0, 8.0), (8.0, 16.0, 32.0, 64.0)
#: tokens of a batch that nobody states, by the year of the device's midlife: Llama 3 405B ran up to 16 Mi
LARGE_BATCH, LARGE_SINCE = 2.0**24, 2024
#: share of the hours in which a training is evaluated: 100 batches after every 1,000 steps, forward only (a third of a step),
#: as example scripts of Megatron-LM have it (--eval-interval 1000 --eval-iters 100)
EVALUATED = 0.1 / 3.0
#: what a whole training takes beside its steps, failures and evaluation (ramping up, later stages, work thrown away, hours of
#: slower software) is not predicted: its spread in log space, about what OPT-175B lost (up 0.59 of the time) and what the
#: hours of the Llama 3 cards are above the speeds of their paper
SPREADS = {
    "training_hours": {"device_hours": 0.6},
    "storage_supply": {"samples_per_s": 0.045},  # between 0.95 and 1.06 of what the least utilization takes
}
#: the run that the rates of ReliabilityModel were read off: devices and hours
RATES_OF = (16384.0, 1296.0)
PLANNED = 47.0 / (RATES_OF[0] * RATES_OF[1] * HOUR)  #: planned interruptions of that run, for counts that include them

#: energy and carbon: quantity -> (output, devices alone at full power, activity or None for the default)
ACCOUNTS: dict[str, tuple[str, bool, float | None]] = {
    "energy": ("energy", False, None),
    "energy_devices": ("energy", True, 1.0),
    "energy_idle_infrastructure": ("energy", False, 0.0),
    "carbon_location": ("carbon_operational", False, None),
    "carbon_dynamic": ("carbon_operational", True, 1.0),
    "carbon_idle": ("carbon_operational", False, 0.0),
    "carbon_with_embodied": ("carbon", False, None),
}
COUNTS = {
    "interruptions": None,
    "unplanned_interruptions": None,
    "failures": None,
    "interruptions_hbm": "expected_hbm_failures",
}


class Asked(NamedTuple):
    """One row as inputs of a resolver, one dict a way of filling what is blank (see `serving.Question`)."""

    resolver: str
    group: str
    points: list[dict[str, Any]]
    assumed: dict[str, float]
    target: tuple[str, str, float, float]  #: name, output, factor, power
    measured: float  #: in base units
    modes: list[int]  #: how far recomputation goes, one a point


def question(run: Mapping[str, Any]) -> Asked:
    """A row as inputs of a model."""
    area, quantity, value = given(run, "area"), given(run, "quantity"), given(run, "value")
    if value is None:
        raise Refused("no measured figure")
    unit = str(given(run, "unit") or "1")
    if unit not in UNITS:
        raise Refused(f"unit {unit!r} is not known: {', '.join(UNITS)}")
    measured = float(value) * UNITS[unit]
    if area == "training_energy" and quantity in ACCOUNTS:
        return _account(run, quantity, measured)
    if area == "training_energy" and quantity in ("device_hours", "device_hours_all_stages"):
        return _hours(run, measured)
    if area == "interruptions" and (quantity in COUNTS or str(quantity).startswith("mtti")):
        return _interruptions(run, str(quantity), measured)
    if area == "goodput" and quantity == "goodput":
        return _one("reliability", "goodput", _job(run, _hours_of(run) or HOUR), ("goodput", "goodput"), measured)
    if area == "checkpoint" and quantity in ("checkpoint_bytes", "write_time", "checkpoint_share"):
        return _checkpoint(run, quantity, measured)
    if area == "storage_supply" and quantity == "samples_per_s":
        return _storage(run, measured)
    raise Refused(f"{area}: {quantity} is not predicted")


def _one(
    resolver: str,
    group: str,
    inputs: dict[str, Any],
    target: tuple[str, str],
    measured: float,
    factor: float = 1.0,
    power: float = 1.0,
) -> Asked:
    return Asked(resolver, group, [inputs], {}, (*target, factor, power), measured, [0])


def _hours_of(run: Mapping[str, Any]) -> float | None:
    """Seconds that a run took, if it says so."""
    hours = given(run, "duration_h")
    return None if hours is None else float(hours) * HOUR


def _device_seconds(run: Mapping[str, Any]) -> float | None:
    hours = given(run, "device_hours")
    if hours is None and given(run, "duration_h") is not None and given(run, "n_devices") is not None:
        hours = run["duration_h"] * run["n_devices"]
    return None if hours is None else float(hours) * HOUR


def _predicted_seconds(run: Mapping[str, Any]) -> float:
    """Device-seconds of a training whose hours nobody states."""
    if given(run, "model") is None:
        raise Refused("no device-hours stated, nor devices and duration, nor a model and its tokens")
    asked = _hours(run, math.nan)
    first = asked.points[0]
    same: dict[str, Any] = {name: first[name] for name in ("model", "hardware")}
    points = {name: [point[name] for point in asked.points] for name in first if name not in same}
    wanted = ("step_time", "tokens_per_s", "limit", "memory_per_device")
    found = DistributedModel.solve(keep=wanted, points=points, **{**same, **asked.assumed})
    time, speed, limit, memory = (found[name].values for name in wanted)
    best = training.pick(time, limit, memory, asked.modes)
    if best is None:
        raise Refused("no layout that is tried is possible")
    return asked.target[2] / float(speed[best])


def _account(run: Mapping[str, Any], quantity: str, measured: float) -> Asked:
    """Energy or carbon of the hours that a row states, else of those that its tokens take."""
    output, alone, activity = ACCOUNTS[quantity]
    hardware, power, pue = device(run), given(run, "power_per_device_W"), given(run, "pue")
    by_definition = alone or power is not None
    stated = _device_seconds(run)
    duration = stated or _predicted_seconds(run)
    inputs: dict[str, Any] = {"hardware": hardware, "n_accelerators": 1.0, "duration": duration}
    if power is not None:
        inputs["hardware"] = zoo.Hardware(hardware, name=f"{hardware.key} at {power:g} W", tdp=float(power))
    if by_definition:
        activity, pue = 1.0, pue or 1.0
        inputs |= {"host_power_fraction": 0.0, "network_power_fraction": 0.0}
    if activity is not None:
        inputs["compute_utilization"] = activity
    building = zoo.datacenter(BUILDING)
    grams = given(run, "carbon_g_per_kWh")
    inputs["pue"] = building["pue"] if pue is None else float(pue)
    if grams is None:
        inputs["region"] = zoo.grid(given(run, "region") or REGION)
    else:
        inputs["carbon_intensity"] = float(grams) / 1e3 / 3.6e6
    group = f"training_energy/{'definition' if by_definition else 'model' if stated else 'from tokens'}"
    return _one("sustainability", group, inputs, (output.split("_")[0], output), measured)


def _job(run: Mapping[str, Any], duration: float) -> dict[str, Any]:
    n = given(run, "n_devices")
    if n is None:
        raise Refused("the number of devices is not stated")
    card = device(run) if given(run, "hardware") is not None else zoo.hardware(NODES)
    return {"hardware": card, "n_accelerators": float(n), "job_duration": duration, "fleet_size": 0.0}


def _interruptions(run: Mapping[str, Any], quantity: str, measured: float) -> Asked:
    duration = _hours_of(run)
    inputs = _job(run, duration or HOUR)
    own = (given(run, "n_devices"), given(run, "duration_h")) == RATES_OF
    group = f"interruptions/{'own rates' if own else 'other fleets'}"
    if quantity == "interruptions":
        inputs["planned_interruption_rate"] = PLANNED
    if quantity.startswith("mtti"):
        return _one("reliability", group, inputs, ("mtbf", "mtbf"), measured)
    if duration is None:
        raise Refused("a count of interruptions without the duration")
    part = COUNTS[quantity]
    if part is None:
        return _one("reliability", group, inputs, ("interruptions", "mtbf"), measured, duration, -1.0)
    # wall-clock time: nothing is lost, so that the job takes as long as its work
    inputs |= {"checkpoint_blocking_time": 0.0, "restart_time": 0.0}
    return _one("reliability", group, inputs, ("interruptions", part), measured)


def _checkpoint(run: Mapping[str, Any], quantity: str, measured: float) -> Asked:
    inputs: dict[str, Any] = {
        "model": training.model(run),
        "hardware": device(run),
        "n_accelerators": float(given(run, "n_devices") or NODE),
        "fleet_size": 0.0,
        "penalty_basis": int(PenaltyBasis.CYCLE),
    }
    interval = given(run, "checkpoint_interval_h")
    if interval is not None:
        inputs["checkpoint_interval"] = float(interval) * HOUR
    output = {
        "checkpoint_bytes": "checkpoint_size",
        "write_time": "checkpoint_write_time",
        "checkpoint_share": "mfu_penalty",
    }
    name = {"checkpoint_share": "checkpoint_share"}.get(quantity, output[quantity])
    return _one("checkpoint", "checkpoint", inputs, (name, output[quantity]), measured)


def _storage(run: Mapping[str, Any], measured: float) -> Asked:
    n, rate, size = (given(run, c) for c in ("n_devices", "samples_per_s_per_device", "sample_bytes"))
    if n is None or rate is None or size is None:
        raise Refused("n_devices, samples_per_s_per_device and sample_bytes are needed")
    rate = rate * (given(run, "least_busy_share") or 1.0)
    inputs = {"hardware": device(run), "workload_data_rate": n * rate * size, "accelerators_per_client": float(n)}
    return _one("data", "storage_supply", inputs, ("samples_per_s", "delivered_rate"), measured, 1.0 / size)


def _hours(run: Mapping[str, Any], measured: float) -> Asked:
    """Device-hours of tokens: fastest layout, over goodput and evaluation."""
    card, workload = device(run), training.model({**run, "model_key": given(run, "model_key", "model")})
    tokens = given(run, "tokens") or workload["training_tokens"]
    if tokens is None:
        raise Refused("no tokens stated")
    n = float(given(run, "n_devices") or DEVICES)
    blank: dict[str, Any] = {
        "hardware": run["hardware"],
        "n_gpus": n,
        "seq_len": SEQUENCE,
        "source": given(run, "source"),
    }
    if "native FP8" in (workload["weight_note"] or "") and card["peak_fp8"]:
        blank["precision"] = "fp8"
    recent = (frameworks.year_of(blank) or 0) >= LARGE_SINCE
    blank["batch_tokens"] = LARGE_BATCH if recent else training.BATCH_TOKENS
    found, setting = frameworks.of_run("trainer", blank)
    shared: dict[str, Any] = {
        "model": workload,
        "hardware": card,
        "precision": int(training.precision(blank, card)),
        **training.options(setting, card),
    }
    points: list[dict[str, Any]] = []
    modes: list[int] = []
    degrees = [(1.0, e) for e in EXPERT] if workload["n_experts"] else [(t, 1.0) for t in TENSOR]
    for tp, ep in degrees:
        if n % (tp * ep):
            continue
        for way in training.candidates({**blank, "tp": tp, "ep": ep}, workload, setting, found[0]["since"]):
            points.append({**shared, **way.inputs})
            modes.append(way.recompute)
    if not points:
        raise Refused(f"{n:g} devices make no layout that is tried")
    share = useful(workload, card, n, tokens, points[0])
    target = ("device_hours", "tokens_per_s", tokens * n / share, -1.0)
    return Asked("training", "training_hours", points, training.assumed(setting), target, measured, modes)


def useful(workload: Row, card: Row, n: float, tokens: float, point: Mapping[str, Any]) -> float:
    """Share of the hours of a job that its steps take: goodput, with checkpoints as they are written, less evaluation."""
    assume = Assumptions()
    fleet = zoo.fleet_record(None, card)._replace(fleet_size=0.0)
    written = checkpoint(
        zoo.workload_record(workload),
        zoo.accelerator_record(card, point["precision"]),
        fleet,
        zoo.format_record(point["precision"]),
        assume,
        n_accelerators=n,
    )
    job = reliability(
        fleet,
        assume,
        HOUR,
        n,
        checkpoint_blocking_time=written.checkpoint_blocking_time,
        restore_time=written.restore_time,
    )
    return float(np.float64(job.goodput) * (1.0 - EVALUATED))
