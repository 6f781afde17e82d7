"""tokens of the operators' API"""  # noqa: D415  # shown after a number

from __future__ import annotations

from sqlalchemy import BigInteger, Boolean, Column, MetaData, Table

from mdsvc.store.sql.columns import text
from mdsvc.store.sql.ddl import create_table

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """A table that older programs do not look at."""
    create_table(
        Table(
            "tokens",
            MetaData(),
            Column("name", text(64), primary_key=True),
            Column("digest", text(64), nullable=False),
            Column("read_only", Boolean, nullable=False),
            Column("created_at", BigInteger, nullable=False),
            Column("used_at", BigInteger),
        )
    )
