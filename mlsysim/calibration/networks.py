"""Collectives alone on a machine, as tables of nccl-tests and rccl-tests have them.

One row is one message: `collective` of `size_bytes` over ``n_nodes x gpus_per_node`` devices.  What is predicted is the time of
one call; where a table gives bandwidths only, the time follows from them (``busbw = algbw x 2 (n - 1)/n`` for an all-reduce,
``(n - 1)/n`` for gathers, scatters and all-to-all, 1 for the rest; ``algbw = size / time``).

Blank cells follow the same rules for every row: one node; all devices of a node take part (`devices_per_node` says of how
many where they do not: then every k-th does, on the ports that are its own); a node, or a rack where `intra_fabric` ends
in ``_rack``, is one fast domain with the links of the zoo's device; one port a device, at the rate of `inter_fabric`, a key
of the zoo's fabrics, which also gives the step between nodes and the share of a port that transfers reach.  `algorithm` says
what the library was told or used: with ``ring`` switches do not reduce, with ``sharp`` those of the network do too, else
it takes what it likes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from mlsysim import zoo
from mlsysim.calibration.rules import Refused, device, given
from mlsysim.calibration.serving import Question
from mlsysim.equations.collectives import bus_factor
from mlsysim.schema.codes import CollectiveKind, labels
from mlsysim.zoo.row import Row
from mlsysim.zoo.spelling import UnknownName

#: messages from here on are large: bytes bind, not steps (byte)
LARGE = 64e6
#: spread (log) of rings and trees over adapters: tables between nodes are off by 0.16 where those in a node are by 0.11
LAID = 0.11
#: the same of small messages, whose protocol a library chooses as well: half (LL) to all (Simple) of what is sent is data, and
#: where it changes from one to the other is a matter of versions
SENT = math.hypot(LAID, math.log(2.0) / math.sqrt(12.0))
#: spread of a level where messages go from port to port: of the share of a port's rate that they take, evenly in 0.9 to 0.97
#: (general knowledge, not read); what a library chooses is not in it
PORT = 0.022
#: bits of a port's rate in a byte, and what the rate is counted in
BITS, GIGA = 8.0, 1e9
MICRO = 1e-6
#: words of tables for a collective
WORDS = {"alltoall": "all_to_all", "allreduce": "all_reduce", "allgather": "all_gather", "sendrecv": "send"}
RACK = "_rack"


def kind(run: Mapping[str, Any]) -> CollectiveKind:
    """The collective of a row."""
    word = str(given(run, "collective") or "").lower().replace("-", "_").removesuffix("_perf")
    known = labels(CollectiveKind)
    word = WORDS.get(word, word)
    if word not in known:
        raise Refused(f"collective {word!r} is not known: {', '.join(known)}")
    return CollectiveKind(known[word])


def devices(run: Mapping[str, Any]) -> tuple[float, float, float]:
    """Nodes, devices of each that take part, and devices of a node."""
    nodes = given(run, "n_nodes") or 1.0
    taking = given(run, "gpus_per_node")
    if taking is None:
        total = given(run, "n_gpus")
        if total is None:
            raise Refused("no number of devices stated: gpus_per_node (and n_nodes), or n_gpus")
        taking = total / nodes
    size = given(run, "devices_per_node") or taking
    if taking > size or (size / taking) % 1.0 or taking % 1.0:
        raise Refused(f"{taking:g} devices of a node of {size:g}: not every k-th of them")
    return nodes, taking, size


def network(run: Mapping[str, Any], card: Row, size: float) -> dict[str, float]:
    """Fields of the fleet that a row states of the network between nodes."""
    name = given(run, "inter_fabric")
    if name is None:
        raise Refused("several nodes and no inter_fabric stated")
    try:
        fabric = zoo.fabric(name)
    except UnknownName as error:
        raise Refused(str(error)) from None
    fleet = zoo.fleet_record(None, card, fabric)
    ports, rate = given(run, "ports_per_node") or size, given(run, "port_Gbps")
    port = fleet.inter_bandwidth if rate is None else rate * GIGA / BITS
    return {
        "inter_bandwidth": ports * port / size,
        "inter_latency": float(fleet.inter_latency),
        "inter_efficiency": float(fleet.inter_efficiency),
    }


def measured(run: Mapping[str, Any], what: CollectiveKind, ranks: float, size: float) -> dict[str, float]:
    """The time of a call, as stated or by the bandwidth (s)."""
    time, bus, algorithm = (given(run, n) for n in ("measured_time_us", "measured_busbw_GBps", "measured_algbw_GBps"))
    if time is not None:
        return {"collective_time": time * MICRO}
    if algorithm is not None:
        return {"collective_time": size / (algorithm * GIGA)}
    if bus is not None:
        return {"collective_time": float(bus_factor(float(what), ranks)) * size / (bus * GIGA)}
    return {}


def uncertain(run: Mapping[str, Any]) -> dict[str, float]:
    """How uncertain the time of a collective is beside its levels (log): between nodes rings and trees are laid by a library.

    An all-to-all goes straight from port to port, of which little is open but the share that messages take of it.
    """
    if (given(run, "n_nodes") or 1.0) <= 1:
        return {}
    if kind(run) == CollectiveKind.ALL_TO_ALL:
        return {"collective_level": PORT}
    return {"collective_time": LAID if (given(run, "size_bytes") or LARGE) >= LARGE else SENT}


def question(run: Mapping[str, Any]) -> Question:
    """A row as inputs of TopologyModel."""
    card, what = device(run), kind(run)
    nodes, taking, size = devices(run)
    message = given(run, "size_bytes")
    if message is None:
        raise Refused("no size_bytes stated")
    ranks = nodes * taking
    if ranks < 2:
        raise Refused("one device has nobody to talk to")
    algorithm = str(given(run, "algorithm") or "").lower()
    inputs: dict[str, Any] = {
        "hardware": card,
        "message_size": message,
        "n_accelerators": ranks,
        "rank_stride": size / taking,
        "collective_kind": float(what),
        "fleet_size": 0.0,
        "accelerators_per_node": size,
        "domain_size": size,
    }
    together = zoo.fleet_record(None, card)
    if str(given(run, "intra_fabric") or "").endswith(RACK):
        inputs["domain_size"] = float(together.domain_size)
    inputs["switch_reduces"] = 0.0 if algorithm == "ring" else float(together.switch_reduces)
    alone = {n: float(getattr(together, n)) for n in ("inter_bandwidth", "inter_latency", "inter_efficiency")}
    inputs |= network(run, card, size) if nodes > 1 else alone
    assumed = {"switched_reduction": 1.0} if algorithm == "sharp" else {}
    targets = {"collective_time": ("collective_time", 1.0, 1.0)}
    return Question("network", inputs, assumed, targets, measured(run, what, ranks, message), {})


def group(run: Mapping[str, Any]) -> str:
    """What rows are told apart by: one node or many, size of the message, collective."""
    nodes = "many nodes" if (given(run, "n_nodes") or 1.0) > 1 else "one node"
    size = "64 MB and more" if given(run, "size_bytes") >= LARGE else "below 64 MB"
    return f"{nodes}, {size}: {str(given(run, 'collective')).lower()}"
