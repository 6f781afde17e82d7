"""How far something long is: a bar on stderr where people look, and lines or nothing where not."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Tell = Callable[[int, int], None]
"""How many are done, and of how many."""


_LINE_SECONDS = 5
"""Between two lines, where there is no bar."""


@contextmanager
def progress(what: str, lines: bool = False) -> Iterator[Tell]:
    """A bar for as long as the block lasts, which what is given tells how far it is. Where nobody
    looks, lines if they are asked for: for a journal, some seconds apart.
    """
    if lines and not sys.stderr.isatty():
        yield _lines(what)
        return
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True, highlight=False),
        transient=True,
        disable=not sys.stderr.isatty(),
    )
    task = bar.add_task(what, total=None)
    with bar:
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _lines(what: str) -> Tell:
    last = monotonic()

    def tell_line(done: int, of: int) -> None:
        nonlocal last
        if monotonic() >= last + _LINE_SECONDS or done == of:
            last = monotonic()
            click.echo(f"mdsvc: {what}: {done} of {of}", err=True)

    return tell_line
