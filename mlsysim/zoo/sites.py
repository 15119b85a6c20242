"""Where it runs: the record of a grid and a building, from their rows.

NaN is a datum nobody published.  What a place takes from the state, country or union around it is in ``row.derived``.
"""

from __future__ import annotations

import functools
from typing import Any

from mlsysim.equations import energy
from mlsysim.schema.records import Site
from mlsysim.zoo import tables
from mlsysim.zoo.row import FIELDS, KWH, NAN, RULES, Derived, Row, Rule, known, stored

#: field -> relative spread of what a place takes from the state, country or union around it.  Carbon: of the 55
#: regions with a figure of their own, 60 % lie within a factor exp(0.35) of their state or country
AROUND = {"carbon_intensity": 0.35, "electricity_price": 0.25, "offsite_water": 0.4}


#: relative spread of a published carbon figure: the United States are 0.369 (2023, life cycle), 0.386 (2022, life cycle), 0.350
#: (eGRID 2023, direct) and 0.41 to 0.43 kg/kWh (model cards of 2024)
COUNTED = 0.1
#: where nothing is known of the water of generation around a place
WORLD = "world_2019"
#: relative spread of the water of a mix: the United States by it 2.3 L/kWh, published 4.52 (mostly what of a reservoir's
#: evaporation is counted); of a mix of another place
OF_MIX, OF_ANOTHER = 0.7, 1.0
#: the building whose water use stands for those of which none is published, and the relative spread of that: published fleets
#: lie between 0.15 and 0.49 L/kWh, single sites between 0 and 1.8
AVERAGE, OF_FLEETS = "us_average_2023", 0.7


@functools.cache
def mix_water(mix: str) -> float:
    """Water consumed in generation (L/J) by a mix as the grids table writes it: ``coal 0.1 gas 0.6 wind 0.3``."""
    words = mix.split()
    shares = {name: float(share) for name, share in zip(words[::2], words[1::2])}
    factors = {name: tables.rows("constants")[f"water_{name}"]["value"] / KWH for name in shares}
    return energy.water_of_mix(shares, factors)


def _from_mix(grid: Row, fields: dict[str, Any], derived: dict[str, Derived], of: Row | None = None) -> None:
    """Off-site water by how a grid generates, where nobody publishes it."""
    mix = grid.values_by_column.get("generation_mix")
    if mix and not known(fields["offsite_water"]):
        fields["offsite_water"] = mix_water(str(mix))
        whose = "it generates" if of is None or of is grid else f"{grid.key} ({grid['name']}) generates"
        why = f"not published: by how {whose} (generation_mix) and water factors of technologies (constants: water_*)"
        derived["offsite_water"] = Derived(why, OF_ANOTHER if grid.key == WORLD and of is not grid else OF_MIX)


def carbon_class(grid: Row) -> str:
    """How the carbon figure of a place was counted, its own or that of what lies around it; empty where there is none."""
    around = grid.values_by_column.get("parent")
    own = grid.values_by_column.get("carbon_class")
    return str(own) if own else carbon_class(tables.rows("grids")[around]) if around else ""


def carbon_year(grid: Row) -> float | None:
    """The year of the carbon figure of a place, its own or that of what lies around it."""
    around, own = grid.values_by_column.get("parent"), grid.values_by_column.get("carbon_year")
    if grid.values_by_column.get("carbon_class") or not around:
        return float(own) if own else None
    return carbon_year(tables.rows("grids")[around])


def _site(grid: Row | None, building: Row | None) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields = dict.fromkeys(Site._fields, NAN)
    derived: dict[str, Derived] = {}
    if grid is not None:
        for name in AROUND:
            fields[name] = stored(grid, name)
        _from_mix(grid, fields, derived)
        above = grid
        while (parent := above.values_by_column.get("parent")) is not None:
            above = tables.rows("grids")[parent]
            for name, spread in AROUND.items():
                value = stored(above, name)
                if not known(fields[name]) and known(value):
                    fields[name] = value
                    said = above["price_basis"] if name == "electricity_price" else above.sources
                    why = f"not published for {grid.key}: that of {above.key} ({above['name']}; {said})"
                    derived[name] = Derived(why, spread)
            _from_mix(above, fields, derived, grid)
        _from_mix(tables.rows("grids")[WORLD], fields, derived, grid)
    if building is not None:
        for name in ("pue", "wue"):
            fields[name] = stored(building, name)
        if not known(fields["wue"]):
            average = tables.rows("datacenters")[AVERAGE]
            fields["wue"] = stored(average, "wue")
            derived["wue"] = Derived(f"not published: that of {AVERAGE} ({average.sources})", OF_FLEETS)
    return fields, derived


def site_record(grid: Row | str | None, datacenter: Row | str, **given: Any) -> Site:
    """Where it runs: the grid's carbon, price and water, the building's PUE and WUE.

    A cloud region without a carbon figure or a price of its own takes that of its state or country, a state its
    country's, a country of the European Union that of the Union; off-site water likewise.  Fields in `given` hold.
    """
    fields, _ = _site(
        None if grid is None else tables.lookup("grids", grid, "region"),
        tables.lookup("datacenters", datacenter, "datacenter"),
    )
    return Site(**{**fields, **given})


def _of_grid(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields, derived = _site(row, None)
    return {name: fields[name] for name in FIELDS["grids"]}, derived


def _of_building(row: Row) -> tuple[dict[str, Any], dict[str, Derived]]:
    fields, derived = _site(None, row)
    return {name: fields[name] for name in FIELDS["datacenters"]}, derived


def _counted(row: Row, field: str) -> tuple[float, str]:
    """How far a published carbon figure is from that of another year or method."""
    return (COUNTED, "") if field == "carbon_intensity" and known(stored(row, field)) else (0.0, "")


RULES["grids"], RULES["datacenters"] = Rule(_of_grid, _counted), Rule(_of_building)
