"""Which guest is asking: by its ``address``, or by what ``neutron``'s agent says and signs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from multidict import MultiMapping

from mdsvc.errors import NotFound
from mdsvc.instance import PlacedInstance
from mdsvc.names import canonical_uuid
from mdsvc.store import GuestStore


class Arrival(Protocol):
    """What is known of a peer beside its address, where it has come in by a network's own door."""

    @property
    def network(self) -> str: ...

    async def mac(self, ip: str) -> str | None:
        """Its MAC address, in lower case; None where there is none that says who it is.

        Raises Unresolved where it cannot be found.
        """


class Identity(Protocol):
    """Finds the guest that asks, or raises Unidentified, Forged or NotFound."""

    async def guest(
        self,
        store: GuestStore,
        peer: str,
        headers: MultiMapping[str],
        arrival: Arrival | None = None,
    ) -> PlacedInstance:
        """The guest behind a peer's IP address and a request's headers."""

    def kept(
        self, store: KeptGuests, peer: str | None, headers: MultiMapping[str]
    ) -> PlacedInstance | None:
        """The same of what is kept, where that is enough; else None, or it raises."""


class KeptGuests(Protocol):
    """What a store has kept, and can be given without asking it."""

    def kept_instance(self, uuid: str) -> PlacedInstance | None: ...

    def kept_owners(self, ip: str, network: str | None) -> Sequence[str]: ...


async def known_guest(store: GuestStore, uuid: str) -> PlacedInstance:
    """The guest of that UUID, however it is spelt. Raises NotFound."""
    guest = await store.get_instance(canonical_uuid(uuid))
    if guest is None:
        raise NotFound("there is no such instance")
    return guest
