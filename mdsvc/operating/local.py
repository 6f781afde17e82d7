"""The operator's use cases on a store that is opened here, once for each."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import TypeVar

from msgspec import UnsetType

from mdsvc.control import adoption, hosts, instances, moves, reports, resizing, user_data
from mdsvc.control import draining as moving
from mdsvc.control.adoption import Adopted, Terms
from mdsvc.control.draining import Drained
from mdsvc.control.hosts import Replaced
from mdsvc.cpuset import CpuSet
from mdsvc.instance import Content, Instance, PlacedInstance
from mdsvc.locking import UserDataLock
from mdsvc.policy.flavor import Flavor, Image
from mdsvc.policy.unknown_keys import UnknownKeys
from mdsvc.reports.drift import GuestStatus
from mdsvc.store import Store
from mdsvc.store.listing import Listing
from mdsvc.store.opening import open_store
from mdsvc.topology import Host

T = TypeVar("T")


class Local:
    """The ``Operator`` of the store behind a URL."""

    def __init__(self, store: str) -> None:
        self._url = store

    def _use(self, use_case: Callable[[Store], Awaitable[T]]) -> T:
        async def run() -> T:
            store = await open_store(self._url)
            try:
                return await use_case(store)
            finally:
                await store.close()

        return asyncio.run(run())

    # ---- hosts ----

    def list_hosts(self) -> Listing[Host]:
        return self._use(hosts.list_hosts)

    def get_host(self, name: str) -> tuple[Host, Listing[PlacedInstance]]:
        return self._use(lambda s: hosts.get_host(s, name))

    def add_host(self, host: Host) -> Host:
        return self._use(lambda s: hosts.add_host(s, host))

    def replace_host(self, host: Host, keeps: Collection[str] = ()) -> Replaced:
        return self._use(lambda s: hosts.replace_host(s, host, keeps))

    def replace_found_host(
        self, found: Host, shared: CpuSet | None, dedicated: CpuSet | None
    ) -> Replaced:
        return self._use(lambda s: hosts.replace_found_host(s, found, shared, dedicated))

    def remove_host(self, name: str) -> None:
        self._use(lambda s: hosts.remove_host(s, name))

    def drain_host(self, name: str, draining: bool) -> Host:
        return self._use(lambda s: moving.drain_host(s, name, draining))

    def move_guests(self, name: str, progress: Callable[[int, int], None]) -> Drained:
        return self._use(lambda s: moving.move_guests(s, name, progress))

    # ---- guests ----

    def list_instances(self, host: str | None = None) -> Listing[PlacedInstance]:
        return self._use(lambda s: instances.list_instances(s, host))

    def list_drifted(self, host: str | None = None) -> Listing[PlacedInstance]:
        return self._use(lambda s: reports.list_drifted(s, host))

    def find_status(self, guest: PlacedInstance) -> GuestStatus | None:
        return self._use(lambda s: reports.find_status(s, guest))

    def get_instance(self, uuid: str) -> PlacedInstance:
        return self._use(lambda s: instances.get_instance(s, uuid))

    def get_instance_with_host(self, uuid: str) -> tuple[PlacedInstance, Host]:
        return self._use(lambda s: instances.get_instance_with_host(s, uuid))

    def create_instance(
        self, instance: Instance, host: str | None, unknown_keys: UnknownKeys
    ) -> PlacedInstance:
        return self._use(lambda s: instances.create_instance(s, instance, host, unknown_keys))

    def import_guests(
        self, domains: Sequence[bytes], host: str | None, terms: Terms
    ) -> Sequence[Adopted]:
        from mdsvc.discovery.domains import guest_from_domain  # XML, which no other one reads

        guests = [guest_from_domain(xml) for xml in domains]
        return self._use(lambda s: adoption.import_guests(s, guests, host, terms))

    def let_go(self, uuid: str, host: str, project: str) -> bool:
        return self._use(lambda s: adoption.let_go(s, uuid, host, project))

    def resize_instance(
        self, uuid: str, flavor: Flavor, image: Image | None, unknown_keys: UnknownKeys
    ) -> PlacedInstance:
        return self._use(lambda s: resizing.resize_instance(s, uuid, flavor, image, unknown_keys))

    def migrate_instance(self, uuid: str, host: str | None) -> PlacedInstance:
        return self._use(lambda s: moves.migrate_instance(s, uuid, host))

    def rebuild_instance(
        self,
        uuid: str,
        image: Image | None,
        content: Content | UnsetType | None,
        unknown_keys: UnknownKeys,
    ) -> PlacedInstance:
        return self._use(lambda s: resizing.rebuild_instance(s, uuid, image, content, unknown_keys))

    def delete_instance(self, uuid: str) -> None:
        self._use(lambda s: instances.delete_instance(s, uuid))

    def get_password(self, uuid: str) -> bytes:
        return self._use(lambda s: instances.get_password(s, uuid))

    def clear_password(self, uuid: str) -> None:
        self._use(lambda s: instances.clear_password(s, uuid))

    def find_lock(self, guest: PlacedInstance) -> UserDataLock | None:
        return self._use(lambda s: user_data.find_lock(s, guest))

    def lock_user_data(self, uuid: str, locked: bool) -> UserDataLock:
        change = user_data.lock if locked else user_data.unlock
        return self._use(lambda s: change(s, uuid))
