"""The guest that has the peer's address on the listener's network.

Where the listener is a network's own, the peer has to have the guest's MAC address too, if both are
known: so no guest can take another one's address. A link-local address is whatever a guest likes it
to be, so there the MAC address alone says who it is.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Literal

from multidict import MultiMapping

from mdsvc.errors import NotFound, Unidentified, Unresolved
from mdsvc.identity import Arrival, KeptGuests, known_guest
from mdsvc.instance import PlacedInstance, macs_on
from mdsvc.logs import Rarely
from mdsvc.names import canonical_ip, canonical_uuid
from mdsvc.store import GuestStore

Refusal = Literal["mac", "unresolved"]
"""Why a peer is not believed: it has another MAC address, or none that can be found."""

_log = Rarely(logging.getLogger(__name__))


class AddressIdentity:
    """The guest that has the peer's address on this network; without one, on exactly one."""

    def __init__(
        self, network: str | None = None, refused: Callable[[Refusal], None] = lambda _: None
    ) -> None:
        self._network = network
        self._refused = refused

    async def guest(
        self,
        store: GuestStore,
        peer: str,
        headers: MultiMapping[str],
        arrival: Arrival | None = None,
    ) -> PlacedInstance:
        """By the peer's address; the headers say nothing."""
        ip = _canonical(peer)
        if arrival is None:
            return await _by_address(store, ip, self._network)
        network = arrival.network
        mac = await self._mac(arrival, ip)
        is_its_choice = ipaddress.ip_address(ip).is_link_local
        if mac and is_its_choice and (guest := await _by_mac(store, mac, network)):
            return guest
        guest = await _by_address(store, ip, network)
        known = macs_on(guest, network)
        if mac and known and mac not in known:
            self._refuse("mac", f"{ip} on network {network} is asked from by {mac}")
            raise _unknown(ip)
        return guest

    def kept(
        self, store: KeptGuests, peer: str | None, headers: MultiMapping[str]
    ) -> PlacedInstance | None:
        """By the peer's address, where nothing more is known of its arrival."""
        owners = store.kept_owners(_canonical(peer or ""), self._network)
        return store.kept_instance(canonical_uuid(owners[0])) if len(owners) == 1 else None

    async def _mac(self, arrival: Arrival, ip: str) -> str | None:
        try:
            return await arrival.mac(ip)
        except Unresolved as error:
            self._refuse("unresolved", f"{ip} on network {arrival.network}: {error}")
            raise _unknown(ip) from None

    def _refuse(self, why: Refusal, text: str) -> None:
        self._refused(why)
        _log.warning(f"a peer is not believed: {text}")


async def _by_mac(store: GuestStore, mac: str, network: str) -> PlacedInstance | None:
    """The one guest that has the MAC address there. Raises NotFound where there are several."""
    uuids = await store.find_mac(mac, network)
    if len(uuids) > 1:
        raise NotFound(f"several guests have the MAC address {mac}")
    return await known_guest(store, uuids[0]) if uuids else None


async def _by_address(store: GuestStore, ip: str, network: str | None) -> PlacedInstance:
    uuids = await store.find(ip, network)
    if len(uuids) > 1:
        raise NotFound(f"several guests have the address {ip}")
    if not uuids:
        raise _unknown(ip)
    return await known_guest(store, uuids[0])


def _unknown(ip: str) -> NotFound:
    return NotFound(f"no guest has the address {ip}")


@lru_cache(maxsize=4096)
def _canonical(peer: str) -> str:
    """The address as it is stored: no zone, and IPv4 where it came as IPv6-mapped."""
    try:
        return canonical_ip(peer.partition("%")[0])
    except ValueError:
        raise Unidentified("expected a peer with an IP address") from None
