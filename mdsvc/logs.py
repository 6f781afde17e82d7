"""Logging: one line an event on stderr, at the level and in the form that the settings name."""

from __future__ import annotations

import logging
import time
from typing import Any, Literal

from mdsvc.override import override

Format = Literal["text", "json"]

_TEXT = "%(asctime)s %(levelname)s %(name)s: %(message)s"

_FIELDS = ("request_id", "caller", "method", "path", "status")
"""What an event may say of itself beside its message, by ``extra``."""

_TELL_EACH_STEP = ("aiosqlite", "alembic", "asyncio", "sqlalchemy")


class JsonLines(logging.Formatter):
    """Each event as a JSON object on a line, in ASCII: no foreign text stands in it unescaped."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        import json

        seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        event: dict[str, Any] = {
            "time": f"{seconds}.{int(record.msecs):03}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name in _FIELDS if (value := getattr(record, name, None))},
        }
        if record.exc_info:
            event["traceback"] = self.formatException(record.exc_info)
        return json.dumps(event)


def one_line(message: str) -> str:
    """The message on one line, whatever foreign text it quotes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in message)


def configure(level: str, form: Format = "text") -> None:
    """Log to stderr from this level on. Each request is logged at `debug`: boots are many."""
    logging.basicConfig(level=level.upper(), format=_TEXT)
    if form == "json":
        for handler in logging.getLogger().handlers:
            handler.setFormatter(JsonLines())
    for library in _TELL_EACH_STEP:
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLogger().level))
    access = logging.DEBUG if level == "debug" else logging.WARNING
    logging.getLogger("mdsvc.access").setLevel(access)


def said(message: str, form: Format) -> str:
    """What is said at every level, in that form: that the server is up, and where."""
    if form == "text":
        return f"mdsvc: {message}"
    return JsonLines().format(logging.makeLogRecord(_event(message)))


def _event(message: str) -> dict[str, Any]:
    return {"name": "mdsvc", "levelname": "INFO", "msg": message}


class Rarely:
    """A logger for what others can bring about as often as they like: a line each 10 seconds."""

    _SECONDS = 10.0

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._silent_until = 0.0
        self._left_out = 0

    def warning(self, message: str) -> None:
        """Log it, or count it for the next line."""
        if time.monotonic() < self._silent_until:
            self._left_out += 1
            return
        more = f" ({self._left_out} more since the last such line)" if self._left_out else ""
        self._log.warning("%s%s", one_line(message), more)
        self._silent_until = time.monotonic() + self._SECONDS
        self._left_out = 0
