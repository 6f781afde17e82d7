"""Pages: the parameters that ask for one, and the marker of the next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import UNSET, UnsetType

from mdsvc.forms import Form
from mdsvc.names import HostName, Label, Uuid
from mdsvc.store.listing import Listing

T = TypeVar("T")

Limit = Annotated[int, msgspec.Meta(ge=1, le=1000, description="how many at most")]


class HostsQuery(Form, frozen=True):
    """Which page of the hosts; ``marker`` is the name that the page before ends with."""

    limit: Limit = 100
    marker: HostName | None = None


class InstancesQuery(Form, frozen=True):
    """Which page of which guests; ``marker`` is the UUID that the page before ends with.
    ``drifted``: those that drift from what they are told, or those that do not;
    empty, it is not asked.
    """

    host: HostName | None = None
    project_id: Label | None = None
    drifted: Literal["true", "false", ""] = ""
    limit: Limit = 100
    marker: Uuid | None = None


class Damaged(msgspec.Struct, frozen=True):
    """A host, by name, or a guest, by UUID, whose record cannot be read, and why."""

    key: str
    detail: str


def damaged(listing: Listing[Any], last: str | None) -> tuple[Damaged, ...] | UnsetType:
    """Those of a page, which ends with the key ``last`` where there is another page."""
    here = (bad for bad in listing.damaged if last is None or bad.key <= last)
    return tuple(Damaged(bad.key, str(bad)) for bad in here) or UNSET


def page(values: Sequence[T], limit: int) -> tuple[tuple[T, ...], T | None]:
    """One page, out of one value more than it has where there is another page; and its last value
    where there is.
    """
    shown = tuple(values[:limit])
    return shown, shown[-1] if len(values) > limit else None
