"""hosts, guests, their addresses and passwords"""  # noqa: D415  # shown after a number

from __future__ import annotations

from alembic import op
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Table,
)

from mdsvc.store.sql.columns import BYTES, text
from mdsvc.store.sql.ddl import create_table

revision = "0001"
down_revision = None

TABLES = MetaData()
META = Table(
    "meta",
    TABLES,
    Column("name", text(64), primary_key=True),
    Column("value", BigInteger, nullable=False),
)
HOSTS = Table(
    "hosts",
    TABLES,
    Column("name", text(255), primary_key=True),
    Column("generation", BigInteger, nullable=False),
    Column("record", BYTES, nullable=False),
)
INSTANCES = Table(
    "instances",
    TABLES,
    Column("uuid", text(36), primary_key=True),
    Column("host", ForeignKey(HOSTS.c.name), nullable=False, index=True),
    Column("generation", Integer, nullable=False),
    Column("record", BYTES, nullable=False),
)
_UUID = INSTANCES.c.uuid
ADDRESSES = Table(
    "addresses",
    TABLES,
    Column("ip", text(64), primary_key=True),
    Column("network", text(255), primary_key=True),
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), nullable=False, index=True),
)
PASSWORDS = Table(
    "passwords",
    TABLES,
    Column("uuid", ForeignKey(_UUID, ondelete="CASCADE"), primary_key=True),
    Column("password", BYTES, nullable=False),
)


def upgrade() -> None:
    """As the first release made them."""
    for table in TABLES.sorted_tables:
        create_table(table)
    op.execute("INSERT INTO meta (name, value) VALUES ('schema', 1)")
