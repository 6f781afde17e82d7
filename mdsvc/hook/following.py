"""The notes of libvirt's hook carried out: guests of one host in and out of the store.

What a domain says counts more than what the books have of it, as it runs. What contradicts them is
said, and its note waits: it is tried again whenever something else has come or gone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from mdsvc.control.adoption import DEFAULT_PROJECT, Leases, Terms, import_guests, let_go
from mdsvc.control.hosts import get_host
from mdsvc.control.known import known_instance
from mdsvc.discovery.networks import network_from_xml
from mdsvc.errors import BadInput, NotFound, Refused, Unavailable
from mdsvc.hook.notes import Note, notes, refused
from mdsvc.store import Store

PAUSE = 0.5
"""Seconds between two looks at the spool."""

Tell = Callable[[str], None]


class Following(msgspec.Struct, frozen=True):
    """Whose notes are carried out, and how. Only guests of ``project`` go when they end: all
    others are somebody's who may start them again.
    """

    spool: Path
    host: str
    networks: Path
    project: str = DEFAULT_PROJECT


async def follow(store: Store, what: Following, tell: Tell, for_ever: bool) -> None:
    """Carry out what is there; and, for ever, what comes. Raises NotFound for the host."""
    await get_host(store, what.host)
    while True:
        try:
            await once(store, what, tell)
        except Unavailable as error:
            if not for_ever:
                raise
            tell(str(error))
        if not for_ever:
            return
        await asyncio.sleep(PAUSE)


async def once(store: Store, what: Following, tell: Tell) -> None:
    """Carry out every note that is there, oldest first; then those that were refused before."""
    changed = False
    for note in notes(what.spool):
        changed |= await _carry_out(store, what, note, tell)
    if changed:
        for path in sorted(refused(what.spool).glob("*.note")):
            await _again(store, what, path, tell)


async def _carry_out(store: Store, what: Following, note: Note, tell: Tell) -> bool:
    """Whether something has come or gone."""
    try:
        guest = note.guest()
        waiting = refused(what.spool) / f"{guest.uuid}.note"
        ways = {"in": _come, "out": _go}
        changed = await ways[note.way](store, what, note, tell)
    except (BadInput, Refused, NotFound) as error:
        tell(f"{note.name} ({note.operation}): {error}")
        _wait(what, note)
        return False
    waiting.unlink(missing_ok=True)
    note.done()
    return changed


def _wait(what: Following, note: Note) -> None:
    """One note waits for each guest, the last; one that is no domain waits under its own name."""
    try:
        name = f"{note.guest().uuid or note.path.stem}.note"
    except BadInput:
        name = note.path.with_suffix(".odd").name
    note.path.replace(refused(what.spool) / name)


async def _come(store: Store, what: Following, note: Note, tell: Tell) -> bool:
    terms = Terms(what.project, leases(what.networks), replace=True)
    (adopted,) = await import_guests(store, [note.guest()], what.host, terms)
    if adopted.outcome != "unchanged":
        tell(f"{adopted.outcome} {note.name} ({adopted.instance.uuid})")
    return adopted.outcome != "unchanged"


async def _go(store: Store, what: Following, note: Note, tell: Tell) -> bool:
    guest = note.guest()
    try:
        stored = await known_instance(store, guest.uuid)
    except NotFound:
        return False
    if stored.project_id != what.project or not await let_go(store, guest.uuid, what.host):
        return False
    tell(f"removed {note.name} ({guest.uuid})")
    return True


async def _again(store: Store, what: Following, path: Path, tell: Tell) -> None:
    """What is refused again stays where it is, and is not told of again."""
    for note in _one(path):
        try:
            await _come(store, what, note, tell)
        except (BadInput, Refused):
            continue
        note.done()


def _one(path: Path) -> Iterator[Note]:
    return (note for note in notes(path.parent) if note.path == path)


def leases(folder: Path) -> Leases:
    """The addresses that the networks of this host keep; none of what cannot be read."""
    found = {}
    for path in sorted(folder.glob("*.xml")):
        try:
            network = network_from_xml(path.read_bytes())
        except (BadInput, OSError):
            continue
        found[network.name] = network.leases
    return found
