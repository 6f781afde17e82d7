"""A file: a document like the server's, or a CPU list as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mdguest.errors import BadInput
from mdguest.layout import KEY, Layout, dedicated_cpus
from mdguest.sources.documents import json_object, layout_of, plain_text, read_file, unmarked

if TYPE_CHECKING:
    from mdguest.sources.patience import Patience
    from mdguest.system import System

NAME = "file"
FORM = f"{NAME}:PATH"


def check(argument: str) -> None:
    """Raise BadInput where no path is given."""
    if not argument:
        raise BadInput(f"--source {NAME}: expected {FORM}")


def read(argument: str, system: System, patience: Patience) -> Layout:
    """What the file says. An empty one is refused: it may be what a failed download has left."""
    source = f"{NAME}:{argument}"
    data = read_file(system, argument)
    start = unmarked(data).lstrip()[:1]
    if not start:
        example = f'{{"{KEY}": ""}} for no dedicated CPUs'
        raise BadInput(f"{argument}: expected JSON or a CPU list, got an empty file; {example}")
    if start in (b"{", b"[", b'"'):
        return layout_of(json_object(data, argument), argument, source)
    return Layout(dedicated_cpus(plain_text(data, argument), argument), source)
