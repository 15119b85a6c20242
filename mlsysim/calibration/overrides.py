"""Columns beside a model's name that differ from its row: they hold for the run.

Truncated models are how people benchmark: ``model_key=llama3_1_8b, n_layers=8`` is Llama of eight layers.  A vocabulary
within 2 % of the row's is the same one, padded; a table that counts layers of a sort (local attention, dense layers of a
mixture) keeps their share; `ffn_hidden` of a mixture with dense layers is the width of these, `expert_ffn` that of an expert.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlsysim import zoo
from mlsysim.calibration.rules import Refused, given
from mlsysim.zoo.row import Row

#: column -> field of a model
FIELDS = {
    "n_layers": "n_layers",
    "hidden": "hidden",
    "ffn_hidden": "ffn_hidden",
    "heads": "n_heads",
    "kv_heads": "n_kv_heads",
    "vocab": "vocab",
    "n_experts": "n_experts",
    "top_k": "experts_per_token",
    "expert_ffn": "ffn_hidden",
}
#: fields that count layers of a sort: they keep their share of all layers; dense layers of a mixture stay as many
SORTS = (
    "local_layers",
    "expert_layers",
    "attention_free_layers",
    "network_free_layers",
    "recurrent_layers",
    "index_layers",
)
PADDED = 0.02  #: by how much a padded vocabulary is larger


def changes(row: Row, run: Mapping[str, Any]) -> dict[str, float]:
    """Fields of a model that a run's columns state otherwise."""
    found: dict[str, float] = {}
    for column, field in FIELDS.items():
        stated = given(run, column)
        if stated is None or (column == "kv_heads" and row["kv_lora_rank"]):
            continue
        if column == "ffn_hidden" and row["n_experts"]:
            if row["first_dense_layers"] or given(run, "expert_ffn") is not None:
                field = "dense_ffn_hidden"
            if stated in (row["ffn_hidden"], row["dense_ffn_hidden"]):
                continue
        now = row[field] or 0.0
        if field == "vocab" and now and abs(stated / now - 1.0) <= PADDED:
            continue
        if stated != now:
            found[field] = float(stated)
    return found


def with_columns(row: Row, run: Mapping[str, Any]) -> Row:
    """A model as the columns of a run have it."""
    found = changes(row, run)
    if not found:
        return row
    if ("n_heads" in found or "hidden" in found) and row["hidden"] == (row["n_heads"] or 0) * (row["head_dim"] or 0):
        heads = found.get("n_heads", row["n_heads"])
        width = found.get("hidden", row["hidden"]) / heads
        if width != row["head_dim"]:
            if width != int(width):
                raise Refused(f"heads={heads:g} do not divide hidden={found.get('hidden', row['hidden']):g}")
            found["head_dim"] = width
    if "n_heads" in found and "n_kv_heads" not in found and row["n_kv_heads"] == row["n_heads"]:
        found["n_kv_heads"] = found["n_heads"]
    if "n_layers" in found:
        share = found["n_layers"] / row["n_layers"]
        found |= {name: float(round(row[name] * share)) for name in SORTS if row[name]}
        if (row["first_dense_layers"] or 0.0) > found["n_layers"]:
            found["first_dense_layers"] = found["n_layers"]
    whole: dict[str, Any] = {
        name: int(value) if value == int(value) else value for name, value in found.items()
    }  # as one says them
    try:
        return zoo.Workload(row, **whole)
    except ValueError as error:
        raise Refused(f"columns beside {row.key}: {error}") from None


def told(row: Row) -> str:
    """What is said of a model that columns have changed; empty for a row of the zoo."""
    changed = row.table == "models" and str(row.key).endswith(")") and "(" in str(row.key)
    return f"taken as {row.key}" if changed else ""
