"""Records that cannot be read, and listings that do without them and say so."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from mdsvc.errors import MdsvcError

T = TypeVar("T")
U = TypeVar("U")


class BadRecord(MdsvcError):
    """A stored record that this program cannot read: damaged, or ``newer`` than it is.

    Which one it is, at which revision, and of a guest on which host, says whoever has read it.
    """

    def __init__(self, message: str, key: str = "", *, newer: bool = False) -> None:
        super().__init__(message)
        self.key = key
        self.newer = newer
        self.revision = 0
        self.host: str | None = None

    def found(self, revision: int, host: str | None) -> BadRecord:
        """The same, as it was found in a store."""
        self.revision, self.host = revision, host
        return self


class Listing(list[T]):
    """What a listing could read, in its order; and what it could not. Who needs all of it asks for
    ``whole``.
    """

    def __init__(self, values: Iterable[T] = (), damaged: Iterable[BadRecord] = ()) -> None:
        super().__init__(values)
        self.damaged = tuple(damaged)

    def whole(self) -> Listing[T]:
        """All of it. Raises BadRecord where something could not be read."""
        for first in self.damaged:
            raise first
        return self

    def map(self, function: Callable[[T], U]) -> Listing[U]:
        """A listing of something of each value."""
        return Listing(map(function, self), self.damaged)
