"""What an operator can do, wherever the store is: ``local`` opens it, ``remote`` asks a server.

Both raise the same errors, with the same words. ``remote`` imports neither asyncio nor SQLAlchemy,
and ``local`` no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from msgspec import UnsetType

    from mdsvc.control.adoption import Adopted, Terms
    from mdsvc.control.draining import Drained
    from mdsvc.control.hosts import Replaced
    from mdsvc.cpuset import CpuSet
    from mdsvc.instance import Content, Instance, PlacedInstance
    from mdsvc.locking import UserDataLock
    from mdsvc.policy.flavor import Flavor, Image
    from mdsvc.policy.unknown_keys import UnknownKeys
    from mdsvc.reports.drift import GuestStatus
    from mdsvc.store.listing import Listing
    from mdsvc.topology import Host


class Operator(Protocol):
    """The use cases of ``control``, each done when it returns."""

    # ---- hosts ----

    def list_hosts(self) -> Listing[Host]: ...

    def get_host(self, name: str) -> tuple[Host, Listing[PlacedInstance]]: ...

    def add_host(self, host: Host) -> Host: ...

    def replace_host(self, host: Host, keeps: Collection[str] = ()) -> Replaced: ...

    def replace_found_host(
        self, found: Host, shared: CpuSet | None, dedicated: CpuSet | None
    ) -> Replaced: ...

    def remove_host(self, name: str) -> None: ...

    def drain_host(self, name: str, draining: bool) -> Host: ...

    def move_guests(self, name: str, progress: Callable[[int, int], None]) -> Drained: ...

    # ---- guests ----

    def list_instances(self, host: str | None = None) -> Listing[PlacedInstance]: ...

    def list_drifted(self, host: str | None = None) -> Listing[PlacedInstance]: ...

    def find_status(self, guest: PlacedInstance) -> GuestStatus | None: ...

    def get_instance(self, uuid: str) -> PlacedInstance: ...

    def get_instance_with_host(self, uuid: str) -> tuple[PlacedInstance, Host]: ...

    def create_instance(
        self, instance: Instance, host: str | None, unknown_keys: UnknownKeys
    ) -> PlacedInstance: ...

    def import_guests(
        self, domains: Sequence[bytes], host: str | None, terms: Terms
    ) -> Sequence[Adopted]: ...

    def let_go(self, uuid: str, host: str, project: str) -> bool: ...

    def resize_instance(
        self, uuid: str, flavor: Flavor, image: Image | None, unknown_keys: UnknownKeys
    ) -> PlacedInstance: ...

    def migrate_instance(self, uuid: str, host: str | None) -> PlacedInstance: ...

    def rebuild_instance(
        self,
        uuid: str,
        image: Image | None,
        user_data: Content | UnsetType | None,
        unknown_keys: UnknownKeys,
    ) -> PlacedInstance: ...

    def delete_instance(self, uuid: str) -> None: ...

    def get_password(self, uuid: str) -> bytes: ...

    def clear_password(self, uuid: str) -> None: ...

    def find_lock(self, guest: PlacedInstance) -> UserDataLock | None: ...

    def lock_user_data(self, uuid: str, locked: bool) -> UserDataLock: ...
