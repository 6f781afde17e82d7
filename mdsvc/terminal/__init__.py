"""What people read in a terminal, and what all commands share.

``terminal.tables`` and the like are loaded when they are first used: rich is slow to import, and
``--json`` and ``--help`` need nothing of it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

    from mdsvc.terminal import answers as answers
    from mdsvc.terminal import findings as findings
    from mdsvc.terminal import host_map as host_map
    from mdsvc.terminal import reported as reported
    from mdsvc.terminal import tables as tables

_LATER = frozenset({"answers", "findings", "host_map", "reported", "tables"})


def __getattr__(name: str) -> ModuleType:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.{name}")
