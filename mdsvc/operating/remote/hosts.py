"""The use cases of hosts, asked of a server.

What changes something needs rules of ``control``, which is built on asyncio: imported where needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from msgspec.structs import replace

from mdsvc.cpuset import CpuSet
from mdsvc.errors import Conflict, InvalidRequest, NotFound, Refused
from mdsvc.forms import to_builtins
from mdsvc.instance import PlacedInstance
from mdsvc.operating.remote.paths import host_path as _path
from mdsvc.operating.remote.paths import instance_path
from mdsvc.operating.remote.server import Changed, Server
from mdsvc.store.listing import Listing
from mdsvc.topology import Host

if TYPE_CHECKING:
    from mdsvc.control.draining import Drained, Left
    from mdsvc.control.hosts import Replaced

_TRIES = 20
"""How often a host is looked at again that somebody else has described anew meanwhile."""


class RemoteHosts:
    """That half of the ``Operator`` of a server. What is read of a host and its guests is not read
    at one moment: a guest may have come or gone in between.
    """

    def __init__(self, server: Server) -> None:
        self._server = server

    def list_hosts(self) -> Listing[Host]:
        return self._server.pages("/hosts", Host)

    def get_host(self, name: str) -> tuple[Host, Listing[PlacedInstance]]:
        host, _etag = self._host(name)
        return host, self._guests(name)

    def add_host(self, host: Host) -> Host:
        from mdsvc.control.hosts import already_registered

        answer = self._server.ask("POST", "/hosts", host)
        if answer.status == 200:  # the same is registered already: there that is no error
            raise already_registered(host)
        return self._server.value(answer, Host)

    def replace_host(self, host: Host, keeps: Collection[str] = ()) -> Replaced:
        said = {field: value for field, value in to_builtins(host).items() if field not in keeps}
        return self._replace(host.name, said)

    def replace_found_host(
        self, found: Host, shared: CpuSet | None, dedicated: CpuSet | None
    ) -> Replaced:
        from mdsvc.control.hosts import found_again

        for _ in range(_TRIES):
            try:
                registered, etag = self._host(found.name)
                after = found_again(
                    registered, self._guests(found.name).whole(), found, shared, dedicated
                )
                return self._replace(found.name, to_builtins(after.without_use()), etag)
            except NotFound:
                return self._replace(found.name, to_builtins(found))
            except Changed:
                continue
        raise Conflict(f"host {found.name}: others describe it anew again and again; try again")

    def remove_host(self, name: str) -> None:
        self._server.ask("DELETE", _path(name))

    def drain_host(self, name: str, draining: bool) -> Host:
        answer = self._server.ask("PUT" if draining else "DELETE", f"{_path(name)}/drain")
        return self._server.value(answer, Host)

    def move_guests(self, name: str, progress: Callable[[int, int], None]) -> Drained:
        from mdsvc.control.draining import Drained, hardest_first, left_behind, unread

        self.drain_host(name, draining=True)
        residents = self._guests(name)
        guests = sorted(residents, key=hardest_first)
        moved: list[PlacedInstance] = []
        left: list[Left] = [unread(damaged) for damaged in residents.damaged]
        for done, guest in enumerate(guests):
            progress(done, len(guests))
            try:
                moved.extend(self._moved(guest))
            except NotFound:
                continue  # deleted meanwhile
            except (Refused, InvalidRequest) as refusal:
                left.append(left_behind(guest, refusal))
        progress(len(guests), len(guests))
        host, staying = self.get_host(name)
        uuids = {*(guest.uuid for guest in staying), *(bad.key for bad in staying.damaged)}
        return Drained(host, tuple(moved), tuple(each for each in left if each.uuid in uuids))

    def _moved(self, guest: PlacedInstance) -> Iterator[PlacedInstance]:
        """The guest where it is then; none where it has left its host by itself."""
        path = instance_path(guest.uuid)
        now = self._server.value(self._server.ask("GET", path), PlacedInstance)
        if now.host == guest.host:
            answer = self._server.ask("POST", f"{path}/migrate", {"host": None})
            yield self._server.value(answer, PlacedInstance)

    def _host(self, name: str) -> tuple[Host, str | None]:
        answer = self._server.ask("GET", _path(name))
        return self._server.value(answer, Host), answer.etag

    def _guests(self, host: str) -> Listing[PlacedInstance]:
        return self._server.pages("/instances", PlacedInstance, host=host)

    def _replace(self, name: str, said: object, if_match: str | None = None) -> Replaced:
        """Its guests are read before and after: which were renewed, no answer says."""
        from mdsvc.control.hosts import Replaced

        before = {guest.uuid: guest for guest in self._residents(name)}
        answer = self._server.ask("PUT", _path(name), said, if_match)
        host = self._server.value(answer, Host)
        after = self._guests(name) if before else ()
        return Replaced(host, tuple(g for g in after if _is_renewed(before.get(g.uuid), g)))

    def _residents(self, name: str) -> Sequence[PlacedInstance]:
        """The guests of a host that need not be registered yet."""
        try:
            return self._guests(name)
        except NotFound:
            return ()


def _is_renewed(before: PlacedInstance | None, after: PlacedInstance) -> bool:
    """Is it the next generation, with no change but of its layout, if of that?"""
    if before is None or after.generation != before.generation + 1:
        return False
    return replace(before, layout=after.layout, generation=after.generation) == after
