"""Which row a name means: spellings, vendors' and tuners' words, version dates, what drivers print.

A name is looked up as it is, then without the words that do not change which row is meant, in another order of its
words, and by its last words (``4090``) if those belong to one row alone.  Two rows that fit equally well are an error,
never a guess.
"""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Collection, Iterator, Mapping

from mlsysim.schema.codes import Precision

#: words that say who makes or sells a thing, not which one it is
VENDORS = frozenset(
    (
        "nvidia",
        "amd",
        "intel",
        "google",
        "apple",
        "aws",
        "amazon",
        "microsoft",
        "huawei",
        "habana",
        "qualcomm",
        "meta",
        "geforce",
        "tesla",
        "quadro",
        "instinct",
        "radeon",
        "cloud",
        "gpu",
        "graphics",
        "accelerator",
        "oam",
        "oem",
    )
)
#: words that say how a model was tuned or packed: its shape is that of the row
TUNED = frozenset(
    (
        "instruct",
        "instruction",
        "it",
        "chat",
        "base",
        "hf",
        "thinking",
        "reasoning",
        "pt",
        "preview",
        "latest",
        "exp",
        "experimental",
        "terminus",
        "gguf",
        "mlx",
        "unsloth",
        "uncensored",
        "abliterated",
        "sft",
        "dpo",
        "rlhf",
        "post",
        "train",
        "pretrained",
        "official",
        "quantized",
        "dynamic",
        "qat",
        "rl",
        "coder",
        "math",
        "1m",
        "kv",
        "free",
    )
)
#: what drivers print beside the name of a device: trade marks, the cores of a processor, the graphics within it
PRINTED = re.compile(r"\((r|tm|c)\)|_(\d+_core|data_center)(?=_)|_processor$|_w/_.*|_generation$|_@_.*")
#: words that name a number format -> the precision that they stand for
FORMATS = {
    "fp8": "fp8",
    "fp8_dynamic": "fp8",
    "mxfp8": "fp8",
    "int8": "int8",
    "w8a8": "int8",
    "w8a16": "int8",
    "8bit": "int8",
    "awq": "int4",
    "gptq": "int4",
    "int4": "int4",
    "w4a16": "int4",
    "4bit": "int4",
    "bnb_4bit": "int4",
    "autoround": "int4",
    "fp4": "nvfp4",
    "nvfp4": "nvfp4",
    "mxfp4": "mxfp4",
    "bf16": "bf16",
    "fp16": "fp16",
}
_GGUF = re.compile(r"i?q(\d)(_(k|0|1|xxs|xs|s|m|l|xl|nl))*")
#: dates (0528, 2507, 20241022, 2024_08_06) and versions (v0.1) at the end of a model's name
_DATED = re.compile(r"_(v\d+(\.\d+)*|\d{4}|\d{6}|\d{8}|20\d\d_\d\d_\d\d|\d\d_20\d\d)$")
#: operators of grids that span several states and have no one carbon figure or price -> the largest of their states
OPERATORS = {
    "pjm": ("us_pa", "us_oh", "us_va", "us_il", "us_nj", "us_md", "us_wv", "us_de", "us_dc"),
    "miso": ("us_il", "us_in", "us_mi", "us_mn", "us_wi", "us_ia", "us_mo", "us_la", "us_ar"),
    "spp": ("us_ok", "us_ks", "us_ne", "us_nd", "us_sd"),
    "isone": ("us_ma", "us_ct", "us_nh", "us_me", "us_ri", "us_vt"),
    "isonewengland": ("us_ma", "us_ct", "us_nh", "us_me", "us_ri", "us_vt"),
    "wecc": ("us_ca", "us_wa", "us_or", "us_az", "us_nv", "us_co", "us_ut", "us_id", "us_mt", "us_wy", "us_nm"),
    "tva": ("us_tn", "us_al", "us_ky", "us_ms"),
    "nordpool": ("nor", "swe", "fin", "dnk"),
}
WHOLE_FORMATS = ("bf16", "fp16")
LONGEST = 80  #: letters of a name that are compared with those that are known
ALIKE = 0.3  #: how like a name has to be to be worth telling, from letters (two thirds) and words (a third) in common


class UnknownName(KeyError, ValueError):
    """A name that is not there; says where it was looked for and which names are near."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


def fold(name: str) -> str:
    """A name as names are compared: case, and runs of space, ``_`` and ``-``, make no difference.

    >>> fold("Llama-3.1 70B") == fold("llama_3.1__70b")
    True
    """
    return re.sub(r"[\s_-]+", "_", name.strip().casefold())


def compact(name: str) -> str:
    """A name without anything between its letters and digits.

    >>> compact("Trainium 3"), compact("llama3_1_8b")
    ('trainium3', 'llama318b')
    """
    return re.sub(r"[^a-z0-9]", "", name.casefold())


def nearest(name: str, known: Collection[str], count: int = 4) -> list[str]:
    """The names most like `name`, spelled as they are known.

    >>> nearest("mem_bandwith", ["mem_bandwidth", "tdp"])
    ['mem_bandwidth']
    """
    spelled = {fold(k): k for k in known}
    wanted = fold(name)
    inside = sorted((k for k in spelled if wanted and wanted in k), key=len)[: count // 2]
    close = difflib.get_close_matches(wanted, spelled, n=count, cutoff=0.5)
    return [spelled[k] for k in dict.fromkeys([*inside, *close])][:count]


def alike(table: str, name: str, labels: Collection[str]) -> list[str]:
    """The labels of a table that are like a name, the most like first: letters in their order, and whole words."""
    *_, (core, _) = ("", ""), *_forms(table, name[:LONGEST])
    letters, words = difflib.SequenceMatcher(b=core, autojunk=False), set(core.split("_"))
    score: dict[str, float] = {}
    for label in labels:
        *_, (other, _) = ("", ""), *_forms(table, label)
        letters.set_seq1(other)
        own = set(other.split("_"))
        likeness = (2.0 * letters.ratio() + len(words & own) / len(words | own)) / 3.0
        if likeness >= ALIKE:
            score[label] = likeness
    return sorted(score, key=lambda label: -score[label])


def unknown(kind: str, name: object, known: Collection[str], argument: str = "") -> UnknownName:
    """The error for a name that is not there."""
    near = nearest(str(name), known)
    hint = (
        f"nearest: {', '.join(near)}"
        if near
        else f"{len(known)} names are known"
        if len(known) > 12
        else f"known: {', '.join(known)}"
    )
    return UnknownName(f"{argument + ': ' if argument else ''}no {kind} is named {str(name)!r}; {hint}")


class Index:
    """The names of one table, and which row each of them means.

    Parameters
    ----------
    table : str
    labels : mapping
        Row -> its names.

    Raises
    ------
    ValueError
        Two rows bear one name.
    """

    def __init__(self, table: str, labels: Mapping[str, Collection[str]]):
        self.table = table
        self.exact: dict[str, str] = {}
        self.close: dict[str, set[str]] = {}
        self.ordered: dict[tuple[str, ...], set[str]] = {}
        self.tails: dict[tuple[str, ...], set[str]] = {}
        for key, names in labels.items():
            for name in names:
                if self.exact.setdefault(fold(name), key) != key:
                    raise ValueError(f"{table}: {name!r} names two rows, {self.exact[fold(name)]} and {key}")
                self.close.setdefault(compact(name), set()).add(key)
                words = tuple(fold(name).split("_"))
                self.ordered.setdefault(_sorted(words), set()).add(key)
                if table == "models" and "/" in name:  # whoever publishes the same checkpoint
                    self.close.setdefault(compact(name.rpartition("/")[2]), set()).add(key)
                for start in range(len(words)):
                    if any(letter.isdigit() for letter in words[start]):
                        self.tails.setdefault(words[start:], set()).add(key)

    def find(self, name: str, argument: str = "") -> str | None:
        """The row that a name means, None where there is none.

        Raises
        ------
        UnknownName
            Several rows fit equally well.
        """
        if fold(name) in self.exact:
            return self.exact[fold(name)]
        for form, packed in _forms(self.table, name):
            fitting = {self.exact[form]} if form in self.exact else self.close.get(compact(form), set())
            words = tuple(form.split("_"))
            fitting = fitting or self.ordered.get(_sorted(words), set())
            if not fitting and len(compact(form)) > 1:
                fitting = self.tails.get(words, set())
            if len(fitting) > 1:
                head = f"{argument}: " if argument else ""
                raise UnknownName(f"{head}{name!r} may be any of {', '.join(sorted(fitting))}: name one of them")
            if fitting:
                found = next(iter(fitting))
                if packed and packed not in WHOLE_FORMATS:
                    _say_format(name, found, packed, argument)
                return found
        return None


def _sorted(words: Collection[str]) -> tuple[str, ...]:
    """Words whatever their order and the generation of a socket (SXM5 is SXM)."""
    return tuple(sorted(re.sub(r"^sxm\d$", "sxm", word) for word in words))


def _say_format(name: str, row: str, packed: str, argument: str) -> None:
    """The name of a checkpoint says its format, which a row does not."""
    warnings.warn(
        f"{argument or 'model'}={name!r} is taken as {row}, whose shape it has; its number format is not taken from the name: "
        f"say precision={packed!r}",
        UserWarning,
        stacklevel=2,
    )


def _forms(table: str, name: str) -> Iterator[tuple[str, str]]:
    """A name in ever shorter forms, each with the format that was taken off it."""
    text = PRINTED.sub("", fold(name)).strip("_")
    text = text.removeprefix("ml.") if table == "systems" else text
    if table == "models":
        text = text.removeprefix("hf://").rstrip("/").rpartition("/")[2]
    seen: set[str] = set()
    packed = ""

    def fresh(form: str) -> bool:
        return bool(form) and form not in seen and not seen.add(form)  # type: ignore[func-returns-value]

    if fresh(text):
        yield text, packed
    words = [word for word in re.split(r"[_()\[\],:]+|(?<=[a-z])\.(?=[a-z])|\.(?=gguf$)", text) if word]
    words = [word for word in words if word not in VENDORS] or words
    if fresh("_".join(words)):
        yield "_".join(words), packed
    if table != "models":
        return
    while True:  # what tuning, dates and packing added at the end goes word by word
        form, taken = _shorter("_".join(words))
        packed = packed or taken
        if not form or form == "_".join(words):
            break
        words = form.split("_")
        if fresh(form):
            yield form, packed
    inner = "_".join(word for word in words if word not in TUNED)
    if fresh(inner):
        yield inner, packed
    _, found, behind = "_".join(words).partition("_distill_")
    if found and fresh(behind):  # a smaller model taught by a larger one has the smaller one's shape
        yield behind, packed


def _shorter(form: str) -> tuple[str, str]:
    """A model's name without its last word of tuning, date or format, and the format that it was."""
    for length in (2, 1):
        head, last = "_".join(form.split("_")[:-length]), "_".join(form.split("_")[-length:])
        if last in FORMATS:
            return head, FORMATS[last]
    words = form.split("_")
    for start in range(1, len(words)):
        if found := _GGUF.fullmatch("_".join(words[start:])):
            named = found[0] if found[0].upper() in Precision.__members__ else ""
            return "_".join(words[:start]), named or ("q8_0" if int(found[1]) > 6 else f"q{found[1]}_k_m")
    if words[-1] in TUNED:
        return "_".join(words[:-1]), ""
    undated = _DATED.sub("", form)
    bare = not any(letter.isdigit() for letter in undated)
    if bare and re.search(r"_v\d", form):  # a version may be all that tells two apart
        return form, ""
    return undated, ""
