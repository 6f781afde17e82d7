"""A URL to the engines of its database: the file of its scheme says how.

Another database is a file beside ``sqlite``, and a row here.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from mdsvc.errors import BadInput
from mdsvc.store.sql.engines import EXPECTED, Engines
from mdsvc.store.sql.urls import DatabaseUrl, parse

_ENGINES = {
    "sqlite": "sqlite",
    "postgresql": "postgresql",
    "postgres": "postgresql",
    "mysql": "mariadb",
    "mariadb": "mariadb",
}


def connect(url: str) -> Engines:
    """The engines of a URL. Raises BadInput; whether the database answers shows later."""
    parsed = parse(url)
    module = _ENGINES.get(parsed.scheme)
    if module is None:
        raise BadInput(f"{parsed.scheme} is not known; expected {EXPECTED}")
    # Only the driver that is used is imported.
    engines: Callable[[DatabaseUrl], Engines] = import_module(f"mdsvc.store.sql.{module}").engines
    return engines(parsed)
