"""Logging: one line an event on stderr, at the level that the settings name."""

from __future__ import annotations

import logging
from time import monotonic

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


class Rarely:
    """A logger for what others can bring about as often as they like: a line each 10 seconds."""

    _SECONDS = 10.0

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._silent_until = 0.0
        self._left_out = 0

    def warning(self, message: str) -> None:
        """Log it, or count it for the next line."""
        if monotonic() < self._silent_until:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last such line)" if self._left_out else ""
        self._log.warning("%s%s", one_line(message), more)
        self._silent_until = monotonic() + self._SECONDS
        self._left_out = 0
