"""Values of stored records, kept by key and revision: what is the same is not unpacked again."""

from __future__ import annotations

from typing import Generic, NamedTuple, TypeVar

from mdsvc.store.changes import Stored
from mdsvc.store.listing import BadRecord
from mdsvc.store.records import Kind, unpack

T = TypeVar("T")


class _Entry(NamedTuple, Generic[T]):
    stored: Stored[T]
    size: int


class Kept(Generic[T]):
    """The values of one kind, for one store.

    ``most`` is the size of the records whose values are kept, in bytes; a value takes some five to
    ten times as much. A value that is read by its key takes the place of the one that was read
    longest ago. One of a listing only takes free room: a listing that is longer than the room does
    not empty it, and finds the same part of itself there the next time.
    """

    def __init__(self, kind: Kind[T], most: int) -> None:
        self.kind = kind
        self.size = 0
        self._most = most
        self._entries: dict[str, _Entry[T]] = {}

    def get(self, key: str, revision: int) -> Stored[T] | None:
        """The value of that revision, if it is kept."""
        entry = self._entries.get(key)
        return entry.stored if entry and entry.stored.revision == revision else None

    def read(self, key: str, revision: int, record: bytes, host: str | None = None) -> Stored[T]:
        """The value of a record that was asked for; of a guest with its host. Raises BadRecord."""
        stored = self.get(key, revision)
        if stored is None:
            try:
                stored = Stored(revision, unpack(self.kind, key, record))
            except BadRecord as error:
                raise error.found(revision, host) from None
        self._drop(key)
        if len(record) <= self._most:
            while self.size + len(record) > self._most:
                self._drop(next(iter(self._entries)))
            self._keep(key, stored, len(record))
        return stored

    def keep_listed(self, key: str, stored: Stored[T], size: int) -> None:
        """Keep a value of a listing, whose record is of that size, where there is room."""
        self._drop(key)
        if self.size + size <= self._most:
            self._keep(key, stored, size)

    def forget_others(self, keys: set[str]) -> None:
        """Make room: these are all that are stored."""
        for key in self._entries.keys() - keys:
            self._drop(key)

    def _keep(self, key: str, stored: Stored[T], size: int) -> None:
        self._entries[key] = _Entry(stored, size)
        self.size += size

    def _drop(self, key: str) -> None:
        if entry := self._entries.pop(key, None):
            self.size -= entry.size
