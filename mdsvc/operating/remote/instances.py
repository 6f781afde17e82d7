"""The use cases of guests, asked of a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from msgspec import UNSET, UnsetType

from mdsvc.errors import NotFound
from mdsvc.instance import Content, Instance, PlacedInstance
from mdsvc.operating.remote.connection import Answer
from mdsvc.operating.remote.paths import host_path
from mdsvc.operating.remote.paths import instance_path as _path
from mdsvc.operating.remote.server import Changed, Server
from mdsvc.policy import unknown_keys as keys
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.store.listing import Listing
from mdsvc.topology import Host

if TYPE_CHECKING:
    from mdsvc.control.adoption import Adopted, Terms
    from mdsvc.locking import UserDataLock
    from mdsvc.reports.drift import GuestStatus


class RemoteInstances:
    """That half of the ``Operator`` of a server. Unknown keys that are errors here are found here:
    the server goes by its own setting.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def list_instances(self, host: str | None = None) -> Listing[PlacedInstance]:
        return self._listed(host)

    def list_drifted(self, host: str | None = None) -> Listing[PlacedInstance]:
        return self._listed(host, drifted="true")

    def _listed(self, host: str | None, **query: str) -> Listing[PlacedInstance]:
        if host is not None:
            query["host"] = host
        listing = self._server.pages("/instances", PlacedInstance, **query)
        if host is not None and not listing and not listing.damaged:
            self._server.ask("GET", host_path(host))  # whether there is one
        return listing

    def find_status(self, guest: PlacedInstance) -> GuestStatus | None:
        """None also where the server is of a version that takes no reports."""
        from mdsvc.reports.drift import GuestStatus

        try:
            answer = self._server.ask("GET", f"{_path(guest.uuid)}/status")
        except NotFound:
            return None
        return self._server.value(answer, GuestStatus)

    def get_instance(self, uuid: str) -> PlacedInstance:
        return self._guest(self._server.ask("GET", _path(uuid)))

    def get_instance_with_host(self, uuid: str) -> tuple[PlacedInstance, Host]:
        """Read again where it has moved in between, so that they are of one moment."""
        while True:
            guest = self.get_instance(uuid)
            answer = self._server.ask("GET", host_path(guest.host))
            if self.get_instance(uuid).generation == guest.generation:
                return guest, self._server.value(answer, Host)

    def create_instance(
        self, instance: Instance, host: str | None, unknown_keys: UnknownKeys
    ) -> PlacedInstance:
        from mdsvc.control.instances import already_stored

        keys.check(instance.flavor, instance.image, unknown_keys)
        query = "" if host is None else f"?{urlencode({'host': host})}"
        answer = self._server.ask("POST", f"/instances{query}", instance)
        if answer.status == 200:  # the same is stored already: there that is no error
            raise already_stored(instance)
        return self._guest(answer)

    def import_guests(
        self, domains: Sequence[bytes], host: str | None, terms: Terms
    ) -> Sequence[Adopted]:
        from mdsvc.control.adoption import Imported
        from mdsvc.discovery.markup import as_text

        body = {
            "domains": [as_text(xml, "virsh dumpxml") for xml in domains],
            "leases": terms.leases,
            "project": terms.project,
            "replace": terms.replace,
        }
        path = f"{host_path(host or self._only_host())}/import"
        return self._server.value(self._server.ask("POST", path, body), Imported).guests

    def _only_host(self) -> str:
        from mdsvc.control.adoption import only_host

        return only_host(list(self._server.pages("/hosts", Host)))

    def let_go(self, uuid: str, host: str, project: str) -> bool:
        """Looked at first, and only removed as it was then."""
        while True:
            try:
                answer = self._server.ask("GET", _path(uuid))
                guest = self._guest(answer)
                if (guest.host, guest.project_id) != (host, project):
                    return False
                self._server.ask("DELETE", _path(uuid), if_match=answer.etag)
            except NotFound:
                return False
            except Changed:
                continue
            return True

    def resize_instance(
        self, uuid: str, flavor: Flavor, image: Image | None, unknown_keys: UnknownKeys
    ) -> PlacedInstance:
        keys.check(flavor, image, unknown_keys)
        body = {"flavor": flavor, **({} if image is None else {"image": image})}
        return self._guest(self._server.ask("POST", f"{_path(uuid)}/resize", body))

    def migrate_instance(self, uuid: str, host: str | None) -> PlacedInstance:
        return self._guest(self._server.ask("POST", f"{_path(uuid)}/migrate", {"host": host}))

    def rebuild_instance(
        self,
        uuid: str,
        image: Image | None,
        user_data: Content | UnsetType | None,
        unknown_keys: UnknownKeys,
    ) -> PlacedInstance:
        keys.check(None, image, unknown_keys)
        body = {
            **({} if image is None else {"image": image}),
            **({} if user_data is UNSET else {"user_data": user_data}),
        }
        return self._guest(self._server.ask("POST", f"{_path(uuid)}/rebuild", body))

    def delete_instance(self, uuid: str) -> None:
        self._server.ask("DELETE", _path(uuid))

    def get_password(self, uuid: str) -> bytes:
        return self._server.ask("GET", f"{_path(uuid)}/password").body

    def clear_password(self, uuid: str) -> None:
        self._server.ask("DELETE", f"{_path(uuid)}/password")

    def find_lock(self, guest: PlacedInstance) -> UserDataLock | None:
        """None also where the server is of a version that locks nothing."""
        from mdsvc.locking import UserDataLock

        try:
            answer = self._server.ask("GET", f"{_path(guest.uuid)}/lock")
        except NotFound:
            return None
        return self._server.value(answer, UserDataLock)

    def lock_user_data(self, uuid: str, locked: bool) -> UserDataLock:
        from mdsvc.locking import UserDataLock

        answer = self._server.ask("PUT" if locked else "DELETE", f"{_path(uuid)}/lock")
        return self._server.value(answer, UserDataLock)

    def _guest(self, answer: Answer) -> PlacedInstance:
        return self._server.value(answer, PlacedInstance)
