"""What changes, as server-sent events, which a client can go on with where it was.

An event's id is the store's revision; of several changes of one revision the last one has it, so
that whoever was told only some of them is told them all again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

from mdsvc.api.route import Answer, Call
from mdsvc.errors import BadInput
from mdsvc.forms import to_json
from mdsvc.store.feed import Change, ChangePage, Kind
from mdsvc.store.following import Follower

_KEYS: dict[Kind, str] = {"host": "name", "instance": "uuid"}


async def follow_events(call: Call) -> Answer:
    """Events `host` and `instance` as they change, and a `reset` where what has changed since
    `Last-Event-ID` cannot be told any more.
    """
    return Answer(events(call.backend.follower, _position(call.headers.get("Last-Event-ID"))))


def _position(last_id: str | None) -> int | None:
    if last_id is None or last_id == "":
        return None
    if not (last_id.isascii() and last_id.isdigit() and len(last_id) <= 18):
        raise BadInput("Last-Event-ID: expected the id of an event that came", "Last-Event-ID")
    return int(last_id)


async def events(follower: Follower, after: int | None) -> AsyncIterator[bytes]:
    """The stream after a position, or after now: a part for each page of changes."""
    async with aclosing(follower.pages(after)) as pages:
        async for page in pages:
            yield _part(page)


def _part(page: ChangePage) -> bytes:
    if page.reset:
        return _event("reset", b"{}", page.position)
    last = len(page.changes) - 1
    return b"".join(
        _change(each, at == last or page.changes[at + 1].revision != each.revision)
        for at, each in enumerate(page.changes)
    )


def _change(change: Change, is_last: bool) -> bytes:
    data: dict[str, object] = {_KEYS[change.kind]: change.key}
    data |= {"deleted": True} if change.deleted else {"generation": change.generation}
    return _event(change.kind, to_json(data), change.revision if is_last else None)


def _event(name: str, data: bytes, position: int | None) -> bytes:
    """JSON has no line ends, so it is one line of data."""
    identity = b"" if position is None else b"id: %d\n" % position
    return b"%sevent: %s\ndata: %s\n\n" % (identity, name.encode(), data)
