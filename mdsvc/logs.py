"""Logging: one line an event on stderr, at the level that the settings name."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
_TELL_EACH_STEP = ("aiosqlite", "alembic", "asyncio", "sqlalchemy")


def one_line(message: str) -> str:
    """The message on one line, whatever foreign text it quotes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


def configure(level: str) -> None:
    """Log to stderr from this level on. Each request is logged at `debug`: boots are many."""
    logging.basicConfig(level=level.upper(), format=_FORMAT)
    for library in (
        "aiosqlite",
        "alembic",
        "asyncio",
        "sqlalchemy",
    ):  # they tell each step they take
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))
    access = logging.DEBUG if level == "debug" else logging.WARNING
    logging.getLogger("mdsvc.access").setLevel(access)
