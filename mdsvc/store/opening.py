"""A store URL to the store behind it."""

from __future__ import annotations

from mdsvc.store import Store


async def open_store(url: str) -> Store:
    """Open the store behind a URL; ``memory://`` is for tries. Raises BadInput."""
    if url == "memory://":
        from mdsvc.store.memory import MemoryStore

        return MemoryStore()
    from mdsvc.store.sql import open_sql  # SQLAlchemy takes half a second to import

    return await open_sql(url)
