"""Opening a database of any version: to use it, to say of which version it is, to upgrade it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from shlex import quote

import msgspec

from mdsvc.errors import BadInput, MdsvcError, Unavailable
from mdsvc.store import Stale
from mdsvc.store.sql import connecting, forms, schema, urls
from mdsvc.store.sql.engines import Engines
from mdsvc.store.sql.hosts import NotLetIn
from mdsvc.store.sql.patience import patiently


class Current(msgspec.Struct, frozen=True, omit_defaults=True):
    """The version of a database's tables, None where it has none yet; whether it is the one that is
    expected here, and if not, what to run. ``older_programs``: they are, and records use nothing
    new yet, as it was not said that all programs are upgraded.
    """

    version: int | None
    expected: int
    current: bool
    run: str | None
    older_programs: bool = False


class Upgraded(msgspec.Struct, frozen=True):
    """The versions that a database had, None where it was new, and has."""

    before: int | None
    version: int


async def opened(url: str) -> Engines:
    """The engines of a database whose tables are as they should be, made if it is new.

    Raises BadInput where there can be no store, or one of another version, and Unavailable where
    it is locked for too long.
    """
    with _about(url):
        engines = connecting.connect(url)
        try:
            await _made(engines)
        except BaseException:
            await engines.dispose()
            raise
        return engines


async def _made(engines: Engines) -> None:
    """Make the tables where there are none. Only who makes them waits for others that do."""
    version = await patiently(lambda: schema.version_of(engines))
    if version is None:
        version = await patiently(lambda: schema.make_all(engines), changes=True)
    if version != schema.VERSION:
        raise schema.OtherVersion(version)


async def current(url: str) -> Current:
    """Of which version the tables are. Changes and makes nothing. Raises as ``opened`` does."""
    version, older_programs = None, False
    if not urls.is_missing(url):
        async with _connected(url) as engines:
            version = await patiently(lambda: schema.version_of(engines))
            if version == schema.VERSION:
                older_programs = await patiently(lambda: forms.are_held_back(engines))
    older = version is not None and version < schema.VERSION
    command = mending(url) if older else None
    return Current(version, schema.VERSION, version == schema.VERSION, command, older_programs)


async def upgrade(url: str, told: Callable[[int, str], None], records: bool = False) -> Upgraded:
    """Bring the tables up to date, or make them; ``told`` is given each migration that begins.
    With ``records``, these may use all that is known here: the programs are all upgraded. Those
    that use one file are so together.

    Raises as ``opened`` does.
    """
    from mdsvc.store.sql.upgrading import upgrade_one  # Alembic is slow to import

    async with _connected(url) as engines:
        before = await patiently(lambda: schema.version_of(engines))
        while await patiently(lambda: upgrade_one(engines, told), changes=True):
            pass
        if records or engines.writes.dialect.name == "sqlite":
            await patiently(lambda: forms.raise_all(engines))
    return Upgraded(before, schema.VERSION)


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[Engines]:
    with _about(url):
        engines = connecting.connect(url)
        try:
            yield engines
        finally:
            await engines.dispose()


def mending(url: str) -> str:
    """The command that upgrades the database."""
    return f"mdsvc db upgrade --store {quote(urls.without_password(url))}"


@contextmanager
def _about(url: str) -> Iterator[None]:
    """Errors that name the store, and what to do about it."""
    where = f"--store {urls.shown(url)}"
    try:
        yield
    except schema.OtherVersion as error:
        older = error.version < schema.VERSION
        advice = f"run: {mending(url)}" if older else "run the newer mdsvc that has upgraded them"
        raise BadInput(f"{where}: {error}; {advice}") from None
    except (BadInput, NotLetIn) as error:
        raise BadInput(f"{where}: {error}") from None
    except (Unavailable, Stale) as error:
        raise Unavailable(f"{where}: {error}") from None
    except MdsvcError as error:
        raise BadInput(f"{where}: expected a database of mdsvc, or none yet; {error}") from None
