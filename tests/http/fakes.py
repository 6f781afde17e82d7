"""Stores that satisfy what answering guests needs (``mdsvc.store.GuestStore``)."""

from __future__ import annotations

from collections.abc import Sequence

from mdsvc.instance import PlacedInstance


class FakeStore:
    """Guests in a dict; a test changes one by ``put``."""

    def __init__(self, *guests: PlacedInstance) -> None:
        self.guests = {guest.uuid: guest for guest in guests}
        self.passwords: dict[str, bytes] = {}

    def put(self, guest: PlacedInstance) -> None:
        self.guests[guest.uuid] = guest

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        return self.guests.get(uuid)

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        return [
            guest.uuid
            for guest in self.guests.values()
            if any(a.ip == ip and network in (None, a.network) for a in guest.addresses)
        ]

    async def password(self, uuid: str) -> bytes | None:
        return self.passwords.get(uuid)

    async def set_password(self, uuid: str, password: bytes) -> bool:
        if uuid in self.passwords:
            return False
        self.passwords[uuid] = password
        return True


class SealedStore:
    """Fails whatever is asked of it: who is refused must be refused before any look-up."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error or AssertionError("the store was asked")

    async def get_instance(self, uuid: str) -> PlacedInstance | None:
        raise self.error

    async def find(self, ip: str, network: str | None) -> Sequence[str]:
        raise self.error

    async def password(self, uuid: str) -> bytes | None:
        raise self.error

    async def set_password(self, uuid: str, password: bytes) -> bool:
        raise self.error
