"""Very many guests in a SQLite store, as rows that are copies of one guest's but for the UUID."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence

Row = tuple[object, ...]


def copy(path: str, uuid: str, new: Sequence[str], tables: Iterable[str] = ("instances",)) -> None:
    """Copy the rows that these tables have of the one guest."""
    with sqlite3.connect(path) as database:
        for table in tables:
            row = database.execute(f"SELECT * FROM {table}").fetchone()  # no foreign text
            marks = ",".join("?" * len(row))
            database.executemany(f"INSERT INTO {table} VALUES ({marks})", _renamed(row, uuid, new))


def _renamed(row: Row, uuid: str, new: Sequence[str]) -> Iterator[Row]:
    for each in new:
        yield tuple(_with(value, uuid, each) for value in row)


def _with(value: object, old: str, new: str) -> object:
    if isinstance(value, bytes):
        return value.replace(old.encode(), new.encode())
    return new if value == old else value
