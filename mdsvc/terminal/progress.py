"""How far something long is: a bar on stderr, where people look; nothing where a program does."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Tell = Callable[[int, int], None]
"""How many are done, and of how many."""


@contextmanager
def progress(what: str) -> Iterator[Tell]:
    """A bar for as long as the block lasts, which what is given tells how far it is."""
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
