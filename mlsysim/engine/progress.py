"""A bar while one waits: ``progress=True`` in a terminal and in a notebook, and what the command line draws.

rich draws it: points done, points per second, time left, and the best so far where something is searched for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from mlsysim.schema.check import teller

#: what `progress` may be: True for a bar, or who is told points done and points in all
Progress: TypeAlias = Callable[[int, int], None] | bool | None
OFTEN = 0.1  #: seconds between two drawings
SHARE = 20  #: of the time between two drawings, at most 1/SHARE is spent in drawing


class Bar:
    """A bar, told points done and points in all.

    Parameters
    ----------
    noun : str
        What is counted.
    transient : bool
        Nothing stays on the terminal when it is done.

    Attributes
    ----------
    so_far : callable or None
        Says in a few words what was found so far; asked when the bar is drawn.
    """

    def __init__(self, noun: str = "points", transient: bool = False):
        self.noun = noun
        self.so_far: Callable[[], str] | None = None
        self.drawn = _two_lines(transient)
        self.task = self.drawn.add_task("", total=None, count="compiling" if noun == "points" else noun, found="")
        self.done, self.next = 0, 0.0
        self.handle: Any = None

    def __enter__(self) -> Bar:
        if self.drawn.console.is_jupyter:  # rich's own way there needs widgets
            import IPython.display

            show: Callable[..., Any] = IPython.display.display
            self.handle = show(self.drawn, display_id=True)
        else:
            self.drawn.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.drawn.tasks[0].total is None:  # nothing was counted
            self.drawn.update(self.task, visible=False)
        self._draw()
        self.drawn.stop()

    def __call__(self, done: int, total: int) -> None:
        begin = time.monotonic()
        if begin < self.next and done < total:
            return
        if done < self.done:  # another pass
            self.drawn.reset(self.task)
        self.done = done
        if self.drawn.tasks[0].total is None:
            self.drawn.reset(self.task)  # compiling is over: the rate is that of the points
        self.drawn.update(
            self.task,
            completed=done,
            total=total,
            count=self._count(done, total),
            found=self.so_far() if self.so_far is not None else "",
        )
        self._draw()
        end = time.monotonic()
        self.next = end + max(OFTEN, SHARE * (end - begin))

    def _count(self, done: int, total: int) -> str:
        speed = self.drawn.tasks[0].speed
        rate = f", {short(speed)}/s" if speed else ""
        return f"{short(done)} of {short(total)} {self.noun}{rate}"

    def _draw(self) -> None:
        if self.handle is not None:
            self.handle.update(self.drawn)


def _two_lines(transient: bool) -> Any:
    """rich's bar, and below it what was found so far."""
    from rich.console import Console, RenderableType
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class TwoLines(Progress):
        def get_renderables(self) -> Iterator[RenderableType]:
            yield self.make_tasks_table(self.tasks)
            if self.tasks and self.tasks[0].fields["found"]:
                yield Text(self.tasks[0].fields["found"], style="dim", overflow="ellipsis", no_wrap=True)

    columns = BarColumn(20), TextColumn("{task.fields[count]}"), TimeRemainingColumn(elapsed_when_finished=True)
    return TwoLines(*columns, console=Console(stderr=True, highlight=False), transient=transient)


def short(n: float) -> str:
    """A count as one says it.

    >>> short(31_850_496), short(2048), short(12), short(4.6e8)
    ('31.9 M', '2.05 k', '12', '460 M')
    """
    for name, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if n >= size:
            return f"{n / size:.3g} {name}"
    return f"{n:.3g}"


@contextmanager
def watched(
    progress: Progress, so_far: Callable[[], str] | None = None, noun: str = "points"
) -> Iterator[Callable[[int, int], None] | None]:
    """Who is told of the progress of this block: a bar of its own for True, the one who was named, or nobody.

    Whoever has an attribute ``so_far``, as a bar has, is given what says what was found so far.
    """
    tell = teller(progress)
    if tell is not True:
        if hasattr(tell, "so_far"):
            tell.so_far = so_far
        yield tell
        return
    with Bar(noun) as bar:
        bar.so_far = so_far
        yield bar
