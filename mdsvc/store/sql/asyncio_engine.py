"""SQLAlchemy's engine for asyncio, without its ORM.

SQLAlchemy imports the ORM beside this engine, for sessions; it is a quarter of what a command takes
in all, and nothing here uses it (decision 0055). Where something else has loaded it, it is left
alone.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from mdsvc.override import override

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]

_PACKAGE = "sqlalchemy.ext.asyncio"
_OF_THE_ORM = (f"{_PACKAGE}.session", f"{_PACKAGE}.scoping")


class _Nothing(ModuleType):
    """A module in which every name stands for nothing."""

    @override
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return None


@contextmanager
def _without_orm() -> Iterator[None]:
    """Imports in the block find nothing where sessions are."""
    if _PACKAGE in sys.modules or "sqlalchemy.orm" in sys.modules:
        yield
        return
    sys.modules.update({name: _Nothing(name) for name in _OF_THE_ORM})
    try:
        yield
    finally:
        for name in _OF_THE_ORM:
            del sys.modules[name]


with _without_orm():
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
