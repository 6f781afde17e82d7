"""The connections of a database: one engine for those who read, and one for those who write."""

from __future__ import annotations

from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

EXPECTED = "sqlite:///relative.db or sqlite:////absolute.db"


class Engines(NamedTuple):
    """``reads`` commits by itself and takes no write lock; ``writes`` runs transactions."""

    reads: AsyncEngine
    writes: AsyncEngine
