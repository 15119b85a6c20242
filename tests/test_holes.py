"""A datum that nobody published takes away what needs it, and nothing else: on an axis as in a call of its own."""

import numpy as np
import pytest

import mlsysim as ms
from mlsysim import zoo

#: a device of which three figures are known
MINE = zoo.Hardware(name="mine", peak_flops="500 TFLOP/s", mem_bandwidth="4 TB/s", mem_capacity="96 GB")
B = {"model": "llama3_1_8b", "seq_len": 2048}


@pytest.mark.parametrize("others", [["h100"], ["h100", "mi300x", "l40s"]])
def test_a_device_answers_beside_others_what_it_answers_alone(others):
    together = ms.ServingModel.solve(hardware=[*others, MINE], **B)
    alone = ms.ServingModel.solve(hardware=MINE, **B)
    assert set(alone) >= {"itl", "ttft", "bottleneck"} and set(alone) <= set(together)
    for name in alone:
        assert together[name].sel(hardware="mine").item() == alone[name].item(), name


def test_what_needs_the_datum_is_left_out_and_the_row_that_lacks_it_is_named():
    together = ms.ServingModel.solve(hardware=["h100", MINE], tp=[1, 2], **B)
    assert "itl" not in together  # two devices need a link between them
    assert "itl: needs" in together.attrs["omitted"] and "not known for mine" in together.attrs["omitted"]
    with pytest.raises(ValueError, match=r"joule_per_mtok needs .* which is not known for mine"):
        ms.ServingModel.solve(hardware=["h100", MINE], keep=["joule_per_mtok"], **B)


def test_paired_rows_are_looked_at_one_by_one():
    points = {"hardware": ["h100", MINE, "a100"], "tp": [8, 1, 2]}
    assert "itl" in ms.ServingModel.solve(points=points, **B)
    assert "itl" not in ms.ServingModel.solve(points={**points, "tp": [8, 2, 2]}, **B)


def test_many_rows_that_lack_something_are_judged_by_what_holds_for_all():
    from mlsysim.engine import holes

    rows = [zoo.Hardware(MINE, name=f"mine {i}") for i in range(holes.MOST + 1)]

    def program(some):
        return ms.ServingModel(**B).program(points={"hardware": [*some, "h100"], "tp": [*[1] * len(some), 8]})

    few, many = program(rows[:3]), program(rows)
    assert few.missing(few.output("itl")) is None and many.missing(many.output("itl")) is not None
    assert many.missing(many.output("memory_per_device")) is None


def test_an_axis_is_known_where_nothing_is_needed_that_lacks():
    program = ms.ServingModel(**B).program(hardware=["h100", MINE, "a100"])
    assert program.known_along("hardware", ["itl"]).tolist() == [True, True, True]
    assert program.known_along("hardware", ["itl", "joule_per_mtok"]).tolist() == [True, False, True]
    assert np.array_equal(program.known_along("hardware", ["usd_per_mtok"]), [True, False, True])


def test_an_output_that_is_the_missing_datum_itself_is_left_out():
    """Nothing of the physics stands between them, and there is no axis."""
    found = ms.DataModel.solve(hardware=MINE, samples_per_s=300.0, sample_bytes="110 kB", storage_bandwidth="2 GB/s")
    assert "needs host_bandwidth" in found.attrs["omitted"] and "data_demand" in found
