"""What a view is given, and what it gives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import msgspec

from mdsvc.access import Caller
from mdsvc.api.route import Backend
from mdsvc.forms import Form, from_texts
from mdsvc.store import Store
from mdsvc.web.markup import Html

F = TypeVar("F", bound=Form)


class Visit(msgspec.Struct, frozen=True, kw_only=True):
    """One request that was let in. Of its parameters those that are not empty, as a form sends
    those too that nobody filled in.
    """

    backend: Backend
    caller: Caller
    path: Mapping[str, str] = {}
    query: Mapping[str, str] = {}
    form: Mapping[str, str] = {}

    @property
    def store(self) -> Store:
        """Where hosts and guests are."""
        return self.backend.store

    def asks(self, kind: type[F]) -> F:
        """What the query says. Raises BadInput."""
        return from_texts(self.query, kind)


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """What a view shows. ``is_live``: its content is fetched anew when something changes.
    ``refresh``: after so many seconds the browser is to ask again by itself.
    """

    title: str
    content: tuple[Html, ...]
    status: int = 200
    is_live: bool = True
    refresh: int | None = None
