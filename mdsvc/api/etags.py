"""Entity tags: what tells one state of a host's description, or of a guest, from another."""

from __future__ import annotations

from hashlib import sha256

import msgspec

from mdsvc.errors import PreconditionFailed
from mdsvc.forms import to_json
from mdsvc.instance import PlacedInstance
from mdsvc.topology import Host


def host_etag(host: Host) -> str:
    """That of the description: guests that come and go leave it as it is."""
    return _etag(host.without_use())


def instance_etag(guest: PlacedInstance) -> str:
    """That of a guest as it is stored; it begins with its generation."""
    return f"{guest.generation}-{_etag(guest)}"


def _etag(value: object) -> str:
    return sha256(to_json(value)).hexdigest()[:32]


class IfMatch(msgspec.Struct, frozen=True):
    """The header of that name: the tags that whoever changes something has read, or anything."""

    tags: frozenset[str] | None = None

    @classmethod
    def parse(cls, header: str | None) -> IfMatch:
        """Weak tags count as the strong ones that a proxy has weakened, as it compressed."""
        if header is None:
            return cls()
        tags = (tag.strip().removeprefix("W/").strip('"') for tag in header.split(","))
        return cls(frozenset(tags))

    def host(self, host: Host | None) -> None:
        """Raises PreconditionFailed where the host is another one than was read."""
        if self.tags is not None:
            self._check("the host's description", host_etag(host) if host else None)

    def instance(self, guest: PlacedInstance | None) -> None:
        """Raises PreconditionFailed where the guest is another one than was read."""
        if self.tags is not None:
            what = f"instance {guest.uuid}" if guest else "the instance"
            self._check(what, instance_etag(guest) if guest else None)

    def _check(self, what: str, etag: str | None) -> None:
        assert self.tags is not None
        if etag is None or not self.tags & {etag, "*"}:
            now = f'its ETag is "{etag}" now' if etag else "there is none now"
            raise PreconditionFailed(f"{what} is not the one that If-Match names: {now}")
