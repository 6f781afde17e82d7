"""what guests report back"""  # noqa: D415  # shown after a number

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, Integer, MetaData, Table

from mdsvc.store.sql.columns import text
from mdsvc.store.sql.ddl import create_table

revision = "0006"
down_revision = "0005"

_METADATA = MetaData()

Table("instances", _METADATA, Column("uuid", text(36), primary_key=True))

REPORTS = Table(
    "reports",
    _METADATA,
    Column("uuid", ForeignKey("instances.uuid", ondelete="CASCADE"), primary_key=True),
    Column("received_at", BigInteger, nullable=False),
    Column("told_at", BigInteger, nullable=False),
    Column("generation", Integer),
    Column("state", text(64)),
    Column("dedicated_cpus", text(2048)),
    Column("isolated_cpus", text(2048)),
)


def upgrade() -> None:
    """A table that older programs do not look at."""
    create_table(REPORTS)
