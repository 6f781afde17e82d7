"""What the parts of the program need of a store, and nothing more.

The guest side only reads (``GuestStore``); the operator side changes guests and hosts together in
one ``Transaction`` (``OperatorStore``).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mdsvc.instance import PlacedInstance
from mdsvc.topology import Host


class Stale(Exception):
    """Another transaction changed the same thing first; run the use case again."""


class GuestStore(Protocol):
    """What answering a guest needs."""

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        """The guest of that UUID."""

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        """The UUIDs of the guests that have the address: on that network, or on any."""

    async def password(self, uuid: str) -> bytes | None:
        """The encrypted password that the guest has stored, if it has."""

    async def set_password(self, uuid: str, password: bytes) -> bool:
        """Store the password once; False when there is one already. Only for known guests."""


class Transaction(Protocol):
    """Reads and writes that happen together or not at all.

    What is read and then written back must not have changed in between: ``Stale`` is raised by
    the write, or when the transaction ends.
    """

    async def get_host(self, name: str) -> Host | None:
        """The host of that name, with its use."""

    async def list_hosts(self) -> Sequence[Host]:
        """Every host, by name."""

    async def add_host(self, host: Host) -> bool:
        """Store a new host; False when the name is taken."""

    async def update_host(self, host: Host) -> None:
        """Store a host that this transaction has read, changed."""

    async def remove_host(self, name: str) -> bool:
        """Remove a host; False when there is none of that name."""

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        """The guest of that UUID."""

    async def list_instances(self, host: str | None = None) -> Sequence[PlacedInstance]:
        """Every guest, or every guest of one host, by UUID."""

    async def add_instance(self, instance: PlacedInstance) -> bool:
        """Store a new guest and its addresses; False when the UUID is taken."""

    async def update_instance(self, instance: PlacedInstance) -> None:
        """Store a guest that this transaction has read, changed, its generation one higher."""

    async def remove_instance(self, uuid: str) -> bool:
        """Remove a guest with its addresses and password; False when there is none."""

    async def clear_password(self, uuid: str) -> bool:
        """Forget what the guest has stored, so that it can store once more; False for nothing."""

    async def owner(self, ip: str, network: str) -> str | None:
        """The UUID of the guest that has the address on that network."""


class Store(GuestStore, Protocol):
    """Both sides of one store."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """One transaction, committed when the block ends and undone when it raises."""

    async def ready(self) -> None:
        """Return when the store answers; raise what is wrong with it otherwise."""

    async def close(self) -> None:
        """Give back every connection."""
