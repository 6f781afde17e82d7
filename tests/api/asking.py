"""An operator's client, which sends JSON, and what it says byte by byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Protocol

from tests.http.wire import Reply, Wire

PROBLEM = "application/problem+json"


class Ask(Protocol):
    """Sends one request: a body that is bytes as it is, any other as JSON."""

    async def __call__(self, method: str, path: str, body: Any = None, **headers: str) -> Reply: ...


def asking(wire: Wire) -> Ask:
    async def ask(method: str, path: str, body: Any = None, **headers: str) -> Reply:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            sent.setdefault("Content-Type", "application/json")
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return await wire(path, tuple(sent.items()), method=method, body=body)

    return ask


def problem(reply: Reply, status: int, code: str) -> dict[str, Any]:
    """The problem document, which is one."""
    document: dict[str, Any] = reply.json
    assert (reply.status, reply.type) == (status, PROBLEM), reply.text
    assert (document["status"], document["code"]) == (status, code)
    assert document["title"]
    assert document["detail"].isprintable()
    assert document.keys() <= {"title", "status", "detail", "code", "field", "reasons"}
    return document


def names(reply: Reply, what: str = "hosts", key: str = "name") -> Sequence[str]:
    """Those of a listing."""
    assert reply.status == 200, reply.text
    return [each[key] for each in reply.json[what]]
