"""What the parts of the program need of a store, and nothing more.

The guest side only reads (``GuestStore``). The operator side reads hosts and guests together in a
``Snapshot``, and changes them together in a ``Transaction`` (``Store``). Who keeps something of
the store follows its changes (``feed``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from mdsvc.bearer import Bearer
from mdsvc.instance import PlacedInstance
from mdsvc.locking import Lock
from mdsvc.reports import Report, Status
from mdsvc.store.feed import Feed
from mdsvc.store.listing import BadRecord, Listing
from mdsvc.store.outlines import Outline
from mdsvc.topology import Host


class Stale(Exception):
    """Another transaction changed the same thing first; run the use case again."""


class GuestStore(Protocol):
    """What answering a guest needs. Raises Unavailable where the store does not answer in time."""

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        """The guest of that UUID."""

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        """The UUIDs of the guests that have the address: on that network, or on any."""

    async def find_mac(self, mac: str, network: str) -> Sequence[str]:
        """The UUIDs of the guests that have the MAC address, in lower case, on that network."""

    async def password(self, uuid: str) -> bytes | None:
        """The encrypted password that the guest has stored, if it has."""

    async def set_password(self, uuid: str, password: bytes) -> bool:
        """Store the password once; False when there is one already. Only for known guests."""

    async def report(self, uuid: str) -> Report | None:
        """What the guest has reported last, if it ever has."""

    async def set_report(self, uuid: str, status: Status, at: int) -> None:
        """Store what a guest reports at that time, in milliseconds since 1970, in place of what was
        there. That is no change of the guest. Only for known guests.
        """

    async def user_data_lock(self, uuid: str) -> Lock | None:
        """The lock of the guest's user data, if it has one."""

    async def set_user_data_lock(self, uuid: str, before: Lock | None, after: Lock) -> None:
        """Store a lock in place of the one that was read before. That is no change of the guest.
        Raises Stale where it is another by now. Only for known guests.
        """


class Snapshot(Protocol):
    """Hosts and guests as they were together at one moment. Holds no writer up.

    A record that cannot be read raises BadRecord where it is asked for, and is among the
    ``damaged`` of a listing.
    """

    async def get_host(self, name: str) -> Host | None:
        """The host of that name, with its use."""

    async def list_hosts(self) -> Listing[Host]:
        """Every host, by name."""

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        """The guest of that UUID."""

    async def list_instances(self, host: str | None = None) -> Listing[PlacedInstance]:
        """Every guest, or every guest of one host, by UUID."""

    async def owner(self, ip: str, network: str) -> str | None:
        """The UUID of the guest that has the address on that network."""

    async def fleet(self) -> int:
        """The revision at which a host was last added, or changed its service version.

        Whoever keeps a rule over all hosts (R17) reads it: see ``Transaction``.
        """


class Transaction(Snapshot, Protocol):
    """A snapshot, and changes to it that happen together when the block ends, or not at all.

    It reads its own changes. What it has read by its name, UUID or address, and ``fleet``, is
    still as it was when the changes happen; else that raises ``Stale``. What it has only listed
    may be another by then: a host's guests are as they were while the host is, since each of them
    is in the host's use (R27).
    """

    async def add_host(self, host: Host) -> bool:
        """Store a new host; False when the name is taken."""

    async def update_host(self, host: Host) -> None:
        """Store a host that this transaction has read, changed."""

    async def remove_host(self, name: str) -> bool:
        """Remove a host, of whose record nothing has to be read; False when there is none of that
        name. Conflict while it has guests.
        """

    async def add_instance(self, instance: PlacedInstance) -> bool:
        """Store a new guest and its addresses; False when the UUID is taken.

        Raises Conflict where another guest has one of the addresses.
        """

    async def update_instance(self, instance: PlacedInstance) -> None:
        """Store a guest that this transaction has read, changed, its generation one higher."""

    async def forget_told(self, uuid: str) -> None:
        """Forget password and report of a guest that this transaction changes, if there are any,
        and open its user data anew.
        """

    async def remove_instance(self, uuid: str) -> bool:
        """Remove a guest with its addresses, password, report and lock, of whose record nothing has
        to be read; False when there is none.
        """


class TokenStore(Protocol):
    """What is kept of the operators' tokens. Raises Unavailable as ``GuestStore`` does."""

    async def bearers(self) -> Sequence[Bearer]:
        """Every token, by name."""

    async def add_bearer(self, bearer: Bearer) -> bool:
        """Store a new token; False when the name is taken."""

    async def remove_bearer(self, name: str) -> bool:
        """Remove a token; False when there is none of that name."""

    async def note_bearer_used(self, name: str, at: int) -> None:
        """Store when a token was used; nothing where it is gone."""


class Store(GuestStore, TokenStore, Feed, Protocol):
    """All sides of one store, and its changes."""

    def snapshot(self) -> AbstractAsyncContextManager[Snapshot]:
        """Hosts and guests as they are now, for as long as the block lasts."""

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """One transaction, committed when the block ends and undone when it raises.

        Nobody waits for the block, however long it takes: only its changes, at its end, are
        written under a lock.
        """

    async def list_hosts(self, after: str | None, limit: int) -> Listing[Host]:
        """So many hosts with their use at most, by name: those that follow the name ``after``."""

    async def list_instances(
        self, host: str | None, project_id: str | None, after: str | None, limit: int
    ) -> Listing[PlacedInstance]:
        """So many guests at most, by UUID: those that follow ``after``, of one host and of one
        project where these are named.
        """

    async def clear_password(self, uuid: str) -> bool:
        """Forget what the guest has stored, so that it can store once more; False for nothing."""

    async def reports(self, uuids: Sequence[str] | None = None) -> Mapping[str, Report]:
        """The latest reports by UUID: of every guest that has reported, or of those of these."""

    async def outlines(self, uuids: Sequence[str]) -> Mapping[str, Outline | BadRecord]:
        """What is followed of those of these guests that are there, by UUID; of some hundreds at a
        time.
        """

    async def reports_after(self, after: str, limit: int, since: int) -> Mapping[str, Report]:
        """So many of the latest reports at most, by UUID, in its order: those that follow ``after``
        and came at that time or later, in milliseconds since 1970.
        """

    async def ready(self) -> None:
        """Return when the store answers, and can be written to; raise what is wrong otherwise."""

    async def close(self) -> None:
        """Give back every connection."""
