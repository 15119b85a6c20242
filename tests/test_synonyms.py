"""Another's word for an input or an output: refused, and told what it is called here."""

import pytest

import mlsysim as ms
from mlsysim.schema.synonyms import CALLED, meant
from mlsysim.schema.variables import VARIABLES

SERVED = {"model": "llama3_1_8b", "hardware": "h100", "seq_len": 2048}


def test_what_is_called_otherwise_is_a_name():
    rows = {"hardware", "model", "region"}
    assert CALLED.keys() - VARIABLES.keys() == rows


@pytest.mark.parametrize(
    "word, name",
    [("isl", "seq_len"), ("osl", "output_len"), ("gpu", "hardware"), ("concurrency", "batch_size"), ("tp_size", "tp")],
)
def test_an_input(word, name):
    given = {k: v for k, v in SERVED.items() if k != name}
    with pytest.raises(TypeError, match=f"has no input '{word}'.*; here it is {name}$"):
        ms.ServingModel.solve(**given, **{word: 2})


def test_an_input_of_others():
    with pytest.raises(TypeError, match=r"no input 'qps' \(arrival_rate of ContinuousBatchingModel, .*\); known: "):
        ms.ServingModel.solve(**SERVED, qps=3)


def test_an_output():
    with pytest.raises(ValueError, match="no output or input 'tpot'; here it is itl"):
        ms.ServingModel.best("tpot", **SERVED, batch_size=[1, 2])
    with pytest.raises(ValueError, match="no output or input 'tpot'; here it is itl"):
        ms.ServingModel.best("ttft", where="tpot < 1", **SERVED, batch_size=[1, 2])


def test_words_of_nothing():
    assert meant("seq_len") == meant("") == ()
