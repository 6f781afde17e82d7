"""The operator's page over a real socket, and what a browser without scripts makes of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from tests.api.conftest import running, serve, store, wire
from tests.http.wire import Reply, Wire
from tests.web.reading import Node, read

__all__ = ["Look", "running", "serve", "store", "wire"]

Look: TypeAlias = Callable[[str], Awaitable[Node]]
"""The page at a path, which is one."""


def page_of(reply: Reply, status: int = 200) -> Node:
    assert reply.status == status, reply.text
    assert reply.type == "text/html; charset=utf-8"
    return read(reply.text)


@pytest.fixture
def look(wire: Wire) -> Look:
    async def get(path: str) -> Node:
        return page_of(await wire(path))

    return get
