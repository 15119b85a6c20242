"""Rows of one's own that are kept: known everywhere by name, told as one's own, and harmless where they are damaged."""

import json
import subprocess
import sys

import pytest
from terminal import runner

import mlsysim as ms
from mlsysim import zoo
from mlsysim.cli.commands import app
from mlsysim.zoo import own, tables

#: what a datasheet says of a device, apart from its rates
DATASHEET = (
    "mem_bandwidth",
    "mem_capacity",
    "sram_capacity",
    "link_bandwidth",
    "link_latency",
    "host_bandwidth",
    "tdp",
    "idle_power",
    "price",
    "hourly_price",
    "embodied_carbon",
)
LLAMA = {
    "model_type": "llama",
    "num_hidden_layers": 32,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 128256,
    "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """A folder of one's own for each test."""
    monkeypatch.setenv("MLSYSIM_ZOO", str(tmp_path / "zoo"))
    return tmp_path / "zoo"


def run(*words):
    found = runner().invoke(app, list(words), env={"COLUMNS": "200"})
    return found.exit_code, found.stdout + found.stderr


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text if isinstance(text, str) else json.dumps(text))
    return path


def datasheet(row):
    """A TOML file of one's own with what the zoo's row says."""
    rates = [f"{name} = {row[name]!r}" for name in row.values_by_column if name.startswith("peak_") and row[name]]
    return "\n".join([f'default_system = "{row["default_system"]}"', *rates, *(f"{n} = {row[n]!r}" for n in DATASHEET)])


def same(mine, theirs):
    """Is every number of an answer within 1 % of another's?"""
    assert set(mine.data_vars) == set(theirs.data_vars)
    for name, array in theirs.data_vars.items():
        if array.dtype.kind == "f" and array.item() == array.item():
            assert mine[name].item() == pytest.approx(array.item(), rel=0.01), name
        elif array.dtype.kind != "f":
            assert mine[name].item() == array.item(), name


def test_a_device_and_a_model_of_ones_own_answer_like_the_rows_of_the_zoo(tmp_path):
    write(tmp_path / "my_h100.toml", datasheet(zoo.hardware("h100")))
    write(tmp_path / "my_8b" / "config.json", LLAMA)
    assert run("zoo", "add", str(tmp_path / "my_h100.toml"))[0] == 0
    assert run("zoo", "add", str(tmp_path / "my_8b" / "config.json"))[0] == 0
    (tmp_path / "my_h100.toml").unlink()  # what is kept is a copy
    for resolver, call in (
        (ms.ServingModel, {"tp": 2, "batch_size": 16, "seq_len": 2048, "output_len": 128}),
        (ms.DistributedModel, {"n_accelerators": 64, "tp": 2, "global_batch": 256}),
    ):
        mine = resolver.solve(model="my_8b", hardware="My-H100", **call)
        same(mine, resolver.solve(model="llama3_1_8b", hardware="h100", **call))
        words = [f"{name}={value}" for name, value in call.items()]
        name = resolver.name.removesuffix("Model").lower()
        code, text = run("solve", name, "model=my_8b", "hardware=my_h100", *words, "--json")
        assert code == 0
        said = json.loads(text)
        assert all(
            said["data_vars"][n]["data"] == pytest.approx(mine[n].item(), rel=1e-9) for n in ("mfu",) if n in mine
        )
        assert said["attrs"]["data"] == mine.attrs["data"] and said["attrs"]["own"] == mine.attrs["own"]


def test_an_answer_says_what_was_given_by_you_and_its_data_are_other_data(tmp_path):
    call = {"model": "llama3_1_8b", "seq_len": 512}
    before = ms.ServingModel.solve(hardware="h100", **call)
    write(tmp_path / "more.toml", 'base = "h100"\nmem_capacity = "141 GB"\nsource = "a sheet"')
    zoo.add(tmp_path / "more.toml", name="more_memory")
    answer = ms.ServingModel.solve(hardware="more_memory", **call)
    kept = tmp_path / "zoo" / "hardware" / "more_memory.toml"
    assert (
        answer.attrs["own"]
        == f"hardware more_memory: given by you, kept in {kept}, made from h100_sxm5_80gb (source: a sheet)"
    )
    again = ms.ServingModel.solve(hardware="h100", **call)
    assert again.attrs["data"] == before.attrs["data"] != answer.attrs["data"] and "own" not in again.attrs
    kept.write_text('base = "h100"\nmem_capacity = "142 GB"\nsource = "a sheet"')
    own._read.clear()  # as in a new process
    other = ms.ServingModel.solve(hardware="more_memory", **call)
    assert other.attrs["data"] not in (answer.attrs["data"], before.attrs["data"])
    assert answer.mlsysim.config()["hardware"] == "more_memory"  # a name that goes back into the resolver
    code, text = run("solve", "serving", "model=llama3_1_8b", "hardware=more_memory", "seq_len=512")
    assert code == 0 and "given by you" in text
    object_of_ones_own = ms.Hardware("h100", mem_capacity="141 GB", name="object")
    assert (
        ms.ServingModel.solve(hardware=object_of_ones_own, **call)
        .attrs["own"]
        .startswith("hardware object: given by you")
    )


def test_systems_grids_and_buildings_are_kept_too(tmp_path):
    write(tmp_path / "pod.toml", 'table = "systems"\nbase = "dgx_h100"\nfleet_size = 64\nname = "our_pod"')
    write(tmp_path / "site.toml", 'table = "grids"\nbase = "deu"\nelectricity_price = "0.12 USD/kWh"')
    write(tmp_path / "hall.toml", 'table = "datacenters"\npue = 1.1\nwue = "0.1 L/kWh"')
    write(tmp_path / "small.toml", 'table = "models"\nbase = "llama3_1_8b"\nn_layers = 16')
    for name in ("pod", "site", "hall", "small"):
        zoo.add(tmp_path / f"{name}.toml")
    assert zoo.system("our_pod")["fleet_size"] == 64 and zoo.grid("site")["electricity_price"] * 3.6e6 == pytest.approx(
        0.12
    )
    assert zoo.datacenter("hall")["pue"] == 1.1 and zoo.model("small")["n_layers"] == 16
    found = ms.EconomicsModel.solve(fleet="our_pod", region="site", datacenter="hall", duration="1 year")
    assert [part.split(":")[0] for part in found.attrs["own"].split("; ")] == [
        "systems our_pod",
        "grids site",
        "datacenters hall",
    ]
    direct = ms.EconomicsModel.solve(
        fleet=str(tmp_path / "pod.toml"), region=tmp_path / "site.toml", datacenter="hall", duration="1 year"
    )
    assert direct.tco.item() == found.tco.item()
    with pytest.raises(ValueError, match=r"hardware: .*pod.toml is a row of 'systems', not of 'hardware'"):
        zoo.hardware(tmp_path / "pod.toml")


def test_a_row_may_start_from_another_of_ones_own(tmp_path):
    write(tmp_path / "a.toml", 'base = "z"\ntdp = "600 W"')
    write(tmp_path / "z.toml", 'base = "h100"\nmem_capacity = "99 GB"')
    zoo.add(tmp_path / "z.toml")
    zoo.add(tmp_path / "a.toml")
    own._read.clear()
    assert zoo.hardware("a")["mem_capacity"] == 99e9 and zoo.hardware("a")["tdp"] == 600


@pytest.mark.parametrize(
    "name, says",
    [
        ("h100", r"name='h100': already names a row of hardware: give another name"),
        ("H100-SXM5", r"name='H100-SXM5': already names a row of hardware"),
        ("mine", r"name='mine': already names a row of your own: mlsysim zoo remove mine, or give another name"),
        ("../mine", r"name='../mine': letters, digits and . _ \+ - are allowed, 100 at most: give another name"),
        (".mine", r"letters, digits"),
    ],
)
def test_names_that_are_taken_or_cannot_be_are_refused(name, says, tmp_path):
    write(tmp_path / "mine.toml", 'base = "h100"')
    zoo.add(tmp_path / "mine.toml")
    with pytest.raises(ValueError, match=says):
        zoo.add(tmp_path / "mine.toml", name=name)
    code, text = run("zoo", "add", str(tmp_path / "mine.toml"), "--name", name)
    assert code == 1 and len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "content, says",
    [
        ("mem_bandwith = 1", "no field is named 'mem_bandwith'; nearest: mem_bandwidth"),
        ("mem_bandwidth = '4 TB'", "mem_bandwidth"),
        ("base = ", "is no TOML file"),
        (
            'table = "system"',
            "table='system': must be one of hardware, models, systems, grids, datacenters; nearest: systems",
        ),
        ('table = "systems"\npue = 1', "System: no field is named 'pue'"),
    ],
)
def test_a_file_that_makes_no_row_is_not_kept(content, says, tmp_path, home):
    with pytest.raises(ValueError, match=says):
        zoo.add(write(tmp_path / "bad.toml", content))
    assert not list(home.rglob("*.toml"))
    with pytest.raises(ValueError, match=r"add: no file can be read at '.*none.toml'"):
        zoo.add(tmp_path / "none.toml")


def test_damaged_files_cost_their_own_name_alone(home):
    write(home / "hardware" / "broken.toml", "mem_bandwidth = [")
    write(home / "hardware" / "fine.toml", 'base = "h100"\nmem_capacity = "100 GB"')
    write(home / "models" / "empty" / "config.json", "{")
    (home / "models" / "hollow").mkdir()
    assert zoo.hardware("fine")["mem_capacity"] == 1e11 and zoo.hardware("a100") and zoo.model("llama3_1_8b")
    with pytest.raises(
        zoo.UnknownName, match=r"hardware: 'broken' is kept in .*broken.toml, which cannot be read: .*no TOML"
    ):
        zoo.hardware("broken")
    with pytest.raises(zoo.UnknownName, match=r"model: 'empty' is kept in .*empty, which cannot be read: .*no JSON"):
        zoo.model("empty")
    code, text = run("zoo")
    told = " ".join(text.split())
    assert code == 0 and "yours in hardware: fine" in told and told.count("cannot be read: /") == 3
    said = json.loads(run("zoo", "--json")[1])
    assert said["own"] == {"hardware": ["fine"]} and len(said["unreadable"]) == 3
    assert run("zoo", "remove", "broken")[0] == 0 and len(own.unreadable()) == 2
    home.joinpath("systems").write_text("no folder")
    assert zoo.system("dgx_h100")


def test_nothing_is_read_at_import(home):
    write(home / "hardware" / "broken.toml", "[")
    code = (
        "import builtins, io, sys; from pathlib import Path; seen = []; whole = Path.read_text\n"
        "Path.read_text = lambda self, *a, **k: (seen.append(str(self)), whole(self, *a, **k))[1]\n"
        "import mlsysim; from mlsysim.zoo import own; assert not own._read and not [s for s in seen if 'broken' in s], seen\n"
        "mlsysim.zoo.hardware('h100'); assert [s for s in seen if 'broken' in s]"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)


def test_another_process_adds_and_removes(home):
    with pytest.raises(zoo.UnknownName):
        zoo.hardware("later")
    write(home / "hardware" / "later.toml", 'base = "h100"')
    assert zoo.hardware("later").own and "later" in zoo.names("hardware")
    (home / "hardware" / "later.toml").unlink()
    with pytest.raises(zoo.UnknownName):
        zoo.hardware("later")


def test_a_name_that_the_zoo_has_by_now_is_the_zoos_and_is_told_once(home):
    write(home / "hardware" / "h200.toml", 'base = "h100"\nmem_capacity = "1 GB"')
    with pytest.warns(
        UserWarning, match="'h200' is a row of hardware by now, which is taken; yours in .*h200.toml is not"
    ):
        assert not zoo.hardware("h200").own
    assert not zoo.hardware("h200").own and zoo.names("hardware").count("h200") == 0  # whose key is h200_sxm_141gb


def test_the_folder_may_be_switched_off(home, monkeypatch, tmp_path):
    zoo.add(write(tmp_path / "mine.toml", 'base = "h100"'))
    monkeypatch.setenv("MLSYSIM_ZOO", "off")
    with pytest.raises(zoo.UnknownName):
        zoo.hardware("mine")
    with pytest.raises(ValueError, match="no rows are kept: MLSYSIM_ZOO is off"):
        zoo.add(tmp_path / "mine.toml")
    monkeypatch.delenv("MLSYSIM_ZOO")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    assert own.folder() == tmp_path / "config" / "mlsysim" / "zoo"


def test_listing_completing_and_removing(tmp_path):
    write(tmp_path / "mine.toml", 'base = "h100"\nmem_capacity = "100 GB"')
    assert "given by you, kept in" in " ".join(run("zoo", "add", str(tmp_path / "mine.toml"))[1].split())
    assert "yours: mine" in run("zoo", "hardware")[1]
    said = json.loads(run("zoo", "hardware", "mine", "--json")[1])
    assert said["own"].startswith("given by you") and said["verified"] is False
    from mlsysim.cli import complete

    class Context:
        params = {"table": "remove"}  # noqa: RUF012

    assert complete.a_row(Context, "mi") == ["mine"] and complete.a_table(Context, "ad") == ["add"]
    assert zoo.find("hardware", mem_capacity=1e11) == [zoo.hardware("mine")] and "mine" in zoo.table("hardware").index
    code, text = run("zoo", "remove", "mine")
    assert code == 0 and text.startswith("removed ") and "mine" not in zoo.names("hardware")
    for words, says in (
        (("zoo", "remove", "mine"), "no row of your own is named 'mine': none is kept"),
        (("zoo", "remove"), "mlsysim zoo remove needs a name: mlsysim zoo remove mine"),
        (("zoo", "add"), "mlsysim zoo add needs a file: mlsysim zoo add mine.toml"),
        (("zoo", "hardware", "--name", "x"), "--name x: goes with mlsysim zoo add"),
    ):
        code, text = run(*words)
        assert code == 1 and says in text


def test_what_a_checkpoint_says_of_its_formats_is_kept(tmp_path):
    place = write(tmp_path / "quantised" / "config.json", LLAMA).parent
    write(place / "hf_quant_config.json", {"quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"}})
    row = zoo.add(place)
    assert row.key == "quantised" and row.checkpoint is not None
    assert (
        tables.lookup("models", "quantised").checkpoint.precision == ms.codes.Precision.FP8
        if hasattr(ms, "codes")
        else True
    )
