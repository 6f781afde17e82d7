"""The notes of libvirt's hook carried out: guests of one host in and out of the store.

What a domain says counts more than what the books have of it, as it runs. What contradicts them is
said, and its note waits: it is tried again whenever something else has come or gone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from typing import Protocol

import msgspec

from mdsvc.control.adoption import (
    DEFAULT_PROJECT,
    Adopted,
    Leases,
    Terms,
    import_guests,
    let_go,
)
from mdsvc.control.hosts import get_host
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.discovery.networks import network_from_xml
from mdsvc.errors import BadInput, InvalidRequest, MdsvcError, NotFound, Refused, TooLarge
from mdsvc.hook.notes import Note, notes, refused
from mdsvc.store import Store

PAUSE = 0.5
"""Seconds between two looks at the spool."""

AGAIN = 60.0
"""Seconds after which what was refused is tried again, as the books may have been put right."""

_ITS_OWN = (BadInput, InvalidRequest, Refused, NotFound, TooLarge)
"""What is wrong with one guest, which keeps no other one waiting. All else is the books' fault."""

Tell = Callable[[str], None]


class Following(msgspec.Struct, frozen=True):
    """Whose notes are carried out, and how. Only guests of ``project`` go when they end: all
    others are somebody's who may start them again.
    """

    spool: Path
    host: str
    networks: Path
    project: str = DEFAULT_PROJECT


class Books(Protocol):
    """What of the books is needed, wherever they are. Each raises MdsvcError."""

    async def check_host(self, name: str) -> None:
        """Raises NotFound where there is no such host."""

    async def take_in(self, xml: bytes, host: str, terms: Terms) -> Adopted:
        """The guest of this domain, as it runs."""

    async def let_go(self, uuid: str, host: str, project: str) -> bool:
        """Whether it was there, of this project and on this host."""


class OfStore:
    """The books in a store that is open."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def check_host(self, name: str) -> None:
        """Raises NotFound where there is no such host."""
        await get_host(self._store, name)

    async def take_in(self, xml: bytes, host: str, terms: Terms) -> Adopted:
        """The guest of this domain, as it runs."""
        (adopted,) = await import_guests(self._store, [guest_from_domain(xml)], host, terms)
        return adopted

    async def let_go(self, uuid: str, host: str, project: str) -> bool:
        """Whether it was there, of this project and on this host."""
        return await let_go(self._store, uuid, host, project)


async def follow(books: Books, what: Following, tell: Tell, for_ever: bool) -> None:
    """Carry out what is there; and, for ever, what comes. Raises NotFound for the host, BadInput
    for the spool.
    """
    check_spool(what.spool)
    await books.check_host(what.host)
    said, due = "", 0.0
    while True:
        try:
            again = monotonic() >= due
            await once(books, what, tell, again=again)
            said, due = "", monotonic() + AGAIN if again else due
        except MdsvcError as error:
            if not for_ever:
                raise
            if str(error) != said:
                tell(str(error))
            said = str(error)
        if not for_ever:
            return
        await asyncio.sleep(PAUSE)


def check_spool(spool: Path) -> None:
    """Raises BadInput for a spool in which nothing could be seen, as if no guest came or went. One
    that is not there yet is no fault: the hook makes it.
    """
    if spool.exists() and not (spool.is_dir() and os.access(spool, os.R_OK | os.W_OK | os.X_OK)):
        raise BadInput(
            f"--spool: {spool}: expected a folder that can be read and written, as by root"
        )


async def once(books: Books, what: Following, tell: Tell, *, again: bool = False) -> None:
    """Carry out every note that is there, oldest first; then, where something has changed or it is
    time to, those that were refused before.
    """
    changed = False
    for note in notes(what.spool):
        changed |= await _carry_out(books, what, note, tell)
    if (changed or again) and what.spool.exists():
        for path in sorted(refused(what.spool).glob("*.note")):
            await _again(books, what, path, tell)


async def _carry_out(books: Books, what: Following, note: Note, tell: Tell) -> bool:
    """Whether something has come or gone."""
    try:
        guest = note.guest()
        waiting = refused(what.spool) / f"{guest.uuid}.note"
        ways = {"in": _come, "out": _go}
        changed = await ways[note.way](books, what, note, tell)
    except _ITS_OWN as error:
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


async def _come(books: Books, what: Following, note: Note, tell: Tell) -> bool:
    terms = Terms(what.project, leases(what.networks), replace=True)
    adopted = await books.take_in(note.xml, what.host, terms)
    if adopted.outcome != "unchanged":
        tell(f"{adopted.outcome} {note.name} ({adopted.instance.uuid})")
    return adopted.outcome != "unchanged"


async def _go(books: Books, what: Following, note: Note, tell: Tell) -> bool:
    uuid = note.guest().uuid
    if not await books.let_go(uuid, what.host, what.project):
        return False
    tell(f"removed {note.name} ({uuid})")
    return True


async def _again(books: Books, what: Following, path: Path, tell: Tell) -> None:
    """What is refused again stays where it is, and is not told of again."""
    for note in _one(path):
        try:
            await _come(books, what, note, tell)
        except _ITS_OWN:
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
