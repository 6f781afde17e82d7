"""What a row of the table of routes says, and what a handler is given and gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Literal

import msgspec

from mdsvc.access import Access
from mdsvc.api.etags import IfMatch
from mdsvc.control.drifting import Drifting
from mdsvc.errors import Code
from mdsvc.forms import Form, from_json
from mdsvc.metrics import Metrics
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store import Store
from mdsvc.store.following import Follower

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
BYTES = "text/plain"
XML = "application/xml"
EVENTS = "text/event-stream"


class Backend(msgspec.Struct, frozen=True):
    """What answering operators needs: one value, made where the program is put together.
    ``proxied``: guests ask by Neutron's agent.
    """

    store: Store
    follower: Follower
    access: Access
    metrics: Metrics
    routes: tuple[Route, ...]
    drifting: Drifting
    unknown_keys: UnknownKeys = "warn"
    proxied: bool = False


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """One request, read by its route's types."""

    backend: Backend
    path: Mapping[str, str]
    query: Any
    body: Any
    headers: Mapping[str, str]

    @property
    def if_match(self) -> IfMatch:
        """What whoever changes something has read."""
        return IfMatch.parse(self.headers.get("If-Match"))

    @property
    def store(self) -> Store:
        """Where hosts and guests are."""
        return self.backend.store


class Answer(msgspec.Struct, frozen=True):
    """What a handler says. ``body`` is a value with a JSON form, bytes as they are, or parts of
    bytes without end.
    """

    body: object = None
    status: int = 200
    etag: str | None = None
    location: str | None = None
    warnings: tuple[str, ...] = ()


class NoQuery(Form, frozen=True):
    """A route without parameters in its query."""


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row. The document says of it just what is here.

    ``body`` is the type of the request's body, which ``reader`` reads where another rule holds for
    it than elsewhere. ``answers`` are the types of the answers by status: several as a tuple, None
    where there is no body. ``errors`` are the codes of this route's own, beside those that every
    route has. ``reads``: it changes nothing. ``is_open``: it needs no token.
    ``placed``: the statuses by which a guest has a new place. ``header``: what it looks at beside.
    """

    method: Literal["GET", "POST", "PUT", "DELETE"]
    path: str
    handler: Callable[[Call], Awaitable[Answer]]
    answers: Mapping[int, Any]
    body: Any = None
    reader: Callable[[bytes], Any] | None = None
    query: type[Form] = NoQuery
    errors: tuple[Code, ...] = ()
    kind: str = JSON
    header: Literal["If-Match", "Last-Event-ID"] | None = None
    reads: bool = False
    is_open: bool = False
    placed: tuple[int, ...] = ()
    example: Any = None

    def read(self, body: bytes) -> Any:
        """What a request's body says. Raises BadInput."""
        return self.reader(body) if self.reader else from_json(body, self.body)
