"""Layers of other kinds in a ``config.json``: which layers they are, and what one of them holds, keeps and costs.

Symbols: h hidden, a heads, d head width; of the gated delta net u and v key and value heads, p and q their widths;
of Mamba m heads of width P, i = m P, N state, g groups, R rank of the step; k length of the convolution.

References
----------
Model classes of transformers 5.24.0; arXiv:2412.06464 (gated delta net), 2510.26692 (Kimi delta attention),
2501.08313 (lightning attention), 2405.21060 (Mamba-2), 2312.00752 (Mamba), 2403.19887 (Jamba), 2512.02556 (index).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mlsysim.zoo.config_file import ConfigFile

Fields = dict[str, float]

#: tokens that the blocked forms of delta nets and of lightning attention take at once
DELTA_BLOCK, LIGHTNING_BLOCK, MAMBA_BLOCK = 64.0, 256.0, 256.0
ATTENTION = ("full_attention", "attention", "global_attention")


def _needed(config: ConfigFile, key: str, otherwise: float | None = None, field: str = "hidden") -> float:
    """A count of a mixer; the class's own where it has one."""
    found = config.number(field, key, least=0.0)
    if found is None and otherwise is None:
        raise ValueError(f"{config.name}: {key} is not given, and the size of the mixers follows from it")
    return float(otherwise if found is None else found)  # type: ignore[arg-type]


def _recurrent(params: float, state: float, convolution: float, step: float, prompt: float) -> Fields:
    return {
        "recurrent_params": params,
        "recurrent_state": state,
        "recurrent_convolution": convolution,
        "recurrent_step_flops": step,
        "recurrent_prompt_flops": prompt,
    }


def _delta(heads: float, key: float, value: float) -> tuple[float, float]:
    """Recurrence of a delta net, one token: step by step, and in blocks of C tokens (FLOP)."""
    block = DELTA_BLOCK
    blocked = heads * (6.0 * key * value + block * (6.0 * key + 4.0 * value) + block**2 / 3.0)
    return 7.0 * heads * key * value, blocked


def gated_delta_net(config: ConfigFile, hidden: float) -> Fields:
    """``h (2 u p + 2 v q) + 2 h v + k (2 u p + v q) + 2 v + q + v q h`` weights (Qwen3-Next, Qwen3.5)."""
    u, v = _needed(config, "linear_num_key_heads", 16), _needed(config, "linear_num_value_heads", 32)
    p, q = _needed(config, "linear_key_head_dim", 128), _needed(config, "linear_value_head_dim", 128)
    kernel, channels = _needed(config, "linear_conv_kernel_dim", 4), 2.0 * u * p + v * q
    params = hidden * (channels + v * q + 2.0 * v) + kernel * channels + 2.0 * v + q + v * q * hidden
    return _recurrent(params, v * p * q, (kernel - 1.0) * channels, *_delta(v, p, q))


def kimi_delta(config: ConfigFile, hidden: float) -> Fields:
    """``4 h w + 3 k w + 2 (h d + d w) + h m + m + w + d`` weights, w = m d (Kimi-Linear)."""
    part = config.part("linear_attn_config")
    m, d = _needed(part, "num_heads"), _needed(part, "head_dim")
    kernel, w = _needed(part, "short_conv_kernel_size", 4), m * d
    low_rank = hidden * d + d * w
    gate = hidden * w if part.flag("use_full_rank_gate", False) else low_rank
    params = 4.0 * hidden * w + 3.0 * kernel * w + low_rank + gate + hidden * m + m + w + d
    return _recurrent(params, m * d * d, 3.0 * (kernel - 1.0) * w, *_delta(m, d, d))


def lightning(config: ConfigFile, hidden: float) -> Fields:
    """``5 h a d + a d`` weights, no convolution; the state is held in 16 bits (MiniMax)."""
    a = _needed(config, "num_attention_heads")
    d = _needed(config, "head_dim", hidden // a)
    block = _needed(config, "block_size", LIGHTNING_BLOCK)
    found = _recurrent(
        5.0 * hidden * a * d + a * d, a * d * d, 0.0, 5.0 * a * d * d, a * (4.0 * d * d + 4.0 * block * d)
    )
    return {**found, "state_bytes": 2.0}


def _mamba2(
    hidden: float, m: float, width: float, n: float, g: float, kernel: float, block: float, norm: bool = True
) -> Fields:
    """``h (2 i + 2 g N + m) + (k + 1)(i + 2 g N) + 3 m + i + i h`` weights."""
    inner = m * width
    channels = inner + 2.0 * g * n
    params = hidden * (inner + channels + m) + (kernel + 1.0) * channels + 3.0 * m + norm * inner + inner * hidden
    blocked = m * (4.0 * width * n + 2.0 * block * width) + 2.0 * g * block * n
    return _recurrent(params, m * width * n, (kernel - 1.0) * channels, 5.0 * m * width * n, blocked)


def mamba2_nemotron(config: ConfigFile, hidden: float) -> Fields:
    """Mamba-2 as Nemotron-H writes it."""
    return _mamba2(
        hidden,
        _needed(config, "mamba_num_heads", 128),
        _needed(config, "mamba_head_dim", 64),
        _needed(config, "ssm_state_size", 128),
        _needed(config, "n_groups", 8),
        _needed(config, "conv_kernel", 4),
        _needed(config, "chunk_size", 128),
    )


def mamba2_granite(config: ConfigFile, hidden: float) -> Fields:
    """Mamba-2 as Granite 4 and Falcon-H1 write it."""
    m = _needed(config, "mamba_n_heads", 128)
    inner = config.number("hidden", "mamba_d_ssm") or _needed(config, "mamba_expand", 2) * hidden
    width = config.number("hidden", "mamba_d_head") or inner // m
    norm = config.flag("mamba_rms_norm", config.text("model_type") != "falcon_h1")
    return _mamba2(
        hidden,
        m,
        width,
        _needed(config, "mamba_d_state", 256),
        _needed(config, "mamba_n_groups", 1),
        _needed(config, "mamba_d_conv", 4),
        _needed(config, "mamba_chunk_size", MAMBA_BLOCK),
        norm,
    )


def mamba2_alone(config: ConfigFile, hidden: float) -> Fields:
    """Mamba-2 as its own class writes it."""
    return _mamba2(
        hidden,
        _needed(config, "num_heads", 128),
        _needed(config, "head_dim", 64),
        _needed(config, "state_size", 128),
        _needed(config, "n_groups", 8),
        _needed(config, "conv_kernel", 4),
        _needed(config, "chunk_size", MAMBA_BLOCK),
    )


def _mamba1(hidden: float, inner: float, n: float, rank: float, kernel: float, norms: bool) -> Fields:
    """``2 h i + (k + 1) i + i (R + 2 N) + R i + i + i N + i + i h`` weights (and R + 2 N of norms: Jamba)."""
    params = 2.0 * hidden * inner + (kernel + 1.0) * inner + inner * (rank + 2.0 * n) + rank * inner + 2.0 * inner
    params += inner * n + inner * hidden + norms * (rank + 2.0 * n)
    return _recurrent(params, inner * n, (kernel - 1.0) * inner, 9.0 * inner * n, 9.0 * inner * n)


def _rank(config: ConfigFile, key: str, hidden: float) -> float:
    """Rank of the step of Mamba: a number, or a 16th of the width."""
    if config.content.get(key) in (None, "auto"):
        return float(math.ceil(hidden / 16.0))
    return _needed(config, key)


def mamba1_jamba(config: ConfigFile, hidden: float) -> Fields:
    """Mamba as Jamba writes it."""
    inner = _needed(config, "mamba_expand", 2) * hidden
    rank = _rank(config, "mamba_dt_rank", hidden)
    return _mamba1(hidden, inner, _needed(config, "mamba_d_state", 16), rank, _needed(config, "mamba_d_conv", 4), True)


def mamba1_alone(config: ConfigFile, hidden: float) -> Fields:
    """Mamba as its own class writes it."""
    inner = config.number("hidden", "intermediate_size") or _needed(config, "expand", 2) * hidden
    rank = _rank(config, "time_step_rank", hidden)
    return _mamba1(hidden, inner, _needed(config, "state_size", 16), rank, _needed(config, "conv_kernel", 4), False)


# --- which layers --------------------------------------------------------------------------------------


def _mixed(config: ConfigFile, kinds: Iterable[str], recurrent: tuple[str, ...]) -> Fields:
    """Counts of a list with the kind of each layer, of which some are recurrent and the others attention."""
    kinds = list(kinds)
    odd = [kind for kind in kinds if kind not in (*ATTENTION, *recurrent)]
    if odd:
        raise config.refuse(
            "layer_types", f"has layers of kind {odd[0]!r}: {', '.join((*ATTENTION, *recurrent))} are understood"
        )
    count = float(sum(kind in recurrent for kind in kinds))
    return {"recurrent_layers": count, "attention_free_layers": count}


def _by_types(
    recurrent: tuple[str, ...], interval: str = "", otherwise: float = 0.0
) -> Callable[[ConfigFile, float], Fields]:
    def counts(config: ConfigFile, layers: float) -> Fields:
        kinds = config.by_layer("layer_types", config.texts("layer_types"), layers)
        every = otherwise if not interval else config.number("n_layers", interval, least=1) or otherwise
        if not kinds and every:
            kinds = [ATTENTION[0] if (layer + 1) % every == 0 else recurrent[0] for layer in range(int(layers))]
        if not kinds:
            raise ValueError(f"{config.name}: layer_types is not given, and the kinds of the layers follow from it")
        return _mixed(config, kinds, recurrent)

    return counts


def _kimi(config: ConfigFile, layers: float) -> Fields:
    """Layers are counted from 1."""
    whole = config.part("linear_attn_config").content.get("full_attn_layers")
    if not isinstance(whole, (list, tuple)):
        raise config.refuse("linear_attn_config", "must list full_attn_layers")
    count = layers - len({one for one in whole if isinstance(one, int) and 1 <= one <= layers})
    return {"recurrent_layers": count, "attention_free_layers": count}


def _minimax(config: ConfigFile, layers: float) -> Fields:
    full = config.by_layer("attn_type_list", config.flags("attn_type_list"), layers)
    if full:
        return _mixed(config, ("attention" if one else "linear_attention" for one in full), ("linear_attention",))
    return _by_types(("linear_attention",), otherwise=2.0)(config, layers)


def _every(config: ConfigFile, what: str, layers: float, period: float, offset: float) -> float:
    """Layers of which the number leaves `offset` when divided by `period`."""
    every = _needed(config, f"{what}_layer_period", period, "n_layers") or period
    first = _needed(config, f"{what}_layer_offset", offset, "n_layers")
    return float(sum(layer % every == first for layer in range(int(layers))))


def _jamba(config: ConfigFile, layers: float) -> Fields:
    count = layers - _every(config, "attn", layers, 8.0, 4.0)
    found = {"recurrent_layers": count, "attention_free_layers": count}
    if (config.number("n_experts", "num_experts") or 0.0) > 1.0:
        found["expert_layers"] = _every(config, "expert", layers, 2.0, 1.0)
    return found


def _side_by_side(config: ConfigFile, layers: float) -> Fields:
    return {"recurrent_layers": layers}


def _alone(config: ConfigFile, layers: float) -> Fields:
    return {"recurrent_layers": layers, "attention_free_layers": layers, "network_free_layers": layers}


#: what Nemotron-H's blocks are called, by letter
_LETTERS = {"M": "mamba", "*": "attention", "-": "mlp", "E": "moe"}


def blocks(config: ConfigFile) -> list[str]:
    """The blocks of a Nemotron-H, each a mixer or a network."""
    kinds = config.texts("layers_block_type")
    key = "layers_block_type" if kinds else "hybrid_override_pattern"
    if not kinds:
        kinds = [_LETTERS.get(letter, letter) for letter in config.text(key)]
    odd = [kind for kind in kinds if kind not in _LETTERS.values()]
    if odd or not kinds:
        raise config.refuse(key, f"must be made of {', '.join(_LETTERS.values())} ({' '.join(_LETTERS)})")
    return kinds


def _nemotron(config: ConfigFile, layers: float) -> Fields:
    kinds = blocks(config)
    if len(kinds) != layers:
        raise config.refuse("num_hidden_layers", f"must be the {len(kinds)} blocks of the pattern")
    found = {kind: float(kinds.count(kind)) for kind in _LETTERS.values()}
    return {
        "recurrent_layers": found["mamba"],
        "attention_free_layers": layers - found["attention"],
        "network_free_layers": layers - found["mlp"] - found["moe"],
        "expert_layers": found["moe"],
    }


#: model_type -> which of its layers are of another kind, and what one of them is
HYBRIDS: Mapping[str, tuple[Callable[[ConfigFile, float], Fields], Callable[[ConfigFile, float], Fields]]] = {
    **dict.fromkeys(
        ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text"),
        (_by_types(("linear_attention",), "full_attention_interval", 4.0), gated_delta_net),
    ),
    "kimi_linear": (_kimi, kimi_delta),
    **dict.fromkeys(("minimax", "minimax_text_01"), (_minimax, lightning)),
    "jamba": (_jamba, mamba1_jamba),
    "granitemoehybrid": (_by_types(("mamba",)), mamba2_granite),
    "nemotron_h": (_nemotron, mamba2_nemotron),
    "falcon_h1": (_side_by_side, mamba2_granite),
    "mamba": (_alone, mamba1_alone),
    "mamba2": (_alone, mamba2_alone),
}
#: of them the families whose attention has an output gate as wide as the query
GATED_ATTENTION = ("qwen3_next", "qwen3_5", "qwen3_5_text", "qwen3_5_moe", "qwen3_5_moe_text")


def index(config: ConfigFile, layers: float) -> Fields:
    """The index of sparse attention; layers may share that of a layer before them."""
    best = config.number("index_topk", "index_topk")
    if not best:
        return {}
    kinds: list[Any] = config.by_layer("indexer_types", config.texts("indexer_types"), layers)
    if not kinds and config.has("index_topk_pattern"):
        kinds = config.by_layer("index_topk_pattern", list(config.text("index_topk_pattern")), layers)
    every = config.number("n_layers", "index_topk_freq", least=1) or 1.0
    start = _needed(config, "index_skip_topk_offset", 2.0, "n_layers")
    own = [max(layer - start + 1.0, 0.0) % every == 0 for layer in range(int(layers))]
    if kinds:
        own = [kind in ("full", "F") for kind in kinds]
    return {
        "index_topk": best,
        "index_layers": float(sum(own)),
        "index_heads": _needed(config, "index_n_heads", field="n_heads"),
        "index_head_dim": _needed(config, "index_head_dim", 128.0),
    }


def fields(config: ConfigFile, hidden: float, layers: float) -> Fields:
    """Fields of a workload for the layers of other kinds that a family has; none where all are alike."""
    kind = config.text("model_type")
    if kind not in HYBRIDS:
        return index(config, layers)
    counted, one = HYBRIDS[kind]
    found = counted(config, layers)
    return {**found, **one(config, hidden)} if found.get("recurrent_layers") else found
