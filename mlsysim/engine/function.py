"""Outputs of a call as a function of a few of its inputs, for who calls it in a loop: an optimizer, a simulation.

All that does not depend on the free inputs is computed once; the rest is written as the lines of one function, and
compiled where it is long.  Python calls the stages, each compiled by itself as in a call, and what they are computed from
stays there, too.
"""

from __future__ import annotations

import collections
import inspect
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np

from mlsysim.engine import cache, staged
from mlsysim.engine.bind import Binder
from mlsysim.engine.graph import Node, reached
from mlsysim.engine.interpret import evaluate
from mlsysim.engine.label import dtype
from mlsysim.engine.point import CompiledLines, Lines
from mlsysim.engine.program import Program
from mlsysim.schema.check import check, names
from mlsysim.schema.variables import EXACT, LARGEST, SMALLEST, VARIABLES, Variable, field_of, variable_of

_HEAD = """import math

import numpy as np

from mlsysim.engine.intrinsics import exp, expm1, log, log1p, power, select

nan = np.nan
inf = np.inf


"""
UNSET: Any = type("Unset", (), {})()  #: in the place of an argument that comes with the others in one array
ROW = 24  #: numbers in one tuple: numba cannot make those of more than 30
LONG = 100  #: lines from which on a function is compiled: they take 3 us, which is what calling compiled code takes


class Moving:
    """What of a call depends on some of its inputs.

    Parameters
    ----------
    program : Program
        A call without axes.
    free : sequence of str
        Leaves that move.
    wanted : sequence of Node
    """

    def __init__(self, program: Program, free: Sequence[str], wanted: Sequence[Node]):
        nodes = reached(wanted)
        leaves = {n.payload: n for n in nodes if n.op == "leaf"}
        following = program.binder.followers(free)
        self.given = [program.graph.leaf(name) for name in free]
        self.follow = [leaves[name] for name in sorted(following) if name in leaves]
        depends = {n.index for n in (*self.given, *self.follow)}
        for n in nodes:
            if any(a.index in depends for a in n.args):
                depends.add(n.index)
        read = {a.index: a for n in nodes if n.index in depends for a in n.args} | {n.index: n for n in wanted}
        fixed = [n for i, n in sorted(read.items()) if i not in depends]
        below = reached(fixed)
        known = {n.index: program.leaf_at(n, {}) for n in below if n.op == "leaf"}
        #: values of what does not move and is read by what does, or wanted
        self.fixed: dict[int, float | bool] = {i: v.item() for i, v in evaluate(below, known, fixed).items()}
        self.alias: dict[int, Node] = {}  #: what equals another node now that some conditions are known
        for n in nodes:
            if n.index in depends and (other := self._decided(n)) is not None:
                self.alias[n.index] = self.of(other)
        self.wanted = [self.of(n) for n in wanted]
        self.lines = self._needed(self.wanted, {n.index for n in (*self.given, *self.follow)})

    def of(self, node: Node) -> Node:
        """The node that stands for another."""
        return self.alias.get(node.index, node)

    def _decided(self, node: Node) -> Node | None:
        if node.op == "where" and node.args[0].index in self.fixed:
            return node.args[1] if self.fixed[node.args[0].index] else node.args[2]
        if node.op in ("and", "or"):
            for this, other in (node.args, node.args[::-1]):
                if this.index in self.fixed:
                    return other if self.fixed[this.index] == (node.op == "and") else this
        return None

    def _needed(self, wanted: Sequence[Node], given: Collection[int]) -> list[Node]:
        """What has to be computed, in computable order."""
        found: dict[int, Node] = {}
        pending = list(wanted)
        while pending:
            node = self.of(pending.pop())
            if node.index not in found and node.index not in given and node.index not in self.fixed:
                found[node.index] = node
                pending.extend(node.args)
        return [found[i] for i in sorted(found)]

    def split(self) -> tuple[list[Node], list[Node]]:
        """What Python computes first: stages and what they need; and the rest."""
        given = {n.index for n in (*self.given, *self.follow)}
        own = [n for n in self.lines if n.op == "stage"]
        first = self._needed(own, given)
        return first, self._needed(self.wanted, {*given, *(n.index for n in first)})

    def called(self, fixed: Mapping[int, str]) -> dict[int, str]:
        """How to write what does not move, and what equals something else."""
        names = dict(fixed)
        for i, node in self.alias.items():
            names[i] = names.get(node.index) or Lines((), ()).name(node)
        return names


class Compiled:
    """Some lines as compiled code, and what it takes and gives.

    Parameters
    ----------
    moving : Moving
    rest : sequence of Node
        What to compute.
    """

    def __init__(self, moving: Moving, rest: Sequence[Node]):
        here = {n.index for n in rest}
        args = {a.index: a for n in rest for a in map(moving.of, n.args) if a.index not in here and a.op != "const"}
        fixed = [i for i in sorted(args) if i in moving.fixed]
        self.takes = [args[i] for i in sorted(args) if i not in moving.fixed]
        self.gives = list({n.index: n for n in moving.wanted if n.index in here}.values())
        self.data = np.array([float(moving.fixed[i]) for i in fixed] or [0.0])
        lines = CompiledLines(rest, (), moving.called({i: f"c{i}" for i in fixed}))
        read = [f"c{i} = data[{k}]{' != 0.0' if args[i].truth else ''}" for k, i in enumerate(fixed)]
        taken = [f"{lines.name(n)} = {lines.name(n)} != 0.0" for n in self.takes if n.truth]
        found = [f"1.0 if {lines.name(n)} else 0.0" if n.truth else lines.name(n) for n in self.gives]
        head = f"def nest({''.join(lines.name(n) + ', ' for n in self.takes)}data):"
        rows = [f"({', '.join(found[k : k + ROW])},)" for k in range(0, len(found), ROW)]
        body = "\n    ".join([head, *read, *taken, *lines.text, f"return ({', '.join(rows)},)"])
        self.text = f"{_HEAD}{body}\n"
        types = [f"UniTuple(float64, {min(ROW, len(found) - k)})" for k in range(0, len(found), ROW)]
        self.signature = f"Tuple(({', '.join(types)},))({'float64, ' * len(self.takes)}float64[::1])"


def function(
    program: Program, free: Mapping[str, str], outputs: Mapping[str, Node], single: bool
) -> Callable[..., Any]:
    """Outputs of a call without axes as a function of some of its inputs.

    Parameters
    ----------
    program : Program
    free : mapping
        What the arguments are called, and the leaf of each.
    outputs : mapping
        Nodes by name.
    single : bool
        Return the one output alone, not a tuple.
    """
    moving = Moving(program, list(free.values()), list(outputs.values()))
    called = moving.called({i: _literal(value) for i, value in moving.fixed.items()})
    first, rest = moving.split()
    lines = Lines(first, (), called, staged.quick)
    text = _read(program, free, moving, lines)
    if lines.text:
        lines.scope["errstate"] = np.errstate
        text += ["with errstate(all='ignore'):", *(f"    {line}" for line in lines.text)]
    compiled = Compiled(moving, rest) if len(rest) >= LONG else None
    nest = compiled and cache.compiled(compiled.text, compiled.signature)
    if compiled is None or nest is None:
        after = Lines(rest, (), called)
        text += after.text
    else:
        lines.scope |= {"nest": nest, "data": compiled.data}
        takes, gives = ([lines.name(n) for n in nodes] for nodes in (compiled.takes, compiled.gives))
        rows = [f"({', '.join(gives[k : k + ROW])},)" for k in range(0, len(gives), ROW)]
        text.append(f"({', '.join(rows)},) = nest({', '.join([*takes, 'data'])})")
    found = [_shown(name, lines.name(n), lines.scope) for name, n in zip(outputs, moving.wanted)]
    if single:
        text.append(f"return {found[0]}")
    else:
        fields = [name.replace(".", "_") for name in outputs]
        lines.scope |= {"Outputs": collections.namedtuple("Outputs", fields), "new": tuple.__new__}
        text.append(f"return new(Outputs, ({', '.join(found)},))")
    title = "".join(c if c.isalnum() else "_" for c in program.resolver.name)
    arguments = ", ".join([next(iter(free)), *(f"{name}=unset" for name in list(free)[1:])])
    made = lines.made([f"def {title}({arguments}):", *text], title)
    made.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in free]
    )
    made.__doc__ = _told(program, free, outputs, single)
    return made


def _literal(value: float | bool) -> str:
    return f"({value!r})" if value < 0 else repr(value)


def _read(program: Program, free: Mapping[str, str], moving: Moving, lines: Lines) -> list[str]:
    """Lines that hold the arguments against their bounds, and take what follows from them."""
    scope = lines.scope
    scope |= {"unset": UNSET, "plain": frozenset({float, int, np.float64, np.int64}), "checked": checked}
    text = []
    if len(free) > 1:
        scope["apart"] = lambda values, *more: apart(list(free), values, more)
        names = ", ".join(free)
        text += [f"if {list(free)[-1]} is unset:", f"    {names} = apart({names})"]
    for name, node in zip(free, moving.given):
        low, high, whole = _range(VARIABLES[field_of(node.payload)])
        rounds = f" and {name} % 1 == 0" if whole else ""
        text.append(
            f"if {name}.__class__ in plain and {low!r} <= {name} <= {high!r}{rounds}: {lines.name(node)} = float({name})"
        )
        text.append(f"else: {lines.name(node)} = checked({name!r}, {field_of(node.payload)!r}, {name})")
    if moving.follow:
        scope["followed"] = _followed(program, free, moving)
        given, follow = (", ".join(map(lines.name, nodes)) for nodes in (moving.given, moving.follow))
        text.append(f"({follow},) = followed({given})")
    return text


def _range(variable: Variable) -> tuple[float, float, bool]:
    """Between which numbers a value is certainly allowed, and must it be whole."""
    low, high = max(variable.low, SMALLEST), min(variable.high, LARGEST)
    whole = variable.kind == "count"
    return math.nextafter(low, math.inf) if variable.above else low, min(high, EXACT - 1) if whole else high, whole


def checked(name: str, field: str, value: Any) -> float:
    """A value that is no plain number well within its bounds: read, or refused."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    try:
        return check(field, value)
    except ValueError as error:
        raise ValueError(str(error) if name == field else f"{name}: {error}") from None


def apart(names: Sequence[str], values: Any, more: Sequence[Any]) -> Sequence[Any]:
    """The values of all arguments from one array, as optimizers give them."""
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    if any(v is not UNSET for v in more) or not isinstance(listed, (list, tuple)) or len(listed) != len(names):
        raise TypeError(f"give {len(names)} values: {', '.join(names)}, one by one or as one array")
    return listed


def _followed(program: Program, free: Mapping[str, str], moving: Moving) -> Callable[..., list[float]]:
    """What follows from free fields of a row by the rules of the zoo."""
    leaves = list(free.values())
    makers = []
    for recipe in program.binder.recipes.values():
        enter = [(field, leaves.index(name)) for name, field in recipe.moved(leaves).items()]
        if enter:
            makers.append((f"{recipe.name}.", enter, recipe.along({}, 1)))
    wanted = [n.payload for n in moving.follow]

    def followed(*values: float) -> list[float]:
        found: dict[str, Any] = {}
        for stem, enter, made in makers:
            fields = made({field: np.array([values[i]]) for field, i in enter})
            found.update((stem + field, value) for field, value in fields.items())
        return [float(np.broadcast_to(found[name], 1)[0]) for name in wanted]

    return followed


def _shown(name: str, value: str, scope: dict[str, Any]) -> str:
    """An output as `solve` gives it: a number, a truth value, the member of an option."""
    variable = variable_of(name)
    if variable is not None and variable.options is not None:
        scope[f"of_{variable.options.__name__}"] = {int(one): one for one in variable.options}
        return f"of_{variable.options.__name__}[{value}]"
    return f"{value} != 0.0" if dtype(name) is np.bool_ else value


def _told(program: Program, free: Mapping[str, str], outputs: Mapping[str, Node], single: bool) -> str:
    """The docstring of a function."""

    def line(name: str) -> str:
        variable = variable_of(name)
        return f"{name} : {variable.meaning} ({variable.unit})" if variable is not None else name

    inputs = "\n".join(line(name) for name in free.values())
    gives = "\n".join(map(line, outputs))
    return f"""{program.resolver.name} of {", ".join(free)}.

Parameters
----------
{inputs}

Returns
-------
{gives}
"""


def bound(
    resolver: Any, free: Sequence[str], outputs: str | Sequence[str] | None, inputs: Mapping[str, Any]
) -> Callable[..., Any]:
    """The function of a resolver in its free inputs (see `mlsysim.resolver.function`)."""
    probes = _probes(resolver, free, inputs)
    program = Program(resolver, {**inputs, **probes}, {n for name in free for n in (name, field_of(name))})
    if program.axes or program.draws is not None:
        several = next(iter(program.axes), "sample")
        raise ValueError(f"function: {several} has several values: bind one, or ask solve for all of them at once")
    leaves = {name.replace(".", "_"): program.leaf_name(name) for name in free}
    program.leave_open(list(leaves.values()))
    nodes, omitted = program.available(None if outputs is None else names(outputs, "outputs"))
    if outputs is None:
        nodes = {name: node for name, node in nodes.items() if name not in program.binder.columns}
    if not nodes:
        raise ValueError(f"{resolver.name} can tell nothing of this call: {'; '.join(map(' '.join, omitted.items()))}")
    return function(program, leaves, nodes, isinstance(outputs, str))


def _probes(resolver: Any, free: Sequence[str], inputs: Mapping[str, Any]) -> dict[str, float]:
    """A value for each free input, for the recording."""
    if not free or not all(isinstance(name, str) for name in free) or len(set(free)) < len(free):
        raise TypeError(
            f"function: name the inputs that stay free, each once, as in {resolver.name}.function('seq_len', ...)"
        )
    parameters = resolver.parameters({*inputs, *free})
    binder = Binder(parameters, resolver.name)
    found = {}
    for name in free:
        canonical, factor = binder.canonical(name)
        variable = VARIABLES.get(field_of(canonical))
        if canonical in binder.picks or variable is None or variable.kind in ("option", "flag"):
            raise ValueError(f"function: {name} is no number: bind it, and make a function for each of its values")
        if factor != 1.0:
            raise ValueError(f"function: {name} is {canonical} in other units: let {canonical} be free")
        if name in inputs:
            raise TypeError(f"function: {name} is free and must not be given")
        found[name] = _inside(variable)
    for p in parameters.values():
        follows = getattr(p.default, "follows", None)
        if follows in free and p.name not in inputs and p.name not in free:
            raise TypeError(
                f"function: {p.name} follows {follows}, which is free: give {p.name}=..., or let it be free too"
            )
    return found


def _inside(variable: Variable) -> float:
    """A number within the bounds that is not folded."""
    low, high, whole = _range(variable)
    for value in (2.0, 0.5, low, high):
        if low <= value <= high and value not in (0.0, 1.0) and not (whole and value % 1):
            return value
    return 0.5 * (low + high)
