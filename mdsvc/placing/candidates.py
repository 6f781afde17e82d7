"""The question to OpenStack's Placement service for hosts (R16): ``GET /allocation_candidates``.

Made as Nova makes it: what the policy asks for goes into the group without a suffix, unless the
flavor's ``resources:`` say it in its place; amounts of 0 are left out. Groups with a suffix that is
no number are known to Placement from microversion 1.33 on.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from urllib.parse import urlencode

import msgspec

from mdsvc.errors import InvalidRequest
from mdsvc.placing import placement_service
from mdsvc.placing.placement_service import HYPERTHREADING
from mdsvc.policy.flavor import Request
from mdsvc.policy.resource_keys import ResourceKey, ResourceKeys


class Group(msgspec.Struct, frozen=True):
    """Amounts, and traits, of one provider; without a suffix also of several together."""

    resources: Mapping[str, int]
    required: Sequence[str]
    forbidden: Sequence[str]


class Candidates(msgspec.Struct, frozen=True):
    """The groups by their suffixes, that without one first."""

    groups: Mapping[str, Group]
    group_policy: str | None

    @property
    def query(self) -> str:
        """Path and query."""
        fields: dict[str, str] = {}
        for suffix, group in self.groups.items():
            amounts = (f"{name}:{amount}" for name, amount in group.resources.items())
            fields[f"resources{suffix}"] = ",".join(amounts)
            if traits := [*group.required, *(f"!{trait}" for trait in group.forbidden)]:
                fields[f"required{suffix}"] = ",".join(traits)
        if self.group_policy:
            fields["group_policy"] = self.group_policy
        return "/allocation_candidates?" + urlencode(fields, safe=":,!")

    @property
    def resources(self) -> dict[str, int]:
        """The amounts of all groups together."""
        totals: dict[str, int] = {}
        for group in self.groups.values():
            for name, amount in group.resources.items():
                totals[name] = totals.get(name, 0) + amount
        return totals

    @property
    def required(self) -> list[str]:
        """The traits that any group requires."""
        return sorted({trait for group in self.groups.values() for trait in group.required})

    @property
    def forbidden(self) -> list[str]:
        """The traits that any group forbids."""
        return sorted({trait for group in self.groups.values() for trait in group.forbidden})


def candidates(request: Request, keys: ResourceKeys) -> Candidates:
    """The question. Raises InvalidRequest naming a key that Placement would not take."""
    for key in (*keys.resources, *keys.traits):
        _check_name(key)
    amounts = _amounts(request, keys)
    _check_groups(keys, amounts)
    traits = _traits(request, keys, amounts)
    for key in traits:
        if not amounts.get(key.group):
            expected = f"resources{key.group}: above 0 with it: a group has traits of what it takes"
            raise InvalidRequest(key.key, key.value, expected)
    groups = {
        suffix: Group(group, *_sorted_traits(traits, suffix))
        for suffix, group in amounts.items()
        if group
    }
    return Candidates(groups, keys.group_policy)


def _check_name(key: ResourceKey) -> None:
    if not re.fullmatch("[A-Z0-9_]{1,255}", key.name):
        expected = "a name of capital letters, digits and _ behind the colon"
        raise InvalidRequest(key.key, key.value, expected)


def _amounts(request: Request, keys: ResourceKeys) -> dict[str, dict[str, int]]:
    """By group, without zeros. CPUs that the policy counts are asked for whatever is given, as it
    takes no counts above 0 beside it; of others what is given stands in their place.
    """
    totals = keys.totals()
    own = placement_service.resources(request)
    if totals.get("PCPU") or totals.get("VCPU"):
        own = {name: amount for name, amount in own.items() if name not in _CPUS}
    fixed = _CPUS if request.dedicated else ()
    own = {name: amount for name, amount in own.items() if name in fixed or name not in totals}
    amounts: dict[str, dict[str, int]] = {"": own}
    for key in keys.resources:
        amounts.setdefault(key.group, {}).setdefault(key.name, int(key.value))
    return {suffix: _in_order(group) for suffix, group in sorted(amounts.items())}


_CPUS = ("PCPU", "VCPU")
_FIRST = (*_CPUS, "MEMORY_MB")


def _in_order(amounts: Mapping[str, int]) -> dict[str, int]:
    first = [name for name in _FIRST if name in amounts]
    names = [*first, *sorted(amounts.keys() - set(first))]
    return {name: amounts[name] for name in names if amounts[name]}


def _traits(
    request: Request, keys: ResourceKeys, amounts: Mapping[str, Mapping[str, int]]
) -> list[ResourceKey]:
    """The trait of thread siblings is asked for by the policy that it means, and never forbidden
    (`placement_service.traits`); where the flavor names it, in its group.
    """
    traits = [
        each for each in keys.traits if (each.name, each.value) != (HYPERTHREADING, "forbidden")
    ]
    for name in placement_service.traits(request):
        if all(each.name != name for each in traits):
            home = "" if amounts[""] else next(s for s, group in amounts.items() if "PCPU" in group)
            traits.append(ResourceKey("hw:cpu_thread_policy", home, name, "required"))
    return traits


def _check_groups(keys: ResourceKeys, amounts: Mapping[str, Mapping[str, int]]) -> None:
    if not any(amounts.values()):
        key = keys.resources[0].key
        raise InvalidRequest(key, "0", "some resource left to ask for")
    suffixed = [suffix for suffix, group in amounts.items() if suffix and group]
    if len(suffixed) > 1 and not keys.group_policy:
        expected = f"none or isolate, as there are the groups {', '.join(sorted(suffixed))}"
        raise InvalidRequest("group_policy", None, expected)


def _sorted_traits(traits: Sequence[ResourceKey], suffix: str) -> tuple[list[str], list[str]]:
    """Required and forbidden ones of a group. Raises InvalidRequest where one is both."""
    of_group = [each for each in traits if each.group == suffix]
    required = {each.name for each in of_group if each.value == "required"}
    forbidden = {each.name: each for each in of_group if each.value == "forbidden"}
    for name in sorted(required & forbidden.keys()):
        expected = "not both required and forbidden"
        raise InvalidRequest(forbidden[name].key, forbidden[name].value, expected)
    return sorted(required), sorted(forbidden)
