"""Rewriting records of an older form (R20), some at a time, while servers and commands go on.

Those are read rightly as they are: a rewritten one has the same value, so that its revision stays,
and nobody is told of a change. It is replaced only if it still has the revision that was read. So a
run may end anywhere, and the next one passes over what is done.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import msgspec
from sqlalchemy import BindParameter, Table, bindparam, func, select, update

from mdsvc.errors import BadInput
from mdsvc.store.listing import BadRecord
from mdsvc.store.records import GUEST, HOST, Kind, form_of, pack, unpack
from mdsvc.store.sql import versions
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.patience import patiently
from mdsvc.store.sql.tables import HOSTS, INSTANCES

BATCH = 100
"""Records that are looked at together, and written in one transaction."""

_ROUNDS = 10
"""How often a record is read anew that somebody else changes each time."""

_AFTER: BindParameter[str] = bindparam("after")
_BATCH: BindParameter[int] = bindparam("batch")
_KEYS: BindParameter[Sequence[str]] = bindparam("keys", expanding=True)


class Unreadable(msgspec.Struct, frozen=True):
    """A record that is left as it is: what it is, its name or UUID, and what is wrong."""

    kind: str
    name: str
    error: str


class Rewritten(msgspec.Struct, frozen=True):
    """How many records were looked at, and how many of them were rewritten. ``left`` are still to
    be, as others changed them again and again.
    """

    records: int
    rewritten: int
    left: int
    unreadable: tuple[Unreadable, ...]


class _Statements(NamedTuple):
    count: Any
    page: Any
    some: Any
    replace: Any


def _statements(table: Table) -> _Statements:
    [key] = table.primary_key
    rows = select(key.label("key"), table.c.revision, table.c.record)
    same = key == bindparam("a_key"), table.c.revision == bindparam("revision_read")
    return _Statements(
        count=select(func.count()).select_from(table),
        page=rows.where(key > _AFTER).order_by(key).limit(_BATCH),
        some=rows.where(key.in_(_KEYS)).order_by(key),
        replace=update(table).where(*same).values(record=bindparam("rewritten")),
    )


_TABLES: Mapping[Kind[Any], _Statements] = {
    HOST: _statements(HOSTS),
    GUEST: _statements(INSTANCES),
}


async def rewrite(url: str, batch: int, told: Callable[[int, int], None]) -> Rewritten:
    """Rewrite what is of an older form in the database of a URL. ``told`` is given how many records
    are done, and of how many. Raises as ``versions.opened`` does.
    """
    engines = await versions.opened(url)
    try:
        return await _Run(engines, batch, told).all()
    finally:
        await engines.dispose()


class _Run:
    """One run over all records."""

    def __init__(self, engines: Engines, batch: int, told: Callable[[int, int], None]) -> None:
        self._engines = engines
        self._batch = batch
        self._told = told
        self._done = self._rewritten = self._left = 0
        self._unreadable: dict[tuple[str, str], Unreadable] = {}

    async def all(self) -> Rewritten:
        counts = [await self._rows(table.count) for table in _TABLES.values()]
        total = sum(count for [[count]] in counts)
        for kind, table in _TABLES.items():
            after = ""
            while rows := await self._rows(table.page, after=after, batch=self._batch):
                await self._settle(kind, table, rows)
                after = rows[-1].key
                self._done += len(rows)
                self._told(self._done, max(total, self._done))
        unreadable = tuple(self._unreadable.values())
        return Rewritten(self._done, self._rewritten, self._left, unreadable)

    async def _settle(self, kind: Kind[Any], table: _Statements, rows: Sequence[Any]) -> None:
        """Rewrite what is old of these, and look again at what others change meanwhile."""
        for _ in range(_ROUNDS):
            old = list(self._old(kind, rows))
            replace = partial(self._replace, table, old)
            lost = await patiently(replace, changes=True) if old else []
            self._rewritten += len(old) - len(lost)
            if not lost:
                return
            rows = await self._rows(table.some, keys=lost)
        self._left += sum(1 for _ in self._old(kind, rows))

    def _old(self, kind: Kind[Any], rows: Sequence[Any]) -> Iterator[dict[str, Any]]:
        """Those of an older form than is written now, rewritten."""
        for key, revision, record in rows:
            try:
                rewritten = pack(kind, key, unpack(kind, key, record))
            except (BadRecord, BadInput) as error:
                self._unreadable[kind.name, key] = Unreadable(kind.name, key, str(error))
                continue
            self._unreadable.pop((kind.name, key), None)
            if (form_of(record) or 0) < kind.oldest_written:
                yield {"a_key": key, "revision_read": revision, "rewritten": rewritten}

    async def _replace(self, table: _Statements, old: Sequence[Mapping[str, Any]]) -> list[str]:
        """Write them in one transaction; gives the keys of those that are not as they were."""
        async with self._engines.writes.begin() as connection:
            counts = [(await connection.execute(table.replace, row)).rowcount for row in old]
        return [row["a_key"] for row, count in zip(old, counts, strict=True) if count != 1]

    async def _rows(self, statement: Any, **values: Any) -> Sequence[Any]:
        async def attempt() -> Sequence[Any]:
            async with self._engines.reads.connect() as connection:
                return (await connection.execute(statement, values)).all()

        return await patiently(attempt, changes=True)
