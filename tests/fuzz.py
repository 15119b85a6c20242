"""Random valid points by the million: no NaN without a limit, nothing out of bounds, nothing feasible over capacity.

``python tests/fuzz.py --points 1000000 --models ServingModel TailLatencyModel`` prints a line per model and ends with
exit code 1 where anything was found.
"""

import argparse
import math
import sys
import time
import zlib

import numpy as np
from random_points import column, flaws, table

import mlsysim as ms
from mlsysim.resolver import Model

BATCH = 5_000  #: points of one call: which inputs are named, and which rows there are, is drawn anew for each
#: models whose equations loop: an input of each that the loops do not see, of which a call crosses some values
CHEAP = {"TailLatencyModel": "latency_target", "ResponsibleEngineeringModel": "base_training_time"}
VALUES = 20
KINDS = ("nan", "bounds", "capacity", "infinite")
MODELS = [name for name, resolver in ms.RESOLVERS.items() if isinstance(resolver, Model)]


def call(name: str, rng: np.random.Generator, n: int):
    """The answer to one table of random points; inputs that contradict each other are drawn again."""
    for _ in range(100):
        points = table(name, rng, max(n // VALUES, 1) if name in CHEAP else n)
        cheap = {}
        if name in CHEAP:
            points.pop(CHEAP[name], None)
            cheap = {CHEAP[name]: np.unique(column(rng, CHEAP[name], VALUES, rng.random(VALUES) < 0.3))}
        try:
            return points, ms.RESOLVERS[name].solve(points=points, plan="plain", **cheap)
        except (TypeError, ValueError) as error:
            refused = str(error)
    raise RuntimeError(f"{name}: no valid table in 100; the last was refused: {refused}")


def fuzz(name: str, points: int, seed: int, batch: int = BATCH, say=None) -> dict:
    """Flaws of one model over some points: how many by kind, feasible points, and the first of each output."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
    done, works, found, first = 0, 0, dict.fromkeys(KINDS, 0), {}
    while done < points:
        n = min(batch, points - done)
        drawn, answer = call(name, rng, n)
        size = math.prod(answer.sizes.values())
        done += size
        works += round(float(answer.feasible.mean()) * size) if "feasible" in answer else size
        for kind, by in flaws(answer).items():
            for output, told in by.items():
                found[kind] += int(told.split()[0])
                if (kind, output) not in first:
                    first[kind, output] = told
                    if say is not None:
                        at = int(told.split("at ")[1].split(":")[0])
                        row = {k: v[at * len(v) // size] for k, v in drawn.items()}
                        say(name, kind, output, told, row)
    return {"points": done, "feasible": works, **found, "first": first}


def show(name, kind, output, told, row):
    """The first point at which an output has a flaw."""
    told_row = ", ".join(f"{k}={getattr(v, 'key', v)!s}" for k, v in row.items())
    print(f"  {name} {kind} {output}: {told}\n    {told_row}", file=sys.stderr, flush=True)


def main(arguments=None) -> int:
    """Fuzz the models that are named and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=1_000_000, help="points per model")
    parser.add_argument("--models", nargs="*", default=MODELS, choices=MODELS, metavar="MODEL", help="default: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=int, default=BATCH, help="points of one call")
    parser.add_argument("--quiet", action="store_true", help="leave out the points at which something was found")
    given = parser.parse_args(arguments)
    print(f"{'model':28} {'points':>9} {'feasible':>9} {'NaN':>7} {'bounds':>7} {'over':>7} {'inf':>7} {'seconds':>8}")
    wrong = 0
    for name in given.models:
        start = time.perf_counter()
        answer = fuzz(name, given.points, given.seed, given.batch, None if given.quiet else show)
        wrong += sum(answer[kind] for kind in KINDS)
        print(
            f"{name:28} {answer['points']:9} {answer['feasible']:9} "
            f"{' '.join(f'{answer[kind]:7}' for kind in KINDS)} {time.perf_counter() - start:8.1f}",
            flush=True,
        )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
