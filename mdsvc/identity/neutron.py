"""The guest that Neutron's metadata agent names, in headers that it has signed."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence

from multidict import MultiMapping, istr

from mdsvc.errors import Forged, NotFound, Unidentified
from mdsvc.identity import Arrival, KeptGuests, known_guest
from mdsvc.instance import PlacedInstance
from mdsvc.names import canonical_uuid
from mdsvc.store import GuestStore

_HEADERS = [istr(name) for name in ("X-Instance-ID", "X-Tenant-ID", "X-Instance-ID-Signature")]

_MOST_KNOWN = 10_000
"""Signatures that were checked and are right."""


class NeutronIdentity:
    """The guest named by headers that the agent has signed with a shared secret."""

    def __init__(self, secrets: Sequence[str]) -> None:
        if not secrets or "" in secrets:
            raise ValueError("a shared secret is needed, and none may be empty")
        self._secrets = [secret.encode() for secret in secrets]
        self._known: set[tuple[str, str]] = set()

    async def guest(
        self,
        store: GuestStore,
        peer: str,
        headers: MultiMapping[str],
        arrival: Arrival | None = None,
    ) -> PlacedInstance:
        """By the headers; the signature is checked, in constant time, before any look-up."""
        uuid, project, _signature = self.signed_for(headers)
        return _of_project(await known_guest(store, uuid), project)

    def kept(
        self, store: KeptGuests, peer: str | None, headers: MultiMapping[str]
    ) -> PlacedInstance | None:
        """By the headers too."""
        uuid, project, _signature = self.signed_for(headers)
        guest = store.kept_instance(canonical_uuid(uuid))
        return _of_project(guest, project) if guest else None

    def signed_for(self, headers: MultiMapping[str]) -> tuple[str, str, str]:
        """Instance, project and signature, that of the instance. Raises Unidentified or Forged."""
        uuid, project, signature = [_only(headers, name) for name in _HEADERS]
        if (uuid, signature) not in self._known:
            if not self._is_signed(_bytes(uuid), _bytes(signature)):
                raise Forged("X-Instance-ID-Signature is not the instance id's")
            self._know(uuid, signature)
        return uuid, project, signature

    def _know(self, uuid: str, signature: str) -> None:
        """A guest's signature is the same in each of its requests. A lookup by hash tells whoever
        guesses nothing of it.
        """
        if len(self._known) >= _MOST_KNOWN:
            self._known.clear()
        self._known.add((uuid, signature))

    def _is_signed(self, uuid: bytes, signature: bytes) -> bool:
        expected = (hmac.digest(s, uuid, "sha256").hex() for s in self._secrets)
        return any(hmac.compare_digest(known.encode(), signature) for known in expected)


def signed(uuid: str, project: str, secret: str) -> dict[str, str]:
    """The headers by which Neutron's agent says, under this secret, which guest asks."""
    signature = hmac.new(secret.encode(), uuid.encode(), hashlib.sha256).hexdigest()
    return {"X-Instance-ID": uuid, "X-Tenant-ID": project, "X-Instance-ID-Signature": signature}


def _of_project(guest: PlacedInstance, project: str) -> PlacedInstance:
    if guest.project_id != project and _bytes(guest.project_id) != _bytes(project):
        raise NotFound("the project has no such instance")
    return guest


def _only(headers: MultiMapping[str], name: str) -> str:
    values = headers.getall(name, ())
    value = values[0].strip() if len(values) == 1 else ""
    if not value or "," in value:
        raise Unidentified(f"{name}: expected this header exactly once")
    return value


def _bytes(text: str) -> bytes:
    """Header text as it came over the wire."""
    return text.encode("utf-8", "surrogateescape")
