"""What a database says is wrong, as our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection

from mdsvc.errors import BadInput, MdsvcError, Unavailable
from mdsvc.store import Stale

_LOST = frozenset({"SQLITE_BUSY_SNAPSHOT", "40001", "40P01", 1020, 1050, 1060, 1061, 1213})
"""How SQLite, PostgreSQL and MariaDB say that another transaction was first; also where it was one
that made or upgraded the tables (1050, 1060, 1061).
"""

_UNAVAILABLE = frozenset({"SQLITE_BUSY", "SQLITE_LOCKED", "55P03", 1047, 1205})
"""How they say that a lock was waited for in vain, or that a node is not ready (Galera)."""


@contextmanager
def translated() -> Iterator[None]:
    """Raises Stale where it helps to run the transaction again at once, Unavailable where it does
    later, and MdsvcError for all else that is wrong with the database.
    """
    try:
        yield
    except IntegrityError as error:
        raise Stale(str(error.orig)) from error
    except NoConnection as error:
        raise Unavailable("the store is busy: no connection was free in time") from error
    except DBAPIError as error:
        raise _translated(error) from error
    except UnicodeEncodeError as error:
        raise BadInput(f"expected text in UTF-8, got {error.object!r}") from None


def _translated(error: DBAPIError) -> Stale | MdsvcError:
    codes = _codes(error.orig)
    if not _LOST.isdisjoint(codes):
        return Stale(str(error.orig))
    if not _UNAVAILABLE.isdisjoint(codes):
        return Unavailable(f"the store is busy: {error.orig}")
    return MdsvcError(f"the store does not work: {error.orig}")


def _codes(error: BaseException | None) -> set[object]:
    """The error's names, the extended one and the one that it extends, and its numbers."""
    name = str(getattr(error, "sqlite_errorname", ""))
    first = tuple(getattr(error, "args", ()))[:1]
    return {name, "_".join(name.split("_")[:2]), getattr(error, "sqlstate", None), *first}
