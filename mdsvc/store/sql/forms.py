"""Which forms of records a database may hold: those that all programs know that use it.

A record of a newer form is refused by a program that does not know it. So while programs of two
releases use a database, the newer one writes nothing that needs what only it knows, until it is
told that all are upgraded. What is stored is raised only; it is looked at where it matters.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import BindParameter, bindparam, insert, select, update

from mdsvc.errors import Conflict
from mdsvc.store.records import GUEST, HOST, Kind
from mdsvc.store.sql.asyncio_engine import AsyncConnection
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.tables import META

KINDS: Mapping[str, Kind[Any]] = {kind.name: kind for kind in (HOST, GUEST)}

_NAME: BindParameter[str] = bindparam("a_name")
_ROW = select(META.c.value).where(META.c.name == _NAME)
_RAISE = update(META).where(META.c.name == _NAME, META.c.value < bindparam("form"))
_ADD = insert(META)

COMMAND = "mdsvc db upgrade --records"
"""What says that all programs are upgraded."""


def row(kind: Kind[Any]) -> str:
    """The row of ``meta`` that has the newest form of a kind; without one, nothing was added."""
    return f"{kind.name}_form"


def newest() -> dict[str, int]:
    """The rows of a new database, which no older program can use."""
    return {row(kind): kind.form for kind in KINDS.values()}


async def allowed(connection: AsyncConnection, kind: Kind[Any]) -> int:
    """The newest form of a kind that may be written."""
    form = await connection.scalar(_ROW, {"a_name": row(kind)})
    return kind.oldest_written if form is None else int(form)


async def check(connection: AsyncConnection, kind: Kind[Any], key: str, form: int) -> None:
    """Raises Conflict where a record of that form is not for all programs to read."""
    if form > kind.oldest_written and form > await allowed(connection, kind):
        fields = " and ".join(kind.added[form])
        raise Conflict(
            f"{kind.name} {key}: {fields}: programs of an older version, which may still use this "
            f"store, cannot read that; once all of them are upgraded, run: {COMMAND}"
        )


async def are_held_back(engines: Engines) -> bool:
    """Whether some form that is known here may not be written yet."""
    async with engines.reads.connect() as connection:
        return any([await allowed(connection, kind) < kind.form for kind in KINDS.values()])


async def raise_all(engines: Engines) -> None:
    """Allow all forms that are known here."""
    async with engines.writes.begin() as connection:
        for kind in KINDS.values():
            name = {"a_name": row(kind)}
            if await connection.scalar(_ROW, name) is None:
                await connection.execute(_ADD, {"name": row(kind), "value": kind.form})
            await connection.execute(_RAISE, {**name, "form": kind.form, "value": kind.form})
