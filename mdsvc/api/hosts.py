"""Hosts: listed, registered, described anew, removed."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import UNSET, UnsetType

from mdsvc.api.etags import host_etag
from mdsvc.api.pages import Damaged, damaged, page
from mdsvc.api.route import Answer, Call
from mdsvc.control import adoption, hosts, repeats
from mdsvc.control.adoption import DEFAULT_PROJECT, Imported, Terms
from mdsvc.control.draining import drain_host
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.errors import BadInput
from mdsvc.forms import Form
from mdsvc.topology import Host


class Hosts(msgspec.Struct, frozen=True):
    """A page of hosts with their use, by name; ``next`` is the marker of the next page.
    Those whose records cannot be read are ``damaged``.
    """

    hosts: tuple[Host, ...]
    next: str | None
    damaged: tuple[Damaged, ...] | UnsetType = UNSET


async def list_hosts(call: Call) -> Answer:
    """Every host with its use, page by page."""
    listed = await call.store.list_hosts(call.query.marker, call.query.limit + 1)
    shown, last = page(listed, call.query.limit)
    marker = last.name if last else None
    return Answer(Hosts(shown, marker, damaged(listed, marker)))


async def create_host(call: Call) -> Answer:
    """Register a host. The same once more is answered with what is registered."""
    host, is_new = await repeats.ensure_host(call.store, call.body)
    return _host(host, 201 if is_new else 200)


async def get_host(call: Call) -> Answer:
    """One host with its use. Its ETag is that of its description."""
    host, _guests = await hosts.get_host(call.store, call.path["name"])
    return _host(host)


async def put_host(call: Call) -> Answer:
    """Register a host, or describe one anew: its guests stay as they are, or nothing changes."""
    name, (host, keeps) = call.path["name"], call.body
    if host.name != name:
        raise BadInput(f"name: expected {name}, as in the path, got {host.name}", "name")
    replaced = await hosts.replace_host(call.store, host, keeps, call.if_match.host)
    return _host(replaced.host, 201 if replaced.is_new else 200)


async def delete_host(call: Call) -> Answer:
    """Forget a host that has no guests."""
    await hosts.remove_host(call.store, call.path["name"], call.if_match.host)
    return Answer(status=204)


async def put_drain(call: Call) -> Answer:
    """Let a host take no new guests; those that it has stay until they are moved."""
    return _host(await drain_host(call.store, call.path["name"]))


async def delete_drain(call: Call) -> Answer:
    """Let a host take guests again."""
    return _host(await drain_host(call.store, call.path["name"], draining=False))


def _host(host: Host, status: int = 200) -> Answer:
    location = f"/v1/hosts/{host.name}" if status == 201 else None
    return Answer(host, status, host_etag(host), location)


class Import(Form, frozen=True, kw_only=True):
    """Guests that run on a host, each as its domain's XML; the addresses that networks keep, IP by
    MAC by the network's name; whose they are where a domain names no project; and whether what runs
    counts more than what is stored of it.
    """

    domains: tuple[str, ...]
    leases: Mapping[str, Mapping[str, str]] = {}
    project: str = DEFAULT_PROJECT
    replace: bool = False


async def import_guests(call: Call) -> Answer:
    """Take in guests that run there already, as they run: all of them, or none."""
    body = call.body
    guests = []
    for at, xml in enumerate(body.domains):
        try:
            guests.append(guest_from_domain(xml.encode()))
        except BadInput as error:
            raise BadInput(f"domains[{at}]: {error}", f"domains[{at}]") from None
    terms = Terms(body.project, body.leases, body.replace)
    adopted = await adoption.import_guests(call.store, guests, call.path["name"], terms)
    return Answer(Imported(tuple(adopted)))
