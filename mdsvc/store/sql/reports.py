"""What guests report back: the latest of each, beside what the operator stores.

It is no change of the guest, so that nobody's revision moves and nobody is woken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, bindparam, case, delete, insert, select, update

from mdsvc.cpuset import CpuSet
from mdsvc.errors import NotFound, Unavailable
from mdsvc.reports import Report, Status, replaced
from mdsvc.store import Stale
from mdsvc.store.listing import BadRecord
from mdsvc.store.outlines import Outline, outlined
from mdsvc.store.sql.errors import ConnectionLost, translated
from mdsvc.store.sql.tables import INSTANCES, REPORTS
from mdsvc.store.sql.tokens import SqlTokens

_TRIES = 3
"""Of a report: somebody else may write the same row, or the connection be gone."""

_KEY: BindParameter[str] = bindparam("a_key")
_KEYS: BindParameter[Sequence[str]] = bindparam("keys", expanding=True)
_ALL = select(REPORTS)
_ONE = _ALL.where(REPORTS.c.uuid == _KEY)
_SOME = _ALL.where(REPORTS.c.uuid.in_(_KEYS))
_RECORDS = select(INSTANCES.c.uuid, INSTANCES.c.record, INSTANCES.c.host).where(
    INSTANCES.c.uuid.in_(_KEYS)
)
_PAGE = (
    _ALL.where(REPORTS.c.uuid > bindparam("after"), REPORTS.c.received_at >= bindparam("since"))
    .order_by(REPORTS.c.uuid)
    .limit(bindparam("most"))
)
_ADD = insert(REPORTS)
_SET = update(REPORTS).where(REPORTS.c.uuid == _KEY)
_GUEST = select(INSTANCES.c.uuid).where(INSTANCES.c.uuid == _KEY)

FORGET_REPORT = delete(REPORTS).where(REPORTS.c.uuid == _KEY)
NOTE_TOLD = (
    update(REPORTS)
    .where(REPORTS.c.uuid == _KEY, REPORTS.c.told_at <= REPORTS.c.received_at)
    .values(
        told_at=case(
            (REPORTS.c.received_at >= bindparam("at"), REPORTS.c.received_at + 1),
            else_=bindparam("at"),
        )
    )
)
"""What ``reports.told`` says, for a guest that a transaction changes."""


class SqlReports(SqlTokens):
    """The reports of a SQL store."""

    async def reports(self, uuids: Sequence[str] | None = None) -> Mapping[str, Report]:
        some = {} if uuids is None else {"keys": uuids}
        with translated():
            async with self._engines.reads.connect() as connection:
                statement = _ALL if uuids is None else _SOME
                rows = (await connection.execute(statement, some)).all()
        return {row.uuid: _report(row) for row in rows}

    async def outlines(self, uuids: Sequence[str]) -> Mapping[str, Outline | BadRecord]:
        with translated():
            async with self._engines.reads.connect() as connection:
                rows = (await connection.execute(_RECORDS, {"keys": uuids})).all()
        return {uuid: outlined(uuid, record, host) for uuid, record, host in rows}

    async def reports_after(self, after: str, limit: int, since: int) -> Mapping[str, Report]:
        with translated():
            async with self._engines.reads.connect() as connection:
                values = {"after": after, "most": limit, "since": since}
                rows = (await connection.execute(_PAGE, values)).all()
        return {row.uuid: _report(row) for row in rows}

    async def report(self, uuid: str) -> Report | None:
        with translated():
            async with self._engines.reads.connect() as connection:
                rows = (await connection.execute(_ONE, {"a_key": uuid})).all()
        return _report(rows[0]) if rows else None

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        """Raises NotFound. Twice the same is the same: it is tried again where it is lost."""
        for tries_left in reversed(range(_TRIES)):
            try:
                await self._set_report(uuid, status, at)
            except (Stale, ConnectionLost) as error:
                if not tries_left:
                    raise Unavailable(f"the store is busy: {error}") from error
            else:
                return

    async def _set_report(self, uuid: str, status: Status, at: int) -> None:
        before = await self.report(uuid)
        if before and before.makes_superfluous(status, at):
            return
        row = _row(status, at)
        with translated():
            async with self._engines.writes.begin() as connection:
                if before is None:
                    if not (await connection.execute(_GUEST, {"a_key": uuid})).all():
                        raise NotFound.instance(uuid)
                    told_at = replaced(None, status, at).told_at
                    await connection.execute(_ADD, {"uuid": uuid, "told_at": told_at, **row})
                elif (await connection.execute(_SET, {"a_key": uuid, **row})).rowcount != 1:
                    raise Stale(f"the report of {uuid} is gone")


def _row(status: Status, at: int) -> dict[str, Any]:
    return {
        "received_at": at,
        "generation": status.generation,
        "state": status.state,
        "dedicated_cpus": _text(status.dedicated_cpus),
        "isolated_cpus": _text(status.isolated_cpus),
    }


def _text(cpus: CpuSet | None) -> str | None:
    return None if cpus is None else str(cpus)


def _report(row: Any) -> Report:
    status = Status(
        generation=row.generation,
        state=row.state,
        dedicated_cpus=_cpus(row.dedicated_cpus),
        isolated_cpus=_cpus(row.isolated_cpus),
    )
    return Report(status=status, received_at=row.received_at, told_at=row.told_at)


def _cpus(text: str | None) -> CpuSet | None:
    return None if text is None else CpuSet.parse(text)
