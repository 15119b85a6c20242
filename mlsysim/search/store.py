"""`solve` part by part: into a store on disk, which need not fit in memory, and on workers.

The grid is cut along its outermost axes into slabs of some megabytes.  A slab is evaluated by itself and written at once,
as one chunk of every output: no two of them touch the same chunk, so they are done in any order, by anybody, and done again
without harm.  An output lies in the store over its own dims; the slab in which all other axes begin is the one that writes it.
"""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import xarray as xr

from mlsysim.engine import elsewhere, estimate, label
from mlsysim.engine.block import planned, threads_wanted
from mlsysim.engine.graph import Node
from mlsysim.engine.memory import free_memory, require
from mlsysim.engine.program import Program
from mlsysim.engine.progress import Progress, watched
from mlsysim.engine.run import Sweep
from mlsysim.engine.solve import WAYS, assembled, axes_of, outputs, result_bytes, storage
from mlsysim.schema.check import shown
from mlsysim.search import workers
from mlsysim.search.parts import Folder, begun, identity

SLAB = 1 << 26  #: bytes of all outputs of a slab
LEAST = 1 << 20  #: bytes below which slabs are not cut for the sake of their number
FEWEST = 32  #: slabs of a large result
LAID_OUT = "part-template"  #: what the folder of `resume` keeps once the store is laid out
FORMAT: Literal[2] = 2  #: of zarr: version 3 knows no text of fixed length


#: a slab: its number, and what of every axis it has
Part: TypeAlias = tuple[int, tuple[slice, ...]]


@dataclass(frozen=True)
class Slabs:
    """How a grid is cut: the length of a slab along every axis."""

    sizes: Mapping[str, int]
    lengths: Mapping[str, int]

    def parts(self) -> Iterator[Part]:
        """All slabs."""
        counts = [-(-n // self.lengths[a]) for a, n in self.sizes.items()]
        for number in range(math.prod(counts)):
            places = np.unravel_index(number, counts) if counts else ()
            yield (
                number,
                tuple(
                    slice(int(i) * self.lengths[a], min((int(i) + 1) * self.lengths[a], n))
                    for i, (a, n) in zip(places, self.sizes.items())
                ),
            )


def cut(program: Program, nodes: Mapping[str, Node], most: float) -> Slabs:
    """Slabs of so many bytes, cut along the outermost axes."""
    sizes, kinds = program.sizes, {name: np.dtype(label.dtype(name)).itemsize for name in nodes}
    own = {name: axes_of(program, node) for name, node in nodes.items()}
    lengths = dict(sizes)

    def size() -> int:
        return sum(kinds[name] * math.prod(lengths[a] for a in axes) for name, axes in own.items())

    for axis in sizes:
        whole = size()
        if whole <= most:
            break
        lengths[axis] = 1
        per_step = max((whole - size()) / max(sizes[axis] - 1, 1), 1.0)
        lengths[axis] = int(min(max(1 + (most - size()) // per_step, 1), sizes[axis]))
    return Slabs(sizes, lengths)


class Storing:
    """The `Call` of workers (see `mlsysim.search.workers`) that evaluates slabs.

    Parameters
    ----------
    sweep : Sweep
        Of columns to be stored.
    axes : mapping
        For each output its own axes, in the order of the columns.
    path : str, optional
        The store into which a slab is written; without one its arrays are handed back.
    """

    def __init__(self, sweep: Sweep, axes: Mapping[str, Sequence[str]], path: str | None):
        self.sweep, self.axes, self.path = sweep, axes, path
        self.group: Any = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "group": None}

    def do(self, part: Part, hint: None = None) -> dict[str, np.ndarray]:
        """The outputs of a slab that begin in it; of a store none, for they are there."""
        of = dict(zip(self.sweep.names, part[1]))
        shapes = {name: [of[a].stop - of[a].start for a in own] for name, own in self.axes.items()}
        kinds = [kind.dtype for kind in self.sweep.stored or ()]
        flat = [np.empty(math.prod(shape), dtype=kind) for shape, kind in zip(shapes.values(), kinds)]
        elsewhere.slab(self.sweep, part[1], flat).run(threads=1)
        found = {
            name: array.reshape(shape)
            for (name, shape), array in zip(shapes.items(), flat)
            if all(cut.start == 0 for a, cut in of.items() if a not in self.axes[name])
        }
        if self.path is None:
            return found
        if self.group is None:
            self.group = _group(self.path)
        for name, array in found.items():
            target = self.group[name]
            target[tuple(of[a] for a in self.axes[name])] = array.view(target.dtype)
        return {}


def solve(
    program: Program,
    keep: Iterable[str] | None = None,
    threads: int | None = None,
    progress: Progress = None,
    plan: str = "auto",
    client: Any = None,
    store: Any = None,
    resume: Any = None,
) -> xr.Dataset:
    """Every output at every point of the grid, by the workers of `client` or into `store` (see `Resolver.solve`)."""
    workers.either(client, threads)
    if resume is not None and store is None:
        raise TypeError(f"resume={shown(resume)} says which parts of a store are written: give store= too")
    nodes, omitted = outputs(program, keep)
    coords = label.coordinates(program)
    nodes = {name: node for name, node in nodes.items() if name not in coords}
    path = None if store is None else place(store)
    threads = threads_wanted(threads) if client is None else workers.number(client)
    whole = result_bytes(program, nodes)
    most = min(SLAB, max(whole / FEWEST, LEAST))
    held = whole if path is None else 2.0 * most * (threads if client is None else 1)
    stages = program.stage_bytes(nodes.values())
    require(held + stages, f"{program.n_points:,} points x {len(nodes)} outputs", WAYS, free_memory())
    axes = {name: axes_of(program, node) for name, node in nodes.items()}
    arrays: dict[str, np.ndarray] = {}
    with watched(progress) as tell, ExitStack() as stack:
        kinds: list[np.ndarray] = [np.empty(0, dtype=storage(name)) for name in nodes]
        how = "nest" if planned(plan) == "generic" else plan
        sweep = Sweep(program, list(nodes.values()), plan=how, stored=kinds, repeatable=True)
        estimate.warn(estimate.seconds(program, sweep.loads(), threads), program.n_points)
        slabs = cut(program, nodes, most)
        folder = None
        if path is None:
            arrays = {n: np.empty([program.sizes[a] for a in own], dtype=storage(n)) for n, own in axes.items()}
        else:
            bare = label.dataset(program, {}, (), coords, label.story(program, omitted))
            folder = _laid_out(path, resume, program, sweep, slabs, axes, bare)
        missing = [part for part in slabs.parts() if folder is None or folder.read(_name(part[0])) is None]
        done = program.n_points - sum(map(_points, missing))
        pool = client or stack.enter_context(ThreadPoolExecutor(threads))
        for part, found in workers.each(pool, Storing(sweep, axes, path), missing):
            of = dict(zip(sweep.names, part[1]))
            for name, array in found.items():
                arrays[name][tuple(of[a] for a in axes[name])] = array
            if folder is not None:
                folder.write(_name(part[0]), b"")
            done += _points(part)
            if tell is not None:
                tell(done, program.n_points)
    return assembled(program, nodes, omitted, arrays) if path is None else opened(path, list(axes), list(program.axes))


def _name(number: int) -> str:
    """What the folder of `resume` keeps when a slab is written."""
    return f"part-{number:06d}"


def _points(part: Part) -> int:
    return math.prod(one.stop - one.start for one in part[1])


# --- the store -----------------------------------------------------------------------------------------------


def place(store: Any) -> str:
    """Where a store is, as every worker can find it.

    Raises
    ------
    ImportError
        zarr or dask is not installed.
    """
    if not isinstance(store, (str, os.PathLike)) or not os.fspath(store):
        raise TypeError(f"store={shown(store)}: must be the path of a store, as in store='run.zarr'")
    for package in ("zarr", "dask.array"):
        try:
            importlib.import_module(package)
        except ImportError:
            name = package.partition(".")[0]
            raise ImportError(f"{name} is not installed: pip install 'mlsysim-sweep[store]'") from None
    path = os.fsdecode(store)
    return path if "://" in path else os.path.abspath(path)


def _group(path: str) -> Any:
    """A store, to write into."""
    import zarr

    return zarr.open_group(path, mode="r+", zarr_format=FORMAT, use_consolidated=False)


def _there(path: str) -> bool:
    """Is there something already?"""
    if "://" not in path:
        return os.path.isfile(path) or (os.path.isdir(path) and bool(os.listdir(path)))
    try:
        _group(path)
    except FileNotFoundError:
        return False
    return True


def _laid_out(
    path: str,
    resume: Any,
    program: Program,
    sweep: Sweep,
    slabs: Slabs,
    axes: Mapping[str, Sequence[str]],
    bare: xr.Dataset,
) -> Folder | None:
    """Lay the store out, unless that is done; the folder that says which slabs are written.

    Parameters
    ----------
    bare : xarray.Dataset
        The answer without its outputs.
    """
    there, told = _there(path), f"store={path!r}"
    if there and not begun(resume):
        raise ValueError(f"{told}: is there already; name another, or delete it")
    folder = None
    if resume is not None:
        pieces = "slabs of " + " x ".join(map(str, slabs.lengths.values()))
        folder = Folder(resume, identity(program, sweep, f"solve({', '.join(axes)}) into {path}", pieces))
        if folder.read(LAID_OUT) is not None:
            if not there:
                raise ValueError(
                    f"{told}: is gone, of which {os.fspath(resume)} says what is written; delete that, too"
                )
            return folder
    import dask.array

    chunks = {name: [slabs.lengths[a] for a in own] for name, own in axes.items()}
    shapes = {name: [slabs.sizes[a] for a in own] for name, own in axes.items()}
    empty = {
        name: (own, dask.array.zeros(shapes[name], chunks=-1, dtype=label.dtype(name)), label.attributes(name))
        for name, own in axes.items()
    }
    encoding = {name: {"chunks": chunks[name]} for name, own in axes.items() if own}
    try:
        bare.assign(empty).to_zarr(
            path, mode="w", compute=False, consolidated=True, zarr_format=FORMAT, encoding=encoding
        )
    except OSError as error:
        raise ValueError(f"{told}: {error.strerror or error}") from None
    if folder is not None:
        folder.write(LAID_OUT, b"")
    return folder


def opened(path: str, names: Sequence[str], axes: Sequence[str]) -> xr.Dataset:
    """The answer in a store, read where it is looked at; every output over all axes, as `solve` has it."""
    ds = xr.open_zarr(path, consolidated=True, zarr_format=FORMAT).drop_encoding()
    dims = {axis: ds.sizes[axis] for axis in axes}
    return ds[list(names)].assign({name: ds[name].variable.set_dims(dims).transpose(*dims) for name in names})
