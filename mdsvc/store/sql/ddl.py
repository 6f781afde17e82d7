"""Changes of tables that migrations are made of: what is done already is left.

MariaDB commits each by itself, so a migration that was cut short finds its first changes done.
"""

from __future__ import annotations

from collections.abc import Callable

from alembic import op
from sqlalchemy import Column, Table, inspect
from sqlalchemy.engine import Connection
from sqlalchemy.schema import CreateTable


def create_table(table: Table) -> None:
    """The table with its indexes."""
    op.execute(CreateTable(table, if_not_exists=True))
    for index in sorted(table.indexes, key=lambda index: str(index.name)):
        create_index(str(index.name), table.name, [column.name for column in index.columns])


def add_column(table: str, column: Column[object]) -> None:
    """With a default, so that older programs may go on inserting rows."""
    if column.name not in _columns(table):
        op.add_column(table, column)


def rename_column(table: str, old: str, new: str) -> None:
    """No older program can use the column after this."""
    if old in _columns(table):
        op.execute(f"ALTER TABLE {table} RENAME COLUMN {old} TO {new}")


def create_index(name: str, table: str, columns: list[str]) -> None:
    """An index that is not unique."""
    if name not in {index["name"] for index in inspect(op.get_bind()).get_indexes(table)}:
        op.create_index(name, table, columns)


def fill_all(fill: Callable[[Connection, str], str | None]) -> None:
    """Fill what is still empty in rows that are there, some at a time, in this transaction."""
    after: str | None = ""
    while after is not None:
        after = fill(op.get_bind(), after)


def _columns(table: str) -> set[str]:
    return {column["name"] for column in inspect(op.get_bind()).get_columns(table)}
