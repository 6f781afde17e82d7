"""Where the CPUs of a cloud's guests are, by Nova's API: ``GET /servers/{id}/topology``, which
administrators may read from Train on (microversion 2.78).

It tells the pCPU of each dedicated vCPU and the host node of each guest node. Over which pCPUs all
other threads float it does not, so nothing is said of these.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.errors import BadInput, Forbidden, MdsvcError, NotFound, Unavailable
from mdsvc.forms import from_store
from mdsvc.names import canonical_uuid
from mdsvc.nova.keystone import CloudSession
from mdsvc.policy.flavor import Flavor
from mdsvc.running import RunningCell, RunningGuest

VERSION = {"OpenStack-API-Version": "compute 2.78", "X-OpenStack-Nova-API-Version": "2.78"}
PAGE = "500"
ADMINISTRATOR = "expected an administrator's credentials"
_HOST = "OS-EXT-SRV-ATTR:host"


class Unreadable(Unavailable):
    """What Nova's API answers is not what it answers an administrator."""


class Server(NamedTuple):
    """A guest, and the host that it is on."""

    host: str
    guest: RunningGuest


async def servers(cloud: CloudSession) -> list[Server]:
    """Every guest that is on a host, in every project. Raises MdsvcError."""
    try:
        return await _servers(cloud)
    except Forbidden as error:
        raise MdsvcError(f"{ADMINISTRATOR}: {error}") from None


async def _servers(cloud: CloudSession) -> list[Server]:
    compute = await cloud.endpoint("compute")
    found: list[Mapping[str, Any]] = []
    query = {"all_tenants": "1", "limit": PAGE}
    while True:
        answer = await cloud.get(f"{compute}/servers/detail", VERSION, **query)
        page = answer.get("servers", [])
        found += page
        if not page or not answer.get("servers_links"):
            break
        query["marker"] = page[-1]["id"]
    if not all(_HOST in each for each in found):
        raise MdsvcError(f"the cloud tells no hosts: {ADMINISTRATOR}")
    placed = [each for each in found if each[_HOST]]
    known = await asyncio.gather(*(_server(cloud, compute, each) for each in placed))
    return [server for server in known if server]


async def _server(cloud: CloudSession, compute: str, server: Mapping[str, Any]) -> Server | None:
    """None where it has been deleted meanwhile."""
    try:
        topology = await cloud.get(f"{compute}/servers/{server['id']}/topology", VERSION)
    except NotFound:
        return None
    return Server(server[_HOST], _guest(server, topology))


async def get_server(cloud: CloudSession, uuid: str) -> RunningGuest:
    """One guest, wherever it is. Raises MdsvcError, NotFound where there is none such."""
    compute = await cloud.endpoint("compute")
    url = f"{compute}/servers/{uuid}"
    server, topology = await asyncio.gather(
        cloud.get(url, VERSION), cloud.get(f"{url}/topology", VERSION)
    )
    return _guest(server.get("server") or {}, topology)


def _guest(server: Mapping[str, Any], topology: Mapping[str, Any]) -> RunningGuest:
    try:
        return guest_from_api(server, topology)
    except (AttributeError, BadInput, KeyError, TypeError, ValueError) as error:
        what = f"no {error}" if isinstance(error, KeyError) else error
        raise Unreadable(
            f"server {server.get('id')}: its topology cannot be read: {what}; {ADMINISTRATOR}"
        ) from None


def guest_from_api(server: Mapping[str, Any], topology: Mapping[str, Any]) -> RunningGuest:
    """The guest of one server and its topology. Raises BadInput, KeyError, TypeError, ValueError
    where these are none.
    """
    flavor = server["flavor"]
    nodes = topology["nodes"]
    size = topology.get("pagesize_kb")
    pins = {
        int(vcpu): CpuSet.of([pcpu])
        for node in nodes
        for vcpu, pcpu in (node.get("cpu_pinning") or {}).items()
    }
    return RunningGuest(
        uuid=canonical_uuid(server["id"]),
        name=server["name"],
        vcpus=flavor["vcpus"],
        memory_mb=flavor["ram"],
        pins=dict(sorted(pins.items())),
        floats=EMPTY,  # not told
        cells=tuple(_cell(at, node, size) for at, node in enumerate(nodes)),
        flavor=_flavor(flavor, CpuSet.of(pins)),
        project_id=server.get("tenant_id"),
    )


def _cell(at: int, node: Mapping[str, Any], pagesize_kb: int | None) -> RunningCell:
    return RunningCell(
        id=at,
        vcpus=CpuSet.of(node["vcpu_set"]),
        memory_mb=node["memory_mb"],
        strict_nodes=CpuSet.of([node["host_node"]]),
        pagesize_kb=pagesize_kb,
    )


def _flavor(form: Mapping[str, Any], pinned: CpuSet) -> Flavor | None:
    """The image's properties are not told here: where these made it dedicated, the flavor alone
    says too little, and nothing is concluded from it.
    """
    specs = form.get("extra_specs")
    if specs is None:
        return None
    sizes = {"vcpus": form["vcpus"], "memory_mb": form["ram"]}
    flavor = from_store(
        {**sizes, "name": form.get("original_name", ""), "extra_specs": specs}, Flavor
    )
    guest = RunningGuest(uuid="", name="", vcpus=flavor.vcpus, memory_mb=0, flavor=flavor)
    return flavor if guest.asked and pinned <= guest.asked.dedicated else None
