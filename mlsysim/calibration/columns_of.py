"""The columns of a table of runs: cells as numbers and words, what is stated beside the table, batches in sequences."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

from mlsysim.calibration import cells, measures, words
from mlsysim.calibration.arguments import shown
from mlsysim.calibration.text_tables import Table
from mlsysim.zoo import frameworks


def spelled(reading: words.Reading) -> str:
    """A heading as `read_as` tells it; a resolver's own word with its unit."""
    own = (
        reading.unit is not None
        and reading.unit.spelled in ("s", "byte")
        and reading.word in (*words.OWN, "memory_per_device")
    )
    return (
        f"{reading.heading} ({reading.unit.spelled})"
        if own and reading.unit and words.folded(reading.heading) == reading.word
        else reading.heading
    )


def checked(
    found: Table,
    readings: Mapping[int, words.Reading],
    told: Mapping[int, words.Reading],
    stated: Mapping[str, Any],
    numeric: Collection[str],
    rules: cells.Rules,
) -> tuple[dict[str, list[Any]], dict[int, str]]:
    """Columns of a table, numbers as numbers, what is stated beside it filled in; and why some rows are none.

    Parameters
    ----------
    readings : mapping
        Place of a heading -> how it is read; headings that are not there are kept as they are.
    told : mapping
        How what is stated beside the table is read.
    numeric : collection of str
        Columns that hold numbers; settings do, too.
    """
    odd = dict(found.odd)
    plain = {place: words.Reading(h, h, None, h) for place, h in enumerate(found.header)}
    all_readings = {**plain, **readings}
    values = {r.column: [row[place] for row in found.rows] for place, r in all_readings.items()}
    by_column = {r.column: r for r in all_readings.values()}
    for place, heading in enumerate(stated):  # what no list of words has stands under its own name
        reading = told.get(place, words.Reading(heading, heading, None, heading))
        values[reading.column] = [stated[heading]] * len(found.rows)
        by_column[reading.column] = reading
    numeric = {*numeric} | {c for c in values if frameworks.is_setting(c) and c not in frameworks.WORDS}
    how = measures.marks((v for c in numeric if c in values for v in values[c]), found.separator != ",")
    table: dict[str, list[Any]] = {}
    for column, cells_ in values.items():
        if column not in numeric:
            table[column] = [cells.words(v, column) for v in cells_]
            continue
        column_: list[float] = []
        for place, value in enumerate(cells_):
            try:
                column_.append(cells.number(value, by_column[column], how, rules))
            except cells.Odd as error:
                odd.setdefault(place, str(error))
                column_.append(math.nan)
        table[column] = column_
    _in_sequences(table, by_column, odd)
    return table, odd


def contradict(
    found: Table,
    readings: Mapping[int, words.Reading],
    told: Mapping[int, words.Reading],
    stated: Mapping[str, Any],
    name: str,
) -> None:
    """Raise where something is stated beside a table that says it, too, or twice."""
    places = {r.column: place for place, r in readings.items()}
    places |= {h: place for place, h in enumerate(found.header) if place not in readings}
    known = [told.get(place, words.Reading(heading, heading, None, heading)) for place, heading in enumerate(stated)]
    for place, reading in enumerate(known):
        others = [r for r in told.values() if r.heading != reading.heading]
        also = next(
            (r for r in others if r.column == reading.column or (place not in told and words.means(reading, r))), None
        )
        if also is not None:
            raise ValueError(f"columns: {reading.heading} and {also.heading} both give {also.column}: leave one out")
    for reading in known:
        if reading.column in places:
            cells_ = (row[places[reading.column]] for row in found.rows)
            filled = next((v for v in cells_ if not cells.blank(v)), None)
            if filled is not None:
                raise ValueError(
                    f"{name}: {reading.heading}={shown(stated[reading.heading])} is given beside a table that says "
                    f"{reading.column}={filled}"
                )


def _in_sequences(table: dict[str, list[Any]], by_column: Mapping[str, words.Reading], odd: dict[int, str]) -> None:
    """A batch whose heading says tokens, in sequences."""
    reading = by_column.get("global_batch")
    if reading is None or reading.unit is None or reading.unit.kind != "tokens" or "seq_len" not in table:
        return
    for place, (batch, seq_len) in enumerate(zip(table["global_batch"], table["seq_len"])):
        count = batch / seq_len
        if measures.whole(count):
            table["global_batch"][place] = count
        elif not math.isnan(batch):
            odd.setdefault(place, f"{reading.heading}={batch:g} tokens are no whole number of sequences of {seq_len:g}")
