"""Words of the command line and of plan files become inputs: ``tp=1,2,4``, ``batch_size=1:257``, ``mem_bandwidth="4 TB/s"``.

Ranges of numbers, with or without units:

* ``a:b`` and ``a:b:step`` are half-open, as in Python;
* ``a:b:log2`` doubles from a to b, ``a:b:log10`` goes by tens, both ends included;
* ``a:b:linear:n`` and ``a:b:log:n`` are n values from a to b, both ends included;
* commas join values and ranges: ``1,2,4:33:4``.

>>> numbers("tp", "1:64:log2", "1")
[1, 2, 4, 8, 16, 32, 64]
>>> numbers("batch_size", "64:321:64,512", "1")
[64, 128, 192, 256, 320, 512]
>>> numbers("mem_bandwidth", "2 TB/s:4 TB/s:linear:3", "byte/s")
[2000000000000, 3000000000000, 4000000000000]
"""

from __future__ import annotations

import difflib
import itertools
import math
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from mlsysim.resolver import Resolver

#: what a command does with a resolver's answer, whatever the resolver calls its parameters
RUNNING = ("keep", "threads", "progress", "plan")
#: most values on one axis
LONGEST = 10_000_000


class Request(NamedTuple):
    """What a command was asked."""

    inputs: dict[str, str]  #: key -> text
    options: dict[str, Any]
    words: list[str]  #: words that are neither


def split(words: Iterable[str], options: Mapping[str, Any], own: Container[str] = ()) -> Request:
    """Tell inputs from options; an option may be written ``--by tp`` or ``by=tp``.

    Parameters
    ----------
    words : iterable of str
    options : mapping
        The options that the command has, with what was given as ``--name`` (None: nothing).
    own : container of str
        Inputs of the resolver: of two with one name, ``key=value`` means the input.
    """
    inputs: dict[str, str] = {}
    found = dict(options)
    rest = []
    for word in words:
        key, equals, value = word.partition("=")
        key = key.strip()
        if not equals:
            rest.append(word)
        elif not key.replace("_", "").replace(".", "").isalnum():
            raise ValueError(f"{word!r}: write key=value")
        elif key in found and key not in own:
            if found[key] is not None:
                raise ValueError(f"{key} is given twice: {found[key]!r} and {value!r}")
            found[key] = value
        elif key in inputs:
            raise ValueError(f"{key} is given twice: {inputs[key]!r} and {value!r}; join values by commas")
        else:
            inputs[key] = value
    return Request(inputs, found, rest)


def pairs(words: Sequence[str] | None) -> dict[str, str]:
    """Words ``column=value`` as a mapping."""
    found: dict[str, str] = {}
    for word in words or ():
        key, equals, value = word.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{word!r}: write column=value, as in hardware=h100")
        if key.strip() in found:
            raise ValueError(f"{key.strip()} is given twice: {found[key.strip()]!r} and {value!r}")
        found[key.strip()] = value
    return found


def listed(value: str | Sequence[str] | None) -> list[str]:
    """Names joined by commas, in one text or several."""
    texts = [value] if isinstance(value, str) else list(value or ())
    return [name.strip() for text in texts for name in text.split(",") if name.strip()]


def whole(name: str, value: Any) -> int | None:
    """A count among the options."""
    if value is not None and not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*", str(value)):
        raise ValueError(f"{name}={value!r}: must be a whole number")
    return None if value is None else int(value)


def draws(found: Mapping[str, Any]) -> dict[str, Any]:
    """What draws the uncertain: `sample`, `seed` and `quantile`, those that were given.

    >>> draws({"quantile": "0.1,0.9", "seed": "3"})
    {'seed': 3, 'quantile': [0.1, 0.9]}
    """
    given: dict[str, Any] = {n: v for n in ("sample", "seed") if (v := whole(n, found.get(n))) is not None}
    if found.get("quantile") is not None:
        levels = numbers("quantile", found["quantile"], None)
        given["quantile"] = levels if isinstance(levels, list) else [levels]
        for q in given["quantile"]:
            if isinstance(q, str) or not 0 <= q <= 1:
                raise ValueError(f"quantile={found['quantile']}: {q} is no number from 0 to 1")
    if list(given) == ["seed"]:
        raise ValueError(f"seed={given['seed']}: goes with sample=64 or quantile=0.1,0.5,0.9")
    return given


def conditions(where: Any) -> list[str]:
    """The clauses that were given."""
    return [w for w in ([where] if isinstance(where, str) else list(where or ())) if w.strip()]


def objective(found: Mapping[str, Any], default: str = "") -> tuple[str, bool | None]:
    """The one objective of `best` and `top` and its direction, if said."""
    given = {k: listed(found[k]) for k in ("objective", "minimize", "maximize") if found[k]}
    if default and not given:
        return default, None
    if sum(map(len, given.values())) != 1:
        raise ValueError("give one objective: objective=usd_per_mtok, minimize=ttft or maximize=tokens_per_s")
    kind, names = next(iter(given.items()))
    return names[0], None if kind == "objective" else kind == "maximize"


def objectives(found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """What is minimized and what is maximized together, nothing twice."""
    down, up = listed(found["minimize"]), listed(found["maximize"])
    names = [*down, *up]
    if twice := [n for n in names if names.count(n) > 1]:
        raise ValueError(f"{twice[0]} is an objective twice: minimize={','.join(down)} maximize={','.join(up)}")
    return down, up


def thinning(epsilon: str | None) -> float | None:
    """The relative amount of `epsilon`, ``0.01`` or ``1 %``."""
    from mlsysim import units

    return None if epsilon is None else units.parse(epsilon, "1", "epsilon")


def named(text: str) -> Resolver:
    """A resolver by name: any case, with or without its suffix; ``a+b`` composes; flags in brackets are set.

    >>> named("serving").name, named("serving_model").name, named("Economics+sustainability").name
    ('ServingModel', 'ServingModel', 'EconomicsModel + SustainabilityModel')
    >>> named("SingleNodeModel (offload)").bound
    {'offload': 1}
    """
    from mlsysim.resolver import RESOLVERS, compose

    known: dict[str, Resolver] = {}
    for name, one in RESOLVERS.items():
        short = name.lower()
        known[short] = one
        for suffix in ("model", "solver", "optimizer"):
            known.setdefault(short.removesuffix(suffix), one)
    parts = []
    for whole in text.split("+"):
        part, _, flags = whole.strip().removesuffix(")").partition("(")
        found = known.get(part.strip().lower().replace("_", "").replace("-", ""))
        if found is None:
            close = difflib.get_close_matches(part.strip().lower(), known, n=3, cutoff=0.5)
            names = list(dict.fromkeys(known[short].name for short in close)) or list(RESOLVERS)
            raise ValueError(
                f"no resolver is named {part.strip()!r}; {'nearest' if close else 'known'}: {', '.join(names)}"
            )
        parts.append(found(**{flag.strip(): 1 for flag in flags.split(",")}) if flags.strip() else found)
    return parts[0] if len(parts) == 1 else compose(*parts)


def values(inputs: Mapping[str, str], resolver: Resolver) -> dict[str, Any]:
    """The texts of some inputs as scalars and lists, each checked to be an input of the resolver."""
    from mlsysim.engine.bind import Binder
    from mlsysim.resolver import Optimizer, Solver
    from mlsysim.schema.variables import ALIASES, VARIABLES, field_of

    given = {ALIASES.get(name, (name, 1.0))[0] for name in inputs}
    found: dict[str, Any] = {}
    own: Mapping[str, Any] = {}
    if isinstance(resolver, Solver):
        own = resolver.options
    elif isinstance(resolver, Optimizer):
        own = resolver.own
    solver = isinstance(resolver, Solver)
    if "resolver" in inputs and isinstance(resolver, (Solver, Optimizer)):  # what is asked about
        found["resolver"] = named(inputs["resolver"])
        resolver = resolver(resolver=found["resolver"])
    binder = Binder(resolver.parameters(given | set(resolver.bound)), resolver.name)
    for key, text in inputs.items():
        if key == "points":
            found[key] = table(text)
        if key in found:
            continue
        if (key in own and key not in VARIABLES) or (solver and key.startswith("target_")):
            found[key] = _own(key, text.strip(), own.get(key))
            continue
        name, factor = binder.canonical(key)
        text = text.strip()
        if not text:
            raise ValueError(f"{key}= is empty: give a value")
        short = field_of(name)
        variable = VARIABLES.get(short)
        if variable is not None and variable.kind != "option" and name not in binder.picks:
            found[key] = numbers(key, text, variable.unit if factor == 1.0 else None)
        else:
            names = [part.strip() for part in text.split(",")]
            found[key] = names if len(names) > 1 else names[0]
    return found


def names_of(resolver: Resolver) -> set[str]:
    """Inputs of a resolver that are written as they are called."""
    return set(resolver.parameters(())) - set(RUNNING)


def _own(key: str, text: str, default: Any) -> Any:
    """A parameter of a solver: a number, names, ``low:high``, or ``name=value,...``."""
    if key in ("targets", "prices", "ranges"):
        # name=value or name:value; a target may say its side instead, as in tokens_per_s>=1000
        pairs = [re.fullmatch(r"\s*([\w.]+)\s*(?:[:=]|(?=[<>]))\s*(.+?)\s*", part) for part in text.split(",")]
        shape = {"targets": "itl=20ms", "prices": "mem_bandwidth=4", "ranges": "tp=1:8"}[key]
        if not all(pairs):
            raise ValueError(f"{key}={text}: write {key}=name=value, joined by commas, as in {key}={shape}")
        found = [pair.groups() for pair in pairs if pair]
        return {name: ends(key, value) if key == "ranges" else _single(value) for name, value in found}
    if key == "bounds":
        return ends(key, text)
    if text.lower() in ("true", "yes", "false", "no"):
        return text.lower() in ("true", "yes")
    parts = [_single(part.strip()) for part in text.split(",")]
    if isinstance(default, (int, float)) and not all(isinstance(part, (int, float)) for part in parts):
        raise ValueError(f"{key}={text}: must be a number")
    return parts if len(parts) > 1 else parts[0]


def ends(key: str, text: str) -> tuple[Any, ...]:
    """``low:high``."""
    ends = tuple(_single(part.strip()) for part in text.split(":"))
    if len(ends) != 2:
        raise ValueError(f"{key}={text}: write low:high")
    return ends


def table(path: str) -> Any:
    """Paired configurations from a CSV file."""
    import pandas as pd

    try:
        return pd.read_csv(path)
    except OSError as error:
        raise ValueError(f"points={path}: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"points={path}: {error}") from None


def numbers(key: str, text: str, unit: str | None) -> Any:
    """One value, or the list that commas and ranges make; `unit` None takes plain numbers only."""
    found: list[Any] = []
    parts = text.split(",")
    several = len(parts) > 1
    for left, right in itertools.pairwise(parts):
        if re.fullmatch(r"\s*\d{1,3}", left) and re.fullmatch(r"0\d\d\s*", right):
            raise ValueError(f"{key}={text}: commas join values; write {left.strip()}{right.strip()} without one")
    for part in parts:
        if ":" in part:
            several = True
            found += _range(key, part.strip(), unit)
        else:
            found.append(_single(part.strip()))
        if len(found) > LONGEST:
            raise ValueError(f"{key}={text}: more than {LONGEST:,} values")
    return found if several else found[0]


def _single(text: str) -> Any:
    """A number as a number; anything else as it is (the binding reads units and refuses nonsense)."""
    from mlsysim import units

    try:
        number = units.number(text)
    except ValueError:  # too large or too small: told with the name of the input
        return text
    if number is None:
        return text
    if re.fullmatch(r"[+-]?[\d_]+", text):
        return int(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def _end(key: str, part: str, text: str, unit: str | None) -> float:
    from mlsysim import units

    try:
        number = units.number(text) if unit is None else units.parse(text, unit)
        if number is None:
            raise ValueError(f"{text!r} is no number")
    except ValueError as error:
        reason = f"{text!r} is no number" if unit is None else str(error)
        raise ValueError(f"{key}={part}: {reason}") from None
    if not math.isfinite(number):
        raise ValueError(f"{key}={part}: the ends of a range must be finite, not {text!r}")
    return number


def _range(key: str, part: str, unit: str | None) -> list[Any]:
    pieces = [p.strip() for p in part.split(":")]
    shape = (
        f"{key}={part}: a range is a:b or a:b:step (without b), or a:b:log2, a:b:log10, "
        "a:b:linear:n, a:b:log:n (with b)"
    )
    if not 2 <= len(pieces) <= 4 or not all(pieces):
        raise ValueError(shape)
    a, b = _end(key, part, pieces[0], unit), _end(key, part, pieces[1], unit)
    how = pieces[2].lower() if len(pieces) > 2 else ""
    if len(pieces) == 4:
        if how not in ("linear", "log"):
            raise ValueError(shape)
        return _spaced(key, part, a, b, pieces[3], how == "log")
    if how in ("log2", "log10"):
        return _powers(key, part, a, b, 2.0 if how == "log2" else 10.0)
    if how in ("linear", "log"):
        raise ValueError(f"{key}={part}: say how many values, as in {part}:10")
    step = _end(key, part, pieces[2], unit) if how else 1.0
    if step == 0:
        raise ValueError(f"{key}={part}: the step must not be zero")
    size = math.ceil((b - a) / step - 1e-9)
    if size < 1:
        raise ValueError(f"{key}={part}: the range is empty (its end is not part of it)")
    if size > LONGEST:
        raise ValueError(f"{key}={part}: {size:,} values are more than {LONGEST:,}")
    if a.is_integer() and step.is_integer() and max(abs(a), abs(a + size * step)) < 2**53:  # exact, and soon done
        return list(range(int(a), int(a) + size * int(step), int(step)))
    return [_whole(a + i * step) for i in range(size)]


def _powers(key: str, part: str, a: float, b: float, base: float) -> list[Any]:
    if not 0 < a <= b:
        raise ValueError(f"{key}={part}: needs 0 < a <= b")
    steps = round(math.log(b / a, base))
    if not math.isclose(a * base**steps, b, rel_tol=1e-9):
        inside = a * base ** math.floor(math.log(b / a, base) + 1e-9)
        raise ValueError(
            f"{key}={part}: both ends belong to it, and {base:g}-fold steps from {a:g} do not reach {b:g}; "
            f"nearest: {inside:.12g} or {inside * base:.12g}"
        )
    return [_whole(a * base**i) for i in range(steps + 1)]


def _spaced(key: str, part: str, a: float, b: float, number: str, geometric: bool) -> list[Any]:
    if not number.isdigit() or int(number) < 1:
        raise ValueError(f"{key}={part}: {number!r} is no number of values")
    n = int(number)
    if n > LONGEST:
        raise ValueError(f"{key}={part}: {n:,} values are more than {LONGEST:,}")
    if geometric and not (a > 0 and b > 0):
        raise ValueError(f"{key}={part}: a logarithmic range needs ends above zero")
    if n == 1:
        return [_whole(a)]
    if geometric:
        inner = [a * (b / a) ** (i / (n - 1)) for i in range(1, n - 1)]
    else:
        inner = [a + (b - a) * i / (n - 1) for i in range(1, n - 1)]
    return [_whole(x) for x in (a, *inner, b)]


def _whole(x: float) -> Any:
    """The number that was meant: 3 for 3.0, 0.3 for 0.1 + 2 * 0.1."""
    return int(x) if x.is_integer() and abs(x) < 2**53 else float(f"{x:.15g}")
