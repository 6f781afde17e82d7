"""What flavor and image ask of Placement by name: ``resources:``, ``trait:``, ``group_policy``.

As Nova reads them (``nova.scheduler.utils.ResourceRequest``): ``resources1:`` and ``trait1:`` are
of group ``1``, which one provider satisfies; an image's traits are of the group without a suffix.
What Nova passes over with a warning is an error here. Of PCPU and VCPU `flavor` makes the policy.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from mdsvc.policy import extra_specs as read
from mdsvc.policy.extra_specs import Texts

_KEY = re.compile("(resources|trait)([a-zA-Z0-9_-]{1,64})?:(.*)", re.DOTALL)
_TRAIT_VALUES = ("required", "forbidden")


class ResourceKey(msgspec.Struct, frozen=True):
    """One key: of which group, the class or trait that it names, and its value."""

    key: str
    group: str
    name: str
    value: str


class ResourceKeys(msgspec.Struct, frozen=True):
    """All of them. Amounts may be 0, which takes out what would be asked for otherwise."""

    resources: tuple[ResourceKey, ...] = ()
    traits: tuple[ResourceKey, ...] = ()
    group_policy: str | None = None

    def totals(self) -> Mapping[str, int]:
        """The amounts of all groups together, by resource class."""
        totals: dict[str, int] = {}
        for key in self.resources:
            totals[key.name] = totals.get(key.name, 0) + int(key.value)
        return totals


def resource_keys(specs: Texts, props: Texts) -> ResourceKeys:
    """Read them. Raises InvalidRequest for an amount, or a word, that none can be."""
    by_kind: dict[str, list[ResourceKey]] = {"resources": [], "trait": []}
    for source in (specs, props):
        for key in sorted(source):
            match = _KEY.fullmatch(key)
            if not match or (source is props and (match[1], match[2]) != ("trait", None)):
                continue
            if match[1] == "resources":
                read.integer(source, key, minimum=0)
            else:
                read.choice(source, key, _TRAIT_VALUES)
            by_kind[match[1]].append(ResourceKey(key, match[2] or "", match[3], source[key]))
    policy = read.choice(specs, "group_policy", ("none", "isolate"))
    return ResourceKeys(tuple(by_kind["resources"]), tuple(by_kind["trait"]), policy)
