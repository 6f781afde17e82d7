"""A database's URL: to its engines, and as it may be shown."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from mdsvc.errors import BadInput
from mdsvc.store.sql import sqlite
from mdsvc.store.sql.engines import EXPECTED, Engines

_ENGINES: dict[str, Callable[[URL], Engines]] = {"sqlite": sqlite.engines}
"""By the scheme of the URL: another database is a file beside ``sqlite``, and a row here."""


def connect(url: str) -> Engines:
    """The engines of a URL. Raises BadInput; whether the database answers shows later."""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise BadInput(f"expected {EXPECTED}") from None
    engines = _ENGINES.get(parsed.drivername)
    if engines is None:
        raise BadInput(f"{parsed.drivername} is not known; expected {EXPECTED}")
    return engines(parsed)


def without_password(url: str) -> str:
    """The URL as it may stand in a command."""
    parsed = make_url(url)
    return str(parsed.set(password=None)) if parsed.password is not None else url


def shown(url: str) -> str:
    """The URL as it may appear in messages: without the user and the password."""
    return re.sub(r"//.*@", "//***@", url)
