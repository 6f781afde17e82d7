"""Which guest is asking: by its address, or by what Neutron's metadata agent says and signs."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Sequence
from typing import Protocol

from multidict import MultiMapping

from mdsvc.errors import Forged, NotFound, Unidentified
from mdsvc.instance import PlacedInstance
from mdsvc.store import GuestStore


class Identity(Protocol):
    """Finds the guest that asks, or raises Unidentified, Forged or NotFound."""

    async def guest(
        self, store: GuestStore, peer: str, headers: MultiMapping[str]
    ) -> PlacedInstance:
        """The guest behind a peer's IP address and a request's headers."""


class AddressIdentity:
    """The guest that has the peer's address on this network; without one, on exactly one."""

    def __init__(self, network: str | None = None) -> None:
        self._network = network

    async def guest(
        self, store: GuestStore, peer: str, headers: MultiMapping[str]
    ) -> PlacedInstance:
        """By the peer's address; the headers say nothing."""
        ip = _canonical(peer)
        found = await store.find(ip, self._network)
        if len(found) != 1:
            several = "several guests have" if found else "no guest has"
            raise NotFound(f"{several} the address {ip}")
        return await _known(store, found[0])


class NeutronIdentity:
    """The guest named by headers that the agent has signed with a shared secret."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or "" in secrets:
            raise ValueError("a shared secret is needed, and none may be empty")
        self._secrets = [secret.encode() for secret in secrets]

    async def guest(
        self, store: GuestStore, peer: str, headers: MultiMapping[str]
    ) -> PlacedInstance:
        """By the headers; the signature is checked, in constant time, before any look-up."""
        uuid = _only(headers, "X-Instance-ID")
        project = _only(headers, "X-Tenant-ID")
        signature = _only(headers, "X-Instance-ID-Signature")
        if not self._is_signed(_bytes(uuid), _bytes(signature)):
            raise Forged("X-Instance-ID-Signature is not the instance id's")
        guest = await _known(store, uuid.lower())
        if _bytes(guest.project_id) != _bytes(project):
            raise NotFound(f"project {project} has no instance {uuid}")
        return guest

    def _is_signed(self, uuid: bytes, signature: bytes) -> bool:
        expected = (hmac.new(s, uuid, hashlib.sha256).hexdigest() for s in self._secrets)
        return any(hmac.compare_digest(known.encode(), signature) for known in expected)


def _only(headers: MultiMapping[str], name: str) -> str:
    values = headers.getall(name, [])
    if len(values) != 1 or not values[0].strip() or "," in values[0]:
        raise Unidentified(f"{name}: expected this header exactly once")
    return values[0].strip()


async def _known(store: GuestStore, uuid: str) -> PlacedInstance:
    guest = await store.instance(uuid)
    if guest is None:
        raise NotFound(f"there is no instance {uuid}")
    return guest


def _canonical(peer: str) -> str:
    """The address as it is stored: no zone, and IPv4 where it came as IPv6-mapped."""
    try:
        ip = ipaddress.ip_address(peer.partition("%")[0])
    except ValueError:
        raise Unidentified("expected a peer with an IP address") from None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        return str(ip.ipv4_mapped)
    return str(ip)


def _bytes(text: str) -> bytes:
    """Header text as it came over the wire."""
    return text.encode("utf-8", "surrogateescape")
