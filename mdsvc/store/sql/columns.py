"""Types of columns that are the same on every database; migrations use them too, so they stay."""

from __future__ import annotations

from typing import Any

from sqlalchemy import VARBINARY, LargeBinary, String
from sqlalchemy.types import TypeDecorator, TypeEngine

from mdsvc.override import override


class _Utf8(TypeDecorator[str]):
    """Text as the bytes of its UTF-8. The collations of MariaDB and MySQL that compare by bytes
    take "a" and "a " for the same, or are not to be had on both.
    """

    impl = VARBINARY
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: object) -> Any:
        return None if value is None else value.encode()

    @override
    def process_result_value(self, value: Any, dialect: object) -> str | None:
        return None if value is None else bytes(value).decode()


def text(length: int) -> TypeEngine[str]:
    """Text that is compared byte by byte everywhere, as SQLite and Python compare it."""
    return (
        String(length)
        .with_variant(String(length, collation="C"), "postgresql")
        .with_variant(_Utf8(4 * length), "mysql", "mariadb")
    )


BYTES = LargeBinary(2**24 - 1)
"""The length makes MariaDB's a MEDIUMBLOB; the plain one would end at 64 KiB."""
