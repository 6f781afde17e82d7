"""The log as people read it, and as programs do: one object a line, whatever is told."""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mdsvc.logs import JsonLines, said
from tests.api.asking import asking
from tests.api.conftest import Serve, running, serve, store
from tests.cli.values import host
from tests.http.wire import Wire

__all__ = ["running", "serve", "store"]


def event(message: str, *args: object, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("mdsvc.x", logging.ERROR, "f.py", 1, message, args, None)
    record.__dict__ |= fields
    return record


@given(st.text(), st.text())
def test_each_event_is_one_object_on_one_ascii_line(message: str, path: str) -> None:
    line = JsonLines().format(event("%s", message, path=path))
    assert line.isascii()
    assert line.isprintable()
    told = json.loads(line)
    assert (told["message"], told.get("path", "")) == (message, path)
    assert (told["level"], told["logger"]) == ("error", "mdsvc.x")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", told["time"])


def test_a_traceback_is_in_the_line() -> None:
    record = event("lost")
    try:
        raise ValueError("why")
    except ValueError:
        record.exc_info = sys.exc_info()
    assert "ValueError: why" in json.loads(JsonLines().format(record))["traceback"]


def test_what_a_server_says_first_has_both_forms() -> None:
    assert said("ready", "text") == "mdsvc: ready"
    told = json.loads(said("ready", "json"))
    assert (told["message"], told["level"], told["logger"]) == ("ready", "info", "mdsvc")


async def test_a_change_has_its_request_in_fields(
    serve: Serve, store: Any, caplog: pytest.LogCaptureFixture
) -> None:
    wire: Wire = await serve(store)
    with caplog.at_level(logging.INFO, "mdsvc.api"):
        await asking(wire)("POST", "/v1/hosts", host(), **{"X-Request-ID": "mine"})
    [told] = [json.loads(JsonLines().format(record)) for record in caplog.records]
    assert (
        told.items()
        >= {
            "request_id": "mine",
            "caller": "-",
            "method": "POST",
            "path": "/v1/hosts",
            "status": 201,
        }.items()
    )
