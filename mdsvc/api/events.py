"""What changes, as server-sent events, which a client can go on with where it was.

An event's id is the store's revision; of several changes of one revision the last one has it, so
that whoever was told only some of them is told them all again.

Drift is no change of the store, and comes and goes with the clock too. So a stream tells which
guests drift as it begins, and then each turn; whoever goes on forgets what they knew of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from itertools import islice

from mdsvc.api.route import Answer, Call
from mdsvc.control.drifting import Drifting, Turn
from mdsvc.errors import BadInput
from mdsvc.forms import to_json
from mdsvc.store.feed import Change, ChangePage, Kind
from mdsvc.store.following import Follower

Part = ChangePage | Sequence[Turn | None]
"""What is told together: changes, or turns of drift."""

_TURNS = 500
"""Of drift, that are told together."""

_MISSED_SECONDS = 0.5
"""How long after it whoever goes on is told of drift: first comes what they have missed."""

_KEYS: dict[Kind, str] = {"host": "name", "instance": "uuid"}


async def follow_events(call: Call) -> Answer:
    """Events `host` and `instance` as they change, `drift` as guests begin and end to drift, and a
    `reset` where what has changed since `Last-Event-ID` cannot be told any more.
    """
    backend, after = call.backend, _position(call.headers.get("Last-Event-ID"))
    return Answer(events(backend.follower, backend.drifting, after))


def _position(last_id: str | None) -> int | None:
    if last_id is None or last_id == "":
        return None
    if not (last_id.isascii() and last_id.isdigit() and len(last_id) <= 18):
        raise BadInput("Last-Event-ID: expected the id of an event that came", "Last-Event-ID")
    return int(last_id)


async def events(follower: Follower, drifting: Drifting, after: int | None) -> AsyncIterator[bytes]:
    """The stream after a position, or after now: a part for each page of changes, and for turns."""
    position = follower.position if after is None else after
    pages, turns = follower.pages(position), _turns(drifting, goes_on=after is not None)
    async with aclosing(_merged(pages, turns)) as parts:
        async for part in parts:
            if isinstance(part, ChangePage):
                position = part.position
                yield _part(part)
            else:
                yield b"".join(_turn(turn, position) for turn in part)


async def _merged(*sources: AsyncGenerator[Part, None]) -> AsyncGenerator[Part, None]:
    """What comes of any of them, as it comes."""
    upcoming = {asyncio.ensure_future(anext(source)): source for source in sources}
    try:
        while True:
            done, _ = await asyncio.wait(upcoming, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                source = upcoming.pop(task)
                yield task.result()
                upcoming[asyncio.ensure_future(anext(source))] = source
    finally:
        for task in upcoming:
            task.cancel()
        await asyncio.gather(*upcoming, return_exceptions=True)
        for source in sources:
            await source.aclose()


async def _turns(
    drifting: Drifting, *, goes_on: bool
) -> AsyncGenerator[Sequence[Turn | None], None]:
    """Those guests that drift, and then each turn; None where what was told before is forgotten."""
    if goes_on:
        await asyncio.sleep(_MISSED_SECONDS)
    await _looked(drifting)
    with drifting.watched() as turns:
        if goes_on:
            yield [None]
        while True:
            while turns:
                yield [turns.pop(uuid) for uuid in list(islice(turns, _TURNS))]
            await asyncio.sleep(drifting.pause)
            await _looked(drifting)


async def _looked(drifting: Drifting) -> None:
    """Return once that could be done. Whatever is wrong meanwhile, others tell of it."""
    while True:
        try:
            await drifting.look(drifting.pause)
        except Exception:  # noqa: BLE001  # a stream goes on for as long as somebody reads
            await asyncio.sleep(drifting.pause)
        else:
            return


def _turn(turn: Turn | None, position: int | None) -> bytes:
    if turn is None:
        return _event("drift_reset", b"{}", position)
    now = {"deleted": True} if turn.generation is None else {"generation": turn.generation}
    data = {"uuid": turn.uuid, **now, "drift": turn.reasons}
    return _event("drift", to_json(data), position)


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
