"""user data that close once a guest has booted"""  # noqa: D415  # shown after a number

from __future__ import annotations

from sqlalchemy import BigInteger, Column, ForeignKey, MetaData, Table

from mdsvc.store.sql.columns import text
from mdsvc.store.sql.ddl import create_table

revision = "0008"
down_revision = "0007"

_METADATA = MetaData()

Table("instances", _METADATA, Column("uuid", text(36), primary_key=True))

USER_DATA_LOCKS = Table(
    "user_data_locks",
    _METADATA,
    Column("uuid", ForeignKey("instances.uuid", ondelete="CASCADE"), primary_key=True),
    Column("closes_at", BigInteger),
    Column("closed_at", BigInteger),
)


def upgrade() -> None:
    """A table that older programs do not look at."""
    create_table(USER_DATA_LOCKS)
