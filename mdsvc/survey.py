"""A fleet as it runs, read for the audit: who says it, and what is known of the hosts."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from mdsvc.auditing import Facts
from mdsvc.cpuset import EMPTY, CpuSet
from mdsvc.discovery.capabilities import host_from_capabilities
from mdsvc.discovery.domains import guest_from_domain
from mdsvc.discovery.host_settings import NovaConf, isolated_here
from mdsvc.discovery.markup import MAX_XML
from mdsvc.discovery.sysfs import local_host
from mdsvc.discovery.virsh import Virsh
from mdsvc.errors import BadInput
from mdsvc.forms import from_builtins, from_json
from mdsvc.nova.clouds import Cloud, cloud
from mdsvc.nova.keystone import CloudSession
from mdsvc.nova.servers import Server, servers
from mdsvc.running import RunningGuest
from mdsvc.topology import Host

_SETS = ("cpu_shared_set", "cpu_dedicated_set")


class Given(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator says of the hosts, all of which it is true for."""

    nova: NovaConf | None = None
    pmd: CpuSet = EMPTY
    isolated: CpuSet = EMPTY


# ---- hosts ----


def hosts_from_json(text: bytes) -> list[Facts]:
    """One host, or a list of them, in the form of `host add`. Sets that overlap, or name CPUs that
    are not there, are the audit's to find; a host without cells has its sets alone.

    Raises BadInput.
    """
    data = from_json(text, Any)
    if isinstance(data, dict) and isinstance(data.get("hosts"), list):
        data = data["hosts"]  # as `GET /v1/hosts` answers
    return [_facts(form) for form in (data if isinstance(data, list) else [data])]


def _facts(form: Any) -> Facts:
    if not isinstance(form, dict):
        raise BadInput("document: expected a host, or a list of hosts")
    cells = form.get("cells")
    bare = {key: value for key, value in form.items() if key not in _SETS}
    stand_in: dict[str, Any] = {} if cells else {"cells": [{"id": 0, "cpus": "0", "memory_mb": 0}]}
    host = from_builtins(bare | stand_in, Host).without_use()
    shared, dedicated = (_set(form, name) for name in _SETS)
    known = shared is not None or dedicated is not None
    return Facts(
        name=host.name,
        topology=host if cells else None,
        shared=shared or EMPTY if known else None,
        dedicated=dedicated or EMPTY if known else None,
    )


def _set(form: Mapping[str, Any], name: str) -> CpuSet | None:
    value = form.get(name)
    if value is None:
        return None
    try:
        return CpuSet.parse(value)
    except (ValueError, AttributeError):
        expected = 'expected a CPU set like "0-3,7"'
        raise BadInput(f"{name}: {expected}, got {str(value)[:60]!r}") from None


def this_host() -> Facts:
    """This machine, by its sysfs."""
    host = local_host("local").host
    return Facts(name=os.uname().nodename, topology=_bare(host), isolated=isolated_here())


def _bare(host: Host) -> Host:
    return replace(host, cpu_shared_set=EMPTY, cpu_dedicated_set=EMPTY)


def with_given(facts: Facts, given: Given) -> Facts:
    """The host with what its operator says of it, which counts more than what was read."""
    changes: dict[str, Any] = {"pmd": given.pmd, "isolated": given.isolated or facts.isolated}
    nova = given.nova
    if nova:
        if nova.shared is not None or nova.dedicated is not None:
            changes |= {"shared": nova.shared, "dedicated": nova.dedicated, "one_set": nova.one_set}
        changes["reserved_mb"] = nova.reserved_mb
        if facts.topology and nova.ram_allocation_ratio:
            ratio = nova.ram_allocation_ratio
            changes["topology"] = replace(facts.topology, ram_allocation_ratio=ratio)
    return replace(facts, **changes)


# ---- guests ----


def from_folder(folder: Path, hosts: Sequence[Facts]) -> list[Facts]:
    """The guests whose domains are the files of a folder, on the host that is given; or, where it
    has folders and no files, one host in each, found among those given by its name. libvirt's own
    `/run/libvirt/qemu` has folders of other things too.

    Raises BadInput naming the file.
    """
    paths = _listed(folder)
    files = [path for path in paths if not path.is_dir()]
    folders = [path for path in paths if path.is_dir()]
    if files or not folders:
        return [_on(hosts, _name_of(folder), _guests(files))]
    by_name = {facts.name: facts for facts in hosts}
    missing = [path.name for path in folders if hosts and path.name not in by_name]
    if missing:
        raise BadInput(f"{folder / missing[0]}: expected a folder named for a host of --host")
    return [
        replace(
            by_name.get(path.name, Facts(name=path.name)),
            guests=_guests([each for each in _listed(path) if not each.is_dir()]),
        )
        for path in folders
    ]


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError as error:
        raise BadInput(f"{folder}: {error.strerror}; expected a folder of domain XML") from None


def _name_of(folder: Path) -> str:
    return folder.resolve().name or "host"


def _on(hosts: Sequence[Facts], name: str, guests: tuple[RunningGuest, ...]) -> Facts:
    if len(hosts) > 1:
        named = [facts for facts in hosts if facts.name == name]
        if not named:
            raise BadInput(f"--host: expected one host, or one named {name}, got {len(hosts)}")
        return replace(named[0], guests=guests)
    return replace(hosts[0] if hosts else Facts(name=name), guests=guests)


def _guests(files: Sequence[Path]) -> tuple[RunningGuest, ...]:
    """Each once: two dumps of one domain would look like two guests on the same pCPUs."""
    by_file = {file: guest_from_file(file) for file in files if not _is_libvirts(file)}
    first: dict[str, Path] = {}
    for file, guest in by_file.items():
        if guest.uuid and first.setdefault(guest.uuid, file) != file:
            other = first[guest.uuid]
            raise BadInput(f"{file}: uuid {guest.uuid}: expected each domain once, as in {other}")
    return tuple(by_file.values())


def _is_libvirts(file: Path) -> bool:
    """What libvirtd keeps beside its domains in `/run/libvirt/qemu`."""
    return file.suffix == ".pid" or file.name == "autostarted"


def guest_from_file(file: Path) -> RunningGuest:
    """The guest of one domain. Raises BadInput naming the file."""
    try:
        # a pipe would be waited for until somebody writes
        if not stat.S_ISREG(file.stat().st_mode):
            raise BadInput("expected a file, with domain XML in it")
        with file.open("rb") as stream:
            xml = stream.read(MAX_XML + 1)
        return guest_from_domain(xml)
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None
    except BadInput as error:
        raise BadInput(f"{file}: {error}") from None


def from_cloud(name: str, hosts: Sequence[Facts], environ: Mapping[str, str]) -> list[Facts]:
    """The guests of an OpenStack cloud, by its entry in clouds.yaml, on their hosts. Of these more
    is known where they are given, and those that are given have sets, guests or not.
    """
    by_name = {facts.name: facts for facts in hosts}
    guests: dict[str, list[RunningGuest]] = {}
    for server in asyncio.run(_servers(cloud(name, environ))):
        guests.setdefault(server.host, []).append(server.guest)
    return [
        replace(by_name.get(host, Facts(name=host)), guests=tuple(guests.get(host, ())))
        for host in sorted({*guests, *by_name})
    ]


async def _servers(entry: Cloud) -> list[Server]:
    async with CloudSession(entry) as session:
        return await servers(session)


def from_libvirt(uri: str, hosts: Sequence[Facts]) -> list[Facts]:
    """The guests of a libvirt, running or not, on the host that is given or that it tells of."""
    virsh = Virsh(uri)
    name = virsh.hostname()
    guests = []
    for uuid, xml in virsh.domains():
        try:
            guests.append(guest_from_domain(xml))
        except BadInput as error:
            raise BadInput(f"{uri}: domain {uuid}: {error}") from None
    if not hosts:
        topology = _bare(host_from_capabilities(virsh.capabilities(), "libvirt").host)
        hosts = [Facts(name=name, topology=topology)]
    return [_on(hosts, name, tuple(guests))]
