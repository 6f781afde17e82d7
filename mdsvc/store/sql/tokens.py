"""The operators' tokens in a SQL database: rows of their own, that no transaction of hosts and
guests reads.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from msgspec.structs import asdict
from sqlalchemy import BindParameter, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from mdsvc.bearer import Bearer
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.errors import translated
from mdsvc.store.sql.tables import TOKENS

_NAME: BindParameter[str] = bindparam("a_name")

_ALL = select(TOKENS)
_ADD = insert(TOKENS)
_REMOVE = delete(TOKENS).where(TOKENS.c.name == _NAME)
_USED = update(TOKENS).where(TOKENS.c.name == _NAME)


class SqlTokens:
    """The ``TokenStore`` of a database."""

    def __init__(self, engines: Engines) -> None:
        self._engines = engines

    async def bearers(self) -> Sequence[Bearer]:
        with translated():
            async with self._engines.reads.connect() as connection:
                rows = (await connection.execute(_ALL)).mappings().all()
        return sorted((Bearer(**row) for row in rows), key=_name)

    async def add_bearer(self, bearer: Bearer) -> bool:
        """Of two of one name, the primary key lets one win."""
        try:
            await self._write(_ADD, **asdict(bearer))
        except _Taken:
            return False
        return True

    async def remove_bearer(self, name: str) -> bool:
        return await self._write(_REMOVE, a_name=name) > 0

    async def note_bearer_used(self, name: str, at: int) -> None:
        await self._write(_USED, a_name=name, used_at=at)

    async def _write(self, statement: Any, **values: Any) -> int:
        """How many rows it changed. Raises _Taken."""
        with translated():
            try:
                async with self._engines.writes.begin() as connection:
                    written = await connection.execute(statement, values)
            except IntegrityError as error:
                raise _Taken from error
        rows: int = written.rowcount
        return rows


class _Taken(Exception):
    pass


def _name(bearer: Bearer) -> str:
    return bearer.name
