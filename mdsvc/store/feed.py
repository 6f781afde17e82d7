"""The changes of a store in their order, for whoever keeps something of it or waits for it.

The store's revision is the position: what has changed since one is told by asking for what is above
it. A thing that was written several times comes once, as it is now; that it was removed always
comes, also where it is there again. A password is no change: nothing that is kept or waited for
has one in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Literal, NamedTuple, Protocol

Kind = Literal["host", "instance"]

POLL_SECONDS = 0.5
"""How often a follower asks, about."""

KEPT_REVISIONS = 100_000
"""For how many revisions the store remembers what was removed: some hours of a busy cloud."""

PRUNE_EVERY = 1000
"""Revisions; what is older is forgotten by each such one."""

PAGE = 1000
"""Changes that are read at a time, roughly; those of one revision are never apart."""


class Change(NamedTuple):
    """A host or guest that was written or removed.

    ``generation`` is the guest's own; a host has none, and its revision is there. None where it was
    removed.
    """

    revision: int
    kind: Kind
    key: str
    generation: int | None

    @property
    def deleted(self) -> bool:
        """It was removed. Where it is there again, that comes as a later change."""
        return self.generation is None


class ChangePage(NamedTuple):
    """Changes by revision; after ``position`` it goes on. There are more where that is not the
    store's.

    ``reset``: what has changed since cannot be told, as it is too long ago, or the store is another
    one. There are no changes then, and nothing is as it was known until ``position``.
    """

    position: int
    changes: Sequence[Change] = ()
    reset: bool = False


class Feed(Protocol):
    """What a store tells of its changes. All of it raises Unavailable, as reading does."""

    async def position(self) -> int:
        """The revision of the last change; at least of the last one known to this process."""

    async def changes(self, after: int, limit: int = PAGE) -> ChangePage:
        """What has changed since a position, of one moment: each thing once, in order."""

    def hurried(self, hurry: Callable[[], None]) -> AbstractAsyncContextManager[None]:
        """Within the block, ``hurry`` is called where there may be changes sooner than somebody
        asks. It only hurries: it may be called for nothing, or not at all.
        """


class Bell:
    """Calls those in this process who want to know that something was written."""

    def __init__(self) -> None:
        self._hurried: list[Callable[[], None]] = []

    def ring(self) -> None:
        """Something was committed."""
        for hurry in self._hurried:
            hurry()

    @contextmanager
    def heard_by(self, hurry: Callable[[], None]) -> Iterator[None]:
        """Call it at each ring, within the block."""
        self._hurried.append(hurry)
        try:
            yield
        finally:
            self._hurried.remove(hurry)


def new_floor(revision: int) -> int | None:
    """Up to which revision the write of this one forgets what was removed; None for most."""
    due = revision % PRUNE_EVERY == 0 and revision > KEPT_REVISIONS
    return revision - KEPT_REVISIONS if due else None
