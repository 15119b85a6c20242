"""The registries: what exists is declared once, with everything that one must know of it."""

import re
from pathlib import Path

import pytest

import mlsysim as ms
from mlsysim.schema import assumptions, records, variables
from mlsysim.schema.assumptions import Assumptions
from mlsysim.schema.variables import ALIASES, VARIABLES

RECORDS = (records.Workload, records.Accelerator, records.Format, records.Fleet, records.Site)
PACKAGE = Path(variables.__file__).parent.parent


def test_an_assumption_is_declared_in_one_place():
    """Value, unit, meaning, bounds, source and spread stand together; the table of variables takes them from there."""
    text = Path(variables.__file__).read_text(encoding="utf-8")
    assert [name for name in Assumptions._fields if re.search(rf'"{name}"', text)] == []
    for name, default in Assumptions._field_defaults.items():
        found = VARIABLES[name]
        assert (found.unit, found.meaning, found.low, found.high, found.above, found.kind) == (
            default.unit,
            default.meaning,
            default.low,
            default.high,
            default.above,
            default.kind,
        ), name


@pytest.mark.parametrize("name", Assumptions._fields)
def test_an_assumption_can_be_trusted_or_doubted(name):
    default = Assumptions._field_defaults[name]
    assert default.meaning and default.source and default.spread >= 0.0
    assert default.low <= default <= default.high and not (default.above and default == default.low)
    assert default.kind == "real" or (default.kind == "flag" and default in (0.0, 1.0) and default.spread == 0.0)
    assert not default.meaning.startswith("the same"), "a meaning that needs its neighbour to be understood"


def test_a_name_has_one_meaning():
    """A field of two records, or a field and an assumption, would be one name for two things."""
    fields = [name for record in (*RECORDS, Assumptions) for name in record._fields]
    assert sorted(fields) == sorted(set(fields))
    assert [name for name in fields if name not in VARIABLES] == []
    assert [name for name in VARIABLES if not VARIABLES[name].meaning] == []


def test_a_second_declaration_is_refused():
    with pytest.raises(ValueError, match="declared twice"):
        variables.real("straggler_loss", "1", "something else")


def test_an_assumption_moves_with_its_bounds():
    default = Assumptions._field_defaults["data_overlap"]
    moved = default.moved(0.5, "mine", 0.02)
    assert (moved, moved.source, moved.spread) == (0.5, "mine", 0.02) and moved.high == default.high == 1.0
    assert isinstance(moved, assumptions.Assumed) and moved.meaning == default.meaning


def test_every_other_name_of_an_input_stands_in_the_schema_of_a_model_that_takes_it():
    for alias, (name, _) in ALIASES.items():
        takers = [r for r in ms.RESOLVERS.values() if name in r.schema.index[r.schema.role != "output"]]
        assert takers or name == "electricity_price", alias
        for resolver in takers:
            assert alias in " ".join([*resolver.schema.index, *resolver.schema.meaning]), (resolver.name, alias)
    assert "kwh_price for electricity_price" in ms.EconomicsModel.schema.loc["region", "meaning"]


def test_methods_of_compression_are_known_by_the_words_of_the_guide():
    call = {"model": "llama3_1_8b", "hardware": "h100", "plan": "plain"}
    words = ms.CompressionModel.solve(method=["quantization", "pruning"], **call)
    plain = ms.CompressionModel.solve(method=["quantize_weights", "prune_unstructured"], **call)
    assert (words.compression_ratio.values == plain.compression_ratio.values).all()
