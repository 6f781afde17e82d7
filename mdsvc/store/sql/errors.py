"""What a database says is wrong, as our errors."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as NoConnection

from mdsvc.errors import BadInput, MdsvcError, Unavailable
from mdsvc.store import Stale

_LOST = frozenset({"SQLITE_BUSY_SNAPSHOT", "40001", "40P01", "0A000", 1020, 1050, 1060, 1061, 1213})
"""How SQLite, PostgreSQL and MariaDB say that another transaction was first; also where it was one
that made or upgraded the tables (0A000, 1050, 1060, 1061).
"""

_GONE = frozenset({"08000", "08003", "08006", "57P01", "57P02", "57P03"})
"""How PostgreSQL and its driver say that the connection went, as when the server ends in the midst
of an operation; SQLAlchemy does not always tell.
"""

_UNAVAILABLE = frozenset(
    {"SQLITE_BUSY", "SQLITE_LOCKED", "55P03", "53300", "57014", 1040, 1205, 1969}
)
"""How they say that a lock was waited for in vain, or that they have too much to do."""

_NOT_WRITABLE = frozenset(
    {"SQLITE_READONLY", "SQLITE_FULL", "SQLITE_IOERR", "SQLITE_CANTOPEN", "25006", 1290, 1836}
)
"""How they say that nothing can be written now: they are set so, or their disk is full or gone."""

_NOT_TEXT = frozenset({"22021", "22P05"})
"""How PostgreSQL says that it can have no NUL in text, or that it is not set to UTF-8."""


class ConnectionLost(Unavailable):
    """The connection went while it was used."""


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
    except OSError as error:  # a TimeoutError is one
        raise ConnectionLost(f"the store does not answer: {_reason(error)}") from error
    except UnicodeEncodeError as error:
        raise BadInput(f"expected text in UTF-8, got {error.object[:60]!r}") from None


def _translated(error: DBAPIError) -> Stale | MdsvcError:
    what = codes(error.orig)
    if error.connection_invalidated or not _GONE.isdisjoint(what):
        return ConnectionLost(f"the store does not answer: {error.orig}")
    if not _LOST.isdisjoint(what):
        return Stale(str(error.orig))
    if not _UNAVAILABLE.isdisjoint(what):
        return Unavailable(f"the store is busy: {error.orig}")
    if not _NOT_WRITABLE.isdisjoint(what):
        return Unavailable(f"the store cannot be written to: {error.orig}")
    if not _NOT_TEXT.isdisjoint(what):
        return BadInput("expected text in UTF-8 without NUL, and a database of the encoding UTF8")
    return MdsvcError(f"the store does not work: {error.orig}")


def codes(error: BaseException | None) -> set[object]:
    """The error's names, the extended one and the one that it extends, and its numbers."""
    name = str(getattr(error, "sqlite_errorname", ""))
    first = tuple(getattr(error, "args", ()))[:1]
    return {name, "_".join(name.split("_")[:2]), getattr(error, "sqlstate", None), *first}


def _reason(error: OSError) -> str:
    return error.strerror or str(error) or "no answer in time"
