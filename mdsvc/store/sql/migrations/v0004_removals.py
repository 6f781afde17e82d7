"""what was removed, for who follows the changes"""  # noqa: D415  # shown after a number

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, MetaData, Table

from mdsvc.store.sql.columns import text
from mdsvc.store.sql.ddl import create_table

revision = "0004"
down_revision = "0003"

REMOVALS = Table(
    "removals",
    MetaData(),
    Column("revision", BigInteger, primary_key=True, autoincrement=False),
    Column("kind", text(16), primary_key=True),
    Column("name", text(255), primary_key=True),
)


def upgrade() -> None:
    """It is known from now on."""
    create_table(REMOVALS)
    op.execute(
        "INSERT INTO meta (name, value) SELECT 'floor', value FROM meta WHERE name = 'revision'"
    )
