"""The guest that has the peer's address on the listener's network."""

from __future__ import annotations

from functools import lru_cache

from multidict import MultiMapping

from mdsvc.errors import NotFound, Unidentified
from mdsvc.identity import known_guest
from mdsvc.instance import PlacedInstance
from mdsvc.names import canonical_ip
from mdsvc.store import GuestStore


class AddressIdentity:
    """The guest that has the peer's address on this network; without one, on exactly one."""

    def __init__(self, network: str | None = None) -> None:
        self._network = network

    async def guest(
        self, store: GuestStore, peer: str, headers: MultiMapping[str]
    ) -> PlacedInstance:
        """By the peer's address; the headers say nothing."""
        ip = _canonical(peer)
        uuids = await store.find(ip, self._network)
        if len(uuids) != 1:
            several = "several guests have" if uuids else "no guest has"
            raise NotFound(f"{several} the address {ip}")
        return await known_guest(store, uuids[0])


@lru_cache(maxsize=4096)
def _canonical(peer: str) -> str:
    """The address as it is stored: no zone, and IPv4 where it came as IPv6-mapped."""
    try:
        return canonical_ip(peer.partition("%")[0])
    except ValueError:
        raise Unidentified("expected a peer with an IP address") from None
