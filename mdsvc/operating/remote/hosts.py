"""The use cases of hosts, asked of a server."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NoReturn

from mdsvc.control.draining import Drained, Left, hardest_first, left_behind
from mdsvc.control.hosts import Replaced, already_registered, described_anew
from mdsvc.cpuset import CpuSet
from mdsvc.errors import InvalidRequest, NotFound, Refused
from mdsvc.forms import to_builtins
from mdsvc.instance import PlacedInstance
from mdsvc.operating.remote.server import Changed, Server, segment
from mdsvc.topology import Host


class RemoteHosts:
    """That half of the ``Operator`` of a server."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def list_hosts(self) -> Sequence[Host]:
        return list(self._server.pages("/hosts", Host))

    def get_host(self, name: str) -> tuple[Host, Sequence[PlacedInstance]]:
        return self._host(name)[0], self._guests(name)

    def add_host(self, host: Host) -> Host:
        answer = self._server.ask("POST", "/hosts", host)
        if answer.status == 200:  # where it is registered as it is, a server says so again
            raise already_registered(host)
        return self._server.value(answer, Host)
