"""What people call the columns of a table of runs: in any case, with a unit, in the words of resolvers and of tools.

A heading is folded (``Time To First Token (ms)`` is ``time_to_first_token`` in ``ms``) and looked up among the words of
a kind of runs; a column's own name goes before all of them.  Times need a unit, in the heading or in the cell, except
the resolvers' own words (`ttft`, `itl`, `step_time`: seconds); memory needs one, too.  Of tokens/s, `tps` counts one
device in training, as torchtitan's does, and the whole server in serving; `tokens_per_s` counts all devices, as the
resolvers' does, unless the heading says per GPU: `mlsysim.calibration.checks` refuses what cannot be so.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mlsysim.calibration import measures
from mlsysim.schema.synonyms import CALLED, CLIENTS, PROMPTS, RATES, SEQUENCES

#: words that mean the same in serving and in training: column -> what it is called, the best first
SHARED = {
    **{name: CALLED[name] for name in ("hardware", "model", "tp", "pp", "ep", "precision")},
    "n_gpus": f"{CALLED['n_accelerators'].removeprefix('n_gpus ')} n_accelerators",
    "n_params": f"params {CALLED['params'].removeprefix('n_params ')}",
    "n_layers": "num_layers layers num_hidden_layers",
    "hidden": "hidden_size d_model hidden_dim",
    "ffn_hidden": "ffn_hidden_size intermediate_size ffn_dim",
    "heads": "n_heads num_heads num_attention_heads attention_heads",
    "kv_heads": "n_kv_heads num_kv_heads num_key_value_heads num_query_groups",
    "vocab": "vocab_size padded_vocab_size",
    "n_experts": "num_experts num_local_experts n_routed_experts experts",
    "top_k": "experts_per_token num_experts_per_tok moe_router_topk moe_top_k",
    "expert_ffn": "moe_ffn_hidden_size moe_intermediate_size expert_hidden",
}
#: words for a batch that stays together
BATCHES = "batch_size batch bs"
_PER_DEVICE = tuple(
    f"{word}{end}" for word in RATES.split() for end in ("_per_gpu", "_gpu", "_per_device", "_per_chip")
)
WORDS: dict[str, dict[str, str]] = {
    "serving": {
        **SHARED,
        "engine": "backend endpoint_type server serving_engine",
        "batch_or_concurrency": f"{CLIENTS} {BATCHES}",
        "n_requests": f"completed {CALLED['n_requests']}",
        "input_len": f"total_input_tokens_completed {PROMPTS} seq_len sequence_length seq_length",
        "output_len": f"total_output_tokens_completed {CALLED['output_len']}",
        "ttft_ms": f"ttft {CALLED['ttft']}",
        "itl_ms": f"itl {CALLED['itl']}",
        "tokens_per_s_total": "output_throughput output_token_throughput output_tokens_per_s output_tokens_per_sec "
        f"output_tokens_per_second output_tps {RATES} throughput",
        "tokens_per_s_per_gpu": f"{' '.join(_PER_DEVICE)} output_tps_per_gpu output_tput_per_gpu output_throughput_per_gpu "
        "throughput_per_gpu",
    },
    "training": {
        **SHARED,
        "seq_len": SEQUENCES,
        **{name: CALLED[name] for name in ("global_batch", "micro_batch", "dp", "cp", "zero_stage")},
        "recompute": "recompute_granularity",
        "interleave_v": f"virtual_stages {CALLED['virtual_stages'].removesuffix(' interleave_v')}",
        "measured_step_time_s": f"step_time {CALLED['step_time']}",
        "measured_tokens_per_s_per_gpu": f"{' '.join(_PER_DEVICE)} tps tgs",
        "measured_tokens_per_s_total": "tokens_per_s_total total_tokens_per_s total_tokens_per_sec tokens_per_sec_total "
        f"tokens_per_second_total {RATES.rsplit(' ', 1)[0]} throughput",
        "measured_tflops_per_gpu": "tflops_per_gpu tflops tflop_s tflop_s_per_gpu tflop_s_gpu tflops_per_device "
        "tflops_s_per_gpu throughput_per_gpu model_tflops",
        "measured_mfu": f"mfu {CALLED['mfu']}",
        "measured_hfu": f"hfu {CALLED['hfu']}",
        "measured_mem_gb": f"memory_per_device {CALLED['memory_per_device']}",
    },
}
#: words that are a time, in seconds, in the mouth of a resolver; memory, in bytes
OWN = {"ttft": 1.0, "itl": 1.0, "step_time": 1.0}
#: words that say a rate of something: the unit tells of what
NEED_RATE = {"throughput", "throughput_per_gpu", "output_tput_per_gpu"}
#: words of training that may count one device or all of them
AMBIGUOUS = {*RATES.split(), "throughput"}
#: from how many seconds on a resolver's own word without a unit was probably meant in milliseconds
TOO_LONG = {"ttft": 20.0, "itl": 2.0}


class Reading(NamedTuple):
    """How one heading is read."""

    column: str
    heading: str
    unit: measures.Unit | None  #: None: the column's own
    word: str  #: the heading, folded, without its unit


def folded(heading: str) -> str:
    """A heading as it is compared.

    >>> folded("Batch Size"), folded("# GPUs"), folded("tokens/s/GPU")
    ('batch_size', 'gpus', 'tokens_s_gpu')
    """
    return re.sub(r"\W+", "_", heading.strip().lower().replace("µ", "u").replace("μ", "u")).strip("_")


def told(heading: str) -> str:
    """A heading folded, without what stands in brackets: ``Time To First Token (ms)`` is ``time_to_first_token``."""
    return folded(re.sub(r"[(\[].*?[)\]]", "", heading))


@functools.lru_cache(4096)
def split(heading: str) -> tuple[tuple[str, measures.Unit | None], ...]:
    """The ways to read a heading as a word and a unit, the plainest first.

    >>> [(word, unit and unit.kind) for word, unit in split("TTFT (mean, ms)")]
    [('ttft_mean', 'time')]
    >>> [(word, unit and unit.kind) for word, unit in split("step_time_ms")]
    [('step_time_ms', None), ('step_time', 'time')]
    """
    bracket = re.fullmatch(r"(.*?)\s*[(\[]([^)\]]*)[)\]]\s*:?\s*", heading)
    if bracket:
        said: measures.Unit | None = None
        rest: list[str] = []
        for part in re.split(r"\s*[,;]\s*|\s+(?=\S+$)", bracket[2]) if not measures.unit(bracket[2]) else [bracket[2]]:
            unit = measures.unit(part)
            said, rest = (unit, rest) if unit and said is None else (said, [*rest, part])
        return ((folded(" ".join([bracket[1], *rest])), said),)
    ways: list[tuple[str, measures.Unit | None]] = [(folded(heading), None)]
    behind = re.fullmatch(r"(.*?)(?:\s*,\s*|\s+/\s*|\s+in\s+)([^,]+)", heading.strip())
    if behind and (unit := measures.unit(behind[2])):
        ways.append((folded(behind[1]), unit))
    for cut in (1, 2):
        stem, _, end = _cut(folded(heading), cut)
        if stem and (unit := measures.unit(end.replace("_", ""))) and unit.kind not in ("count", "tokens"):
            ways.append((stem, unit))
    stem, _, end = folded(heading).rpartition("_")
    if stem and end == "tokens":
        ways.append((stem, measures.unit("tokens")))
    for stem in ("sec", "s", "seconds"):
        if re.fullmatch(rf"{stem}_(per_)?(step|iteration|iter|it)", folded(heading)):
            ways.append(("step_time", measures.unit("s")))
    return tuple(ways)


def _cut(text: str, words: int) -> tuple[str, str, str]:
    parts = text.split("_")
    return "_".join(parts[:-words]), "_", "_".join(parts[-words:])


def read_as(header: Sequence[str], kind: str, columns: Sequence[str]) -> dict[int, Reading]:
    """Place of a heading -> how it is read, for the headings that are.

    Parameters
    ----------
    header : sequence of str
    kind : str
        Of the runs.
    columns : sequence of str
        Every column that is read of such runs.
    """
    found: dict[int, Reading] = {}
    table = WORDS.get(kind, {})
    other = {word for words in table.values() for word in words.split()}
    own = _own_names(header, columns)
    for place, column in own.items():
        if column not in other:  # `gpu` is a label beside `hardware`, else the hardware
            found[place] = Reading(column, header[place], None, column)
    taken = {r.column for r in found.values()}
    for column in dict.fromkeys((*table, *(c for c in columns if measures.QUANTITY.get(c)))):
        if column in taken or column not in columns:
            continue
        calls = [folded(column), *table.get(column, "").split()]
        best: tuple[int, int, Reading] | None = None
        for place, heading in enumerate(header):
            if place in found:
                continue
            for word, unit in split(heading):
                if unit is not None and unit.each and f"{word}_per_gpu" in calls:
                    word = f"{word}_per_gpu"
                if word in calls and measures.fits(column, unit, word in NEED_RATE):
                    rank = calls.index(word)
                    if best is None or rank < best[0]:
                        best = (rank, place, Reading(column, heading, _meant(word, unit), word))
                    break
        if best is not None:
            found[best[1]] = best[2]
            taken.add(column)
    for place, column in own.items():
        if place not in found and column not in taken:
            found[place] = Reading(column, header[place], None, column)
            taken.add(column)
    return found


def _own_names(header: Sequence[str], columns: Sequence[str]) -> dict[int, str]:
    """Headings that are a column's own name, in any case."""
    exact = set(columns)
    known = {folded(c): c for c in columns}
    found = {}
    for place, heading in enumerate(header):
        column = heading if heading in exact else known.get(folded(heading))
        if column is not None and not re.search(r"[(\[%]", heading):
            found[place] = column
    return found


def _meant(word: str, unit: measures.Unit | None) -> measures.Unit | None:
    """The unit of a heading; of a resolver's own word its unit."""
    if unit is None and word in OWN:
        return measures.Unit("time", OWN[word], "s")
    if unit is None and word == "memory_per_device":
        return measures.Unit("memory", 1.0, "byte")
    return unit


def means(one: Reading, other: Reading) -> bool:
    """Is a heading that is not read a word for the column of another one?"""
    return folded(one.heading) in {word for table in WORDS.values() for word in table.get(other.column, "").split()}


def every(columns: Mapping[str, Sequence[str]]) -> set[str]:
    """Everything that any column of any kind is called."""
    found = {c for names in columns.values() for c in names}
    return found | {word for table in WORDS.values() for words in table.values() for word in words.split()}
