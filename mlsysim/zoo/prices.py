"""What devices cost: the quotes of the prices table, and which of them is the price of a device.

One basis holds for the price of an hour: **on demand, at a specialist** (a cloud that rents accelerators and little
else).  Hyperscalers ask twice that for the same device, so a comparison of devices must not mix the two; specialists
sell nearly every device, and their prices follow rate and bandwidth closely.  Where no specialist rents a device out,
its price is that share of a hyperscaler's list which they ask elsewhere; where nobody does, what devices of its rate
and bandwidth rent for, or the share of its purchase price that rent is elsewhere.  A device that one company alone
rents out costs what that company asks.

A device is bought at its newest price on the market.  A share of a server or rack holds more than the device: as much
as `server_multiplier` says, by which `EconomicsModel` multiplies a device again.
"""

from __future__ import annotations

import csv
import functools
import math
import statistics
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlsysim.schema.assumptions import Assumptions

#: what specialists ask of a hyperscaler's list: the median of the devices that both rent out, and its spread
SPECIALIST_SHARE, SPECIALIST_SPREAD = 0.47, 0.3
#: spread of a device's price that follows from that of a server or rack, and of an estimate that says no range
SERVER_SPREAD, ESTIMATE_SPREAD = 0.25, 0.3
#: an hour at a specialist, USD = exp(-3.174) (dense 16-bit TFLOP/s)^0.582 (memory TB/s)^0.334: 24 medians of 2026.
#: Memory size and year add nothing.  Leave-one-out error 0.28
RENT, RENT_SPREAD = (-3.174, 0.582, 0.334), 0.28
#: a device, USD = exp(9.029) (memory TB/s)^0.994 exp(-0.114 (year - 2020)): 26 prices.  Leave-one-out error 0.41
PURCHASE, PURCHASE_SPREAD = (9.029, 0.994, -0.114), 0.41
#: hours that pay a device back at the price of renting it: the median of the devices that are rented out and sold new
PAYBACK_HOURS, PAYBACK_SPREAD = 8000.0, 0.5
#: quotes of rent before this year are history
RECENT = 2025
#: who asks -> what that is called
SELLERS = {
    "specialist": "specialists, on demand",
    "hyperscaler": "hyperscaler, list",
    "sole": "the only company that rents it out",
    "contract": "contract, reservation or block",
    "market": "market",
    "share": "share of a server or rack",
    "estimate": "estimate of press or analysts",
    "derived": "derived from other quotes",
    "operator": "what making it costs its operator, who does not sell it",
}


class Quote(NamedTuple):
    """One line of the prices table."""

    quantity: str  #: hourly, unit or production_cost, per device, USD
    value: float
    year: int
    month: int | None
    seller: str
    basis: str
    low: float | None
    high: float | None
    source: str

    @property
    def date(self) -> str:
        return f"{self.year}-{self.month:02d}" if self.month else str(self.year)

    def __str__(self) -> str:
        between = f" ({self.low:g} to {self.high:g})" if self.low is not None and self.high is not None else ""
        unit = {"hourly": "USD/hour", "unit": "USD"}.get(self.quantity, "USD, production cost")
        return f"{self.value:g} {unit}{between}, {self.date}, {SELLERS[self.seller]}: {self.basis}; {self.source}"


class Price(NamedTuple):
    """The price of a device; `rule` and `spread` say how it follows from what is quoted, where nobody asks it."""

    value: float
    year: int
    basis: str
    rule: str = ""
    spread: float = 0.0


@functools.cache
def _table() -> dict[str, tuple[Quote, ...]]:
    found: dict[str, list[Quote]] = {}
    with open(Path(__file__).with_name("prices.csv"), encoding="utf-8", newline="") as handle:
        for r in csv.DictReader(handle):
            low, high = (float(r[c]) if r[c] else None for c in ("low", "high"))
            quote = Quote(
                r["quantity"],
                float(r["value_usd"]),
                int(r["year"]),
                int(r["month"]) if r["month"] else None,
                r["seller"],
                r["basis"],
                low,
                high,
                r["source"],
            )
            found.setdefault(r["device"], []).append(quote)
    return {device: tuple(quotes) for device, quotes in found.items()}


def devices() -> list[str]:
    """Devices of which the table has a quote."""
    return list(_table())


def quotes(device: str) -> tuple[Quote, ...]:
    """Everything that the table says of a device."""
    return _table().get(device, ())


def _of(device: str, quantity: str, seller: str) -> list[Quote]:
    found = [q for q in quotes(device) if q.quantity == quantity and q.seller == seller]
    return sorted(found, key=lambda q: (q.year, q.month or 0), reverse=True)


def _spread(quote: Quote, otherwise: float) -> float:
    """Half of the range of a quote as a standard deviation in log space."""
    return math.log(quote.high / quote.low) / 2 if quote.low and quote.high and quote.high > quote.low else otherwise


def _median(found: Iterable[Quote]) -> tuple[float, Quote]:
    ordered = sorted(found, key=lambda q: q.value)
    return statistics.median(q.value for q in ordered), ordered[len(ordered) // 2]


def hourly(device: str) -> Price | None:
    """What an hour of a device costs, as a quote says or as it follows from one; None where nobody rents it out."""
    recent = [q for q in _of(device, "hourly", "specialist") if q.year >= RECENT]
    if recent:
        whole = [q for q in recent if q.basis.startswith("median of")]  # one quote that stands for several sellers
        value, quote = _median(whole[:1] or recent)
        names = quote.basis if len(whole[:1] or recent) == 1 else f"median of {len(recent)}"
        return Price(value, quote.year, f"{SELLERS['specialist']}: {names}, {quote.date}")
    if sole := _of(device, "hourly", "sole"):
        return Price(sole[0].value, sole[0].year, f"{SELLERS['sole']}: {sole[0].basis}, {sole[0].date}")
    if listed := [q for q in _of(device, "hourly", "hyperscaler") if q.year >= RECENT]:
        value, quote = _median(listed)
        rule = (
            f"no specialist rents it out: {SPECIALIST_SHARE:g} of {value:g} USD/hour ({quote.basis}, {quote.date}), as they "
            "ask of the lists where they do"
        )
        return Price(SPECIALIST_SHARE * value, quote.year, SELLERS["specialist"], rule, SPECIALIST_SPREAD)
    if derived := _of(device, "hourly", "derived"):
        return Price(
            derived[0].value,
            derived[0].year,
            SELLERS["specialist"],
            _sentence(derived[0]),
            _spread(derived[0], RENT_SPREAD),
        )
    bought = purchase(device)
    if bought is None:
        return None
    rule = f"nobody rents it out: 1/{PAYBACK_HOURS:g} of its purchase price, as of the devices that are rented out and sold"
    spread = math.hypot(PAYBACK_SPREAD, bought.spread)
    return Price(bought.value / PAYBACK_HOURS, bought.year, SELLERS["specialist"], rule, spread)


def _sentence(quote: Quote) -> str:
    return f"nobody publishes it: {quote.basis.removeprefix('derived: ')} ({quote.source})"


def purchase(device: str) -> Price | None:
    """What a device costs to buy, as a quote says or as it follows from one; None where nobody sells it."""
    for seller in ("market", "share", "estimate", "derived"):
        if not (found := _of(device, "unit", seller)):
            continue
        quote = found[0]
        if seller == "share":
            rule = f"sold in servers and racks: {quote.value:g} USD a device ({quote.basis}, {quote.date}) / server_multiplier"
            return Price(
                quote.value / float(Assumptions().server_multiplier), quote.year, SELLERS[seller], rule, SERVER_SPREAD
            )
        if seller == "estimate":
            rule = f"no seller publishes it: {SELLERS[seller]}: {quote.basis}, {quote.date} ({quote.source})"
            return Price(quote.value, quote.year, SELLERS[seller], rule, max(ESTIMATE_SPREAD, _spread(quote, 0.0)))
        if seller == "derived":
            return Price(quote.value, quote.year, SELLERS[seller], _sentence(quote), _spread(quote, PURCHASE_SPREAD))
        return Price(quote.value, quote.year, f"{SELLERS[seller]}: {quote.basis}, {quote.date}")
    return None


def rent_by_fit(flops: float, bandwidth: float) -> float:
    """USD an hour at a specialist of a device with a dense 16-bit rate and a memory bandwidth, in base units."""
    return math.exp(RENT[0] + RENT[1] * math.log(flops / 1e12) + RENT[2] * math.log(bandwidth / 1e12))


def purchase_by_fit(bandwidth: float, year: float) -> float:
    """USD of a device with a memory bandwidth, in base units, and a year of release."""
    return math.exp(PURCHASE[0] + PURCHASE[1] * math.log(bandwidth / 1e12) + PURCHASE[2] * (year - 2020))


def columns(device: str) -> Mapping[str, Any]:
    """The columns of the hardware table that the prices table fills; a derived price is in no cell, as other derived data."""
    bought, rented = purchase(device), hourly(device)
    return {
        "unit_price_usd": bought.value if bought and not bought.rule else None,
        "unit_price_year": float(bought.year) if bought else None,
        "unit_price_basis": bought.basis if bought else None,
        "cloud_usd_per_hour": rented.value if rented and not rented.rule else None,
        "cloud_price_basis": rented.basis if rented else None,
    }
