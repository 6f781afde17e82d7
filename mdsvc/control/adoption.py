"""Guests that run already, taken into the books as they run; and let go of as they end.

All of an import or nothing: in one transaction, and what contradicts the books is named, all of it
at once. What is there already as it runs is left alone, so an import can be repeated.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec
from msgspec.structs import replace

from mdsvc.control import in_transaction
from mdsvc.control.fleet import look_at_fleet
from mdsvc.control.known import known_host
from mdsvc.errors import BadInput, Conflict
from mdsvc.forms import from_builtins, to_builtins
from mdsvc.instance import Address, Instance, PlacedInstance, place_instance
from mdsvc.names import canonical_uuid
from mdsvc.placing.as_it_runs import AsItRuns, as_it_runs, places
from mdsvc.placing.standing import Resident
from mdsvc.placing.standing.breaches import breaches
from mdsvc.placing.usage import place, remove
from mdsvc.policy.flavor import request
from mdsvc.running import RunningGuest
from mdsvc.store import Store, Transaction
from mdsvc.topology import Host

Leases = Mapping[str, Mapping[str, str]]
"""The addresses that networks keep for interfaces: IP by MAC, by the network's name."""

DEFAULT_PROJECT = "libvirt"
"""The project of guests whose domains name none."""


class Adopted(msgspec.Struct, frozen=True):
    """A guest as it is stored now, and what became of it."""

    instance: PlacedInstance
    outcome: Literal["imported", "updated", "unchanged"]


class Imported(msgspec.Struct, frozen=True):
    """What became of all of an import, in the order of their domains."""

    guests: tuple[Adopted, ...]


class Terms(msgspec.Struct, frozen=True):
    """How guests are taken in. ``replace``: what runs counts more than what the books say of it."""

    project: str = DEFAULT_PROJECT
    leases: Leases = {}
    replace: bool = False


async def import_guests(
    store: Store, guests: Sequence[RunningGuest], host: str | None, terms: Terms
) -> list[Adopted]:
    """Take guests in that run on a host; without its name, on the only one that is registered.

    Raises BadInput, NotFound for the host, and Conflict, which names each guest and what is wrong.
    """
    _check_uuids(guests)

    async def use_case(tx: Transaction) -> list[Adopted]:
        there = await known_host(tx, host or only_host((await tx.list_hosts()).whole()))
        return await _Import(tx, there, terms).take(guests)

    return await in_transaction(store, use_case)


async def let_go(store: Store, uuid: str, host: str, project: str) -> bool:
    """Forget a guest of this project that runs no more on this host; False where it is not there in
    the books, as it may be on another one by now.
    """

    async def use_case(tx: Transaction) -> bool:
        placed = await tx.get_instance(canonical_uuid(uuid))
        there = await tx.get_host(host)
        if placed is None or there is None or (placed.host, placed.project_id) != (host, project):
            return False
        await tx.update_host(remove(there, placed.layout, placed.flavor))
        return await tx.remove_instance(placed.uuid)

    return await in_transaction(store, use_case)


def _check_uuids(guests: Sequence[RunningGuest]) -> None:
    for guest in guests:
        if not guest.uuid:
            raise BadInput(f"domain {guest.name}: expected <uuid> in it")
    twice = [uuid for uuid, count in Counter(guest.uuid for guest in guests).items() if count > 1]
    if twice:
        raise BadInput(f"uuid {twice[0]}: expected each domain once, but it is there twice")


def only_host(hosts: Sequence[Host]) -> str:
    """The host that is meant where none is named. Raises BadInput."""
    if len(hosts) != 1:
        raise BadInput(f"--host: expected the one that they run on, as {len(hosts)} are registered")
    return hosts[0].name


class _Import:
    """One import, in its transaction."""

    def __init__(self, tx: Transaction, host: Host, terms: Terms) -> None:
        self._tx, self._host, self._terms = tx, host, terms
        self._wrong: list[str] = []

    async def take(self, guests: Sequence[RunningGuest]) -> list[Adopted]:
        adopted = [await self._one(guest) for guest in guests]
        known = [each for each in adopted if each is not None]
        changed = {e.instance.uuid: e.instance for e in known if e.outcome != "unchanged"}
        stored = (await self._tx.list_instances(self._host.name)).whole()
        residents = {guest.uuid: guest for guest in stored} | changed
        self._check(list(residents.values()))
        for instance in changed.values():
            await self._look_at_fleet(instance)
        if self._wrong:
            raise Conflict(f"host {self._host.name}: nothing is imported: {'; '.join(self._wrong)}")
        if changed:
            await self._write(known, list(residents.values()))
        return known

    async def _look_at_fleet(self, instance: PlacedInstance) -> None:
        """R17 holds back guests that are mixed from now on, and none that are so already."""
        stored = await self._tx.get_instance(instance.uuid)
        if stored is not None and stored.layout.cpu_policy == "mixed":
            return
        try:
            await look_at_fleet(self._tx, request(instance.flavor, instance.image))
        except Conflict as error:
            self._wrong.append(f"{instance.name} ({instance.uuid}): {error}")

    async def _one(self, running: RunningGuest) -> Adopted | None:
        """None for one of which something is wrong."""
        runs = as_it_runs(self._host, running)
        who = f"{running.name} ({running.uuid})"
        wrong = [f"{who}: {fault}" for fault in runs.faults]
        instance = _instance(running, runs, self._terms)
        stored = await self._tx.get_instance(running.uuid)
        wrong += [f"{who}: {fault}" for fault in await self._taken_addresses(instance)]
        if stored is None:
            adopted = Adopted(place_instance(instance, self._host.name, runs.layout), "imported")
        else:
            adopted = _again(stored, instance, self._host, runs)
            if _differs(stored, self._host, runs) and not self._terms.replace:
                wrong.append(f"{who}: {_difference(stored, self._host)}; --replace takes what runs")
        self._wrong += wrong
        return None if wrong else adopted

    async def _taken_addresses(self, instance: Instance) -> list[str]:
        faults = []
        for address in instance.addresses:
            owner = await self._tx.owner(address.ip, address.network)
            if owner not in (None, instance.uuid):
                faults.append(f"{address.ip} on {address.network} is instance {owner}'s")
        return faults

    def _check(self, guests: Sequence[PlacedInstance]) -> None:
        residents = [Resident(g.uuid, g.name, g.flavor, g.image, g.layout) for g in guests]
        names = {guest.uuid: guest.name for guest in guests}
        for reason in breaches(self._host, residents):
            who = f"{names[reason.instance or '']} ({reason.instance})"
            self._wrong.append(f"{who}: {reason.rule}: {reason.message}")

    async def _write(self, known: Sequence[Adopted], residents: Sequence[PlacedInstance]) -> None:
        for each in known:
            if each.outcome == "updated":
                await self._update(each.instance)
            elif each.outcome == "imported":
                await self._tx.add_instance(each.instance)
        host = self._host.without_use()
        for guest in residents:
            host = place(host, guest.layout, guest.flavor)
        await self._tx.update_host(host)

    async def _update(self, instance: PlacedInstance) -> None:
        stored = await self._tx.get_instance(instance.uuid)
        if stored is not None and stored.host != instance.host:
            before = await self._tx.get_host(stored.host)
            if before is not None:
                await self._tx.update_host(remove(before, stored.layout, stored.flavor))
        await self._tx.update_instance(instance)


def _instance(running: RunningGuest, runs: AsItRuns, terms: Terms) -> Instance:
    """Raises BadInput where the domain's texts are none that a guest may have."""
    form = {
        "uuid": running.uuid,
        "project_id": running.project_id or terms.project,
        "name": running.name,
        "flavor": to_builtins(runs.flavor),
        "image": to_builtins(runs.image),
        "addresses": [
            {"network": port.network, "ip": ip, "mac": port.mac}
            for port in running.ports
            if port.network
            for ip in port.ips or _leased(port.network, port.mac, terms.leases)
        ],
    }
    try:
        return from_builtins(form, Instance)
    except BadInput as error:
        raise BadInput(f"domain {running.name}: {error}") from None


def _leased(network: str, mac: str | None, leases: Leases) -> list[str]:
    ip = leases.get(network, {}).get((mac or "").lower())
    return [ip] if ip else []


def _again(stored: PlacedInstance, instance: Instance, host: Host, runs: AsItRuns) -> Adopted:
    """A guest that is in the books: what they have beside its place stays, and addresses that are
    known by now are added.
    """
    addresses = _joined(stored.addresses, instance.addresses)
    after = replace(stored, addresses=addresses)
    if _differs(stored, host, runs):
        flavor, image = runs.flavor, runs.image
        after = replace(after, host=host.name, layout=runs.layout, flavor=flavor, image=image)
    if after == stored:
        return Adopted(stored, "unchanged")
    return Adopted(replace(after, generation=stored.generation + 1), "updated")


def _joined(have: tuple[Address, ...], more: tuple[Address, ...]) -> tuple[Address, ...]:
    known = {(address.network, address.ip) for address in have}
    return (*have, *(a for a in more if (a.network, a.ip) not in known))


def _differs(stored: PlacedInstance, host: Host, runs: AsItRuns) -> bool:
    sizes = (stored.flavor.vcpus, stored.flavor.memory_mb)
    same = sizes == (runs.flavor.vcpus, runs.flavor.memory_mb)
    return not same or stored.host != host.name or places(stored.layout) != places(runs.layout)


def _difference(stored: PlacedInstance, host: Host) -> str:
    if stored.host != host.name:
        return f"it is on host {stored.host} in the books"
    return "it runs otherwise than the books say"
